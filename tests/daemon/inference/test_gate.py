"""Two graphs with a gate answer as one model."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from cxrd.errors import PackageError
from cxrd.inference import engine
from cxrd.inference.gate import blend, join, unsure
from cxrd.inference.graph import Said
from cxrd.inference.manifest import GateSpec, Manifest
from support.packages import CLASSES, GATE, SECOND_GRID, SIDE, graph, make_package, manifest

SPEC = GateSpec(graph="vit.onnx", threshold=0.8, weight=0.25)


def rows(*values: tuple[float, ...]) -> NDArray[np.float32]:
    """Probabilities of films."""
    return np.array(values, np.float32)


def said(probs: NDArray[np.float32], heat: NDArray[np.float32] | None = None) -> Said:
    """What a graph without heat says, unless there is some."""
    return Said(np.log(probs), probs, heat)


def never(_asked: NDArray[np.bool_]) -> Said:
    """A second graph that must not be asked."""
    raise AssertionError("nobody was unsure")


def films() -> NDArray[np.float32]:
    """Of five films the first and the fourth have one bright stripe, the others two that are nearly alike."""
    made = np.zeros((5, 1, SIDE, SIDE), np.float32)
    quarter = SIDE // 4
    for film, (k, other) in enumerate([(0, None), (1, 2), (3, 0), (2, None), (0, 1)]):
        made[film, :, :, k * quarter : (k + 1) * quarter] = 0.9
        if other is not None:
            made[film, :, :, other * quarter : (other + 1) * quarter] = 0.88 - 0.02 * film
    return made


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def test_the_first_graph_answers_alone_from_the_threshold_on() -> None:
    """At the threshold it is sure."""
    np.testing.assert_array_equal([False, True, False], unsure(rows((0.8, 0.2), (0.79, 0.21), (0.1, 0.9)), SPEC))


@pytest.mark.parametrize(("threshold", "expected"), [(0.0, [False] * 3), (1.0, [True, True, False])])
def test_a_gate_of_nought_never_asks_and_one_of_one_always(threshold: float, expected: list[bool]) -> None:
    """But about a film of which the first graph says exactly 1."""
    gate = GateSpec(graph="vit.onnx", threshold=threshold, weight=0.5)
    np.testing.assert_array_equal(expected, unsure(rows((0.5, 0.5), (0.999999, 1e-6), (1, 0)), gate))


def test_a_blend_is_weighed_and_its_logits_are_its_logarithms() -> None:
    """A quarter of the first; nought keeps a finite logarithm."""
    logits, probs = blend(rows((0.6, 0.4, 0)), rows((0.2, 0.8, 0)), SPEC)
    np.testing.assert_allclose(probs, [[0.3, 0.7, 0]], atol=1e-6)
    np.testing.assert_allclose(logits, [[np.log(0.3), np.log(0.7), np.log(1e-12)]], rtol=1e-5)


def test_only_unsure_films_are_asked_about_and_each_answer_goes_to_its_film() -> None:
    """One call, in order; sure films keep the first graph's very numbers."""
    first = said(rows((0.9, 0.1), (0.6, 0.4), (0.2, 0.8), (0.5, 0.5)))
    asked_about: list[list[bool]] = []

    def ask(asked: NDArray[np.bool_]) -> Said:
        asked_about.append(asked.tolist())
        return said(rows((0.2, 0.8), (0.7, 0.3)))

    joined, asked = join(first, ask, SPEC, None)
    assert [[False, True, False, True]] == asked_about == [asked.tolist()]
    np.testing.assert_allclose(joined.probs, [[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.65, 0.35]], atol=1e-6)
    np.testing.assert_array_equal(joined.logits[[0, 2]], first.logits[[0, 2]])
    np.testing.assert_allclose(joined.logits[[1, 3]], np.log(joined.probs[[1, 3]]), rtol=1e-5)
    np.testing.assert_allclose(first.probs[1], [0.6, 0.4], atol=1e-6)  # what the first said is left as it was


def test_nobody_unsure_is_nobody_asked() -> None:
    """The larger graph costs nothing then."""
    joined, asked = join(said(rows((0.9, 0.1), (0.05, 0.95))), never, SPEC, None)
    assert not asked.any()
    np.testing.assert_allclose(joined.probs, [[0.9, 0.1], [0.05, 0.95]], atol=1e-6)


def test_every_map_is_shares_on_the_second_grid() -> None:
    """Linear between centres of cells: 1 and 3 become 1, 1.5, 2.5, 3; magnitudes of neither graph survive."""
    first = said(rows((0.9, 0.1), (0.5, 0.5)), np.array([[[[1, 3]], [[0, 0]]]] * 2, np.float32))
    second = said(rows((0.5, 0.5)), np.array([[[[0, 0, 100, 300]], [[50, 50, 0, 0]]]], np.float32))
    heat = join(first, lambda _: second, SPEC, (1, 4))[0].heat
    assert heat is not None
    spread = np.array([1, 1.5, 2.5, 3]) / 8
    np.testing.assert_allclose(heat[0, 0, 0], spread, atol=1e-6)
    np.testing.assert_array_equal(heat[0, 1], 0)  # an empty map stays empty
    np.testing.assert_allclose(heat[1, 0, 0], 0.25 * spread + 0.75 * np.array([0, 0, 0.25, 0.75]), atol=1e-6)
    np.testing.assert_allclose(heat[1, 1, 0], 0.75 * np.array([0.5, 0.5, 0, 0]), atol=1e-6)


def test_a_mixed_batch_answers_as_its_films_do_alone(tmp_path: Path) -> None:
    """And as arithmetic by hand does: stripes from the left for the first graph, from the right for the second."""
    classifier = engine.load(make_package(tmp_path, task="multiclass", gate=GATE), "cpu")
    batch = films()
    together = classifier.run(batch)
    assert [False, True, True, False, True] == together.second.tolist()
    alone = [classifier.run(batch[k : k + 1]) for k in range(len(batch))]
    assert together.heat is not None
    assert (5, 4, SECOND_GRID, SECOND_GRID) == together.heat.shape
    for name in ("logits", "probs", "heat", "second"):
        one_by_one = np.concatenate([getattr(film, name) for film in alone])
        np.testing.assert_allclose(getattr(together, name), one_by_one, atol=1e-6)
    means = batch.astype(np.float64).reshape(5, SIDE, 4, SIDE // 4).mean(axis=(1, 3))
    first, second = softmax(10 * means), softmax(10 * means[:, ::-1])
    expected = np.where(together.second[:, None], 0.25 * first + 0.75 * second, first)
    np.testing.assert_allclose(together.probs, expected, atol=1e-5)
    sums = together.heat.sum(axis=(2, 3))
    assert set(np.round(np.unique(sums), 4)) <= {0.0, 0.25, 0.75, 1.0}


def test_a_model_of_one_graph_needs_no_second(tmp_path: Path) -> None:
    """Said for every film."""
    assert [False] * 5 == engine.load(make_package(tmp_path), "cpu").run(films()).second.tolist()


def test_an_ensemble_may_answer_without_heat(tmp_path: Path) -> None:
    """Localisation is optional."""
    found = engine.load(make_package(tmp_path, task="multiclass", gate=GATE, heat=None), "cpu").run(films())
    assert found.heat is None
    assert found.second.any()


def with_second(package: Path, data: bytes) -> Path:
    """Another second graph, its digest right."""
    (package / "vit.onnx").write_bytes(data)
    found = json.loads((package / "manifest.json").read_text())
    found["files"]["vit.onnx"] = sha256(data).hexdigest()
    (package / "manifest.json").write_text(json.dumps(found))
    return package


def poisoned() -> bytes:
    """A second graph that gives no numbers."""
    model = onnx.load_from_string(graph(4, exclusive=True, second=True))
    share = next(i for i in model.graph.initializer if i.name == "share")
    share.raw_data = np.full(tuple(share.dims), np.nan, np.float32).tobytes()
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (poisoned, "no numbers"),
        (lambda: graph(3, exclusive=True, second=True), "shape"),
        (lambda: graph(4, exclusive=True, second=False), "shape"),
        (lambda: graph(4, exclusive=False, second=True), "do not sum to 1"),
        (lambda: graph(4, exclusive=True, second=True, mask=True), "takes"),
        (lambda: b"nonsense", "cannot be loaded"),
    ],
    ids=["no numbers", "three classes", "coarser maps", "no softmax", "a mask", "nonsense"],
)
def test_a_second_graph_that_is_not_the_manifests_is_found_at_load(
    tmp_path: Path, data: Callable[[], bytes], why: str
) -> None:
    """Even behind a gate that lets every made-up film pass; the error names the file."""
    package = make_package(tmp_path, task="multiclass", gate=GATE | {"threshold": 0})
    with pytest.raises(PackageError, match=rf"vit\.onnx.*{why}"):
        engine.load(with_second(package, data()), "cpu")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"task": "multilabel"}, "exclude each other"),
        ({"gate": GATE | {"graph": "other.onnx"}}, "other.onnx"),
        ({"gate": GATE | {"graph": "model.onnx"}}, "model.onnx"),
        ({"gate": GATE | {"threshold": 1.01}}, "threshold"),
        ({"gate": GATE | {"weight": -0.1}}, "weight"),
        ({"inputs": ["mask"]}, "inputs"),
        ({"inputs": ["image", "image"]}, "inputs"),
        ({"inputs": ["mask", "image"]}, "inputs"),
        ({"inputs": []}, "inputs"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(changes: dict[str, Any], fault: str) -> None:
    """Before a graph is opened."""
    files = {"model.onnx": b"", "vit.onnx": b""}
    good: dict[str, Any] = {"task": "multiclass", "gate": GATE}
    Manifest.model_validate(manifest(CLASSES, files, **good))
    with pytest.raises(ValidationError, match=fault):
        Manifest.model_validate(manifest(CLASSES, files, **(good | changes)))
