"""A loaded model, run."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from cxrd.errors import InferenceError, PackageError
from cxrd.inference import engine, session
from support.packages import SIDE, make_package


def striped(bright: int) -> NDArray[np.float32]:
    """Make a film whose ``bright``-th quarter is white."""
    image = np.zeros((1, SIDE, SIDE), np.float32)
    image[:, :, bright * SIDE // 4 : (bright + 1) * SIDE // 4] = 1
    return image


def altered(package: Path, change: Any) -> Path:
    """Edit a package's graph and put the digest right again."""
    path = package / "model.onnx"
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)
    manifest = json.loads((package / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = sha256(path.read_bytes()).hexdigest()
    (package / "manifest.json").write_text(json.dumps(manifest))
    return package


def test_a_batch_answers_film_by_film(tmp_path: Path) -> None:
    """Each film's answer is the same alone and in company."""
    classifier = engine.load(make_package(tmp_path), "cpu")
    films = np.stack([striped(k) for k in range(4)])
    together = classifier.run(films)
    np.testing.assert_allclose(together.probs, np.eye(4), atol=1e-6)
    alone = np.concatenate([classifier.run(films[k : k + 1]).probs for k in range(4)])
    np.testing.assert_allclose(together.probs, alone, atol=1e-6)


def test_the_reference_carries_the_digest_of_the_manifest(tmp_path: Path) -> None:
    """A report can name exactly which package answered."""
    package = make_package(tmp_path)
    classifier = engine.load(package, "cpu")
    assert sha256((package / "manifest.json").read_bytes()).hexdigest() == classifier.ref.digest
    assert engine.CPU == classifier.provider


def test_auto_falls_back_to_the_cpu_and_says_so(tmp_path: Path) -> None:
    """The provider is the one in force, not the one that was hoped for."""
    assert engine.load(make_package(tmp_path), "auto").provider in {engine.CPU, engine.CUDA}


def test_without_a_driver_auto_is_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA build of ONNX Runtime claims CUDA everywhere; the driver tells."""
    monkeypatch.setattr(session, "_DRIVER", "libno-such-driver.so.1")
    assert engine.CPU == engine.load(make_package(tmp_path), "auto").provider
    with pytest.raises(PackageError, match=r"no-such-driver|no CUDA provider"):
        engine.load(make_package(tmp_path), "cuda")


def test_a_cuda_that_cannot_be_loaded_falls_back_without_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Standard output carries JSON lines of ``cxrd analyse``; a native complaint would break them."""
    monkeypatch.setattr(session, "_DRIVER", "libc.so.6")  # a driver, but perhaps no CUDA libraries
    engine.load(make_package(tmp_path), "auto")
    assert ("", "") == capfd.readouterr()


def test_an_unknown_provider_is_refused(tmp_path: Path) -> None:
    """Named before a graph is opened."""
    with pytest.raises(PackageError, match="tpu"):
        engine.load(make_package(tmp_path), "tpu")


@pytest.mark.parametrize(
    "films",
    [
        np.zeros((1, 1, SIDE, SIDE), np.float64),
        np.zeros((1, SIDE, SIDE), np.float32),
        np.zeros((1, 3, SIDE, SIDE), np.float32),
        np.zeros((1, 1, SIDE, SIDE // 2), np.float32),
        np.zeros((0, 1, SIDE, SIDE), np.float32),
    ],
    ids=["float64", "no batch axis", "three channels", "half a film", "no film"],
)
def test_what_is_no_batch_of_films_is_refused(tmp_path: Path, films: NDArray[Any]) -> None:
    """Before it reaches native code."""
    with pytest.raises(InferenceError, match="it was given"):
        engine.load(make_package(tmp_path), "cpu").run(films)


def test_a_film_that_gives_no_numbers_is_an_error(tmp_path: Path) -> None:
    """Never a finding with probability NaN."""
    film = striped(0)[np.newaxis]
    film[0, 0, 0, 0] = np.nan
    with pytest.raises(InferenceError, match="no numbers"):
        engine.load(make_package(tmp_path), "cpu").run(film)


def test_exclusive_classes_sum_to_one(tmp_path: Path) -> None:
    """A softmax is accepted as one; a sigmoid under the same task is refused."""
    classifier = engine.load(make_package(tmp_path, task="multiclass"), "cpu")
    assert pytest.approx(1, abs=1e-5) == float(classifier.run(striped(1)[np.newaxis]).probs.sum())
    package = make_package(tmp_path, id="sigmoid")
    path = package / "manifest.json"
    path.write_text(path.read_text().replace("multilabel", "multiclass"))
    with pytest.raises(PackageError, match="do not sum to 1"):
        engine.load(package, "cpu")


def test_a_fixed_batch_size_is_refused(tmp_path: Path) -> None:
    """The daemon runs as many films as are due."""

    def fix(graph: Any) -> None:
        graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

    with pytest.raises(PackageError, match="exactly 1 film"):
        engine.load(altered(make_package(tmp_path), fix), "cpu")


def test_a_film_judged_by_its_company_is_refused(tmp_path: Path) -> None:
    """A graph left in training mode normalises over the batch: answers depend on who else is waiting."""

    def couple(graph: Any) -> None:
        graph.node.append(onnx.helper.make_node("ReduceMean", ["means"], ["middle"], axes=[0], keepdims=1))
        graph.node.append(onnx.helper.make_node("Mul", ["means", "middle"], ["probs"]))
        graph.node.remove(next(n for n in graph.node if list(n.output) == ["probs"]))

    with pytest.raises(PackageError, match="depend on the films beside it"):
        engine.load(altered(make_package(tmp_path), couple), "cpu")


def test_a_model_without_heat_answers_without_it(tmp_path: Path) -> None:
    """Localisation is optional."""
    assert engine.load(make_package(tmp_path, heat=None), "cpu").run(striped(0)[np.newaxis]).heat is None


def test_a_single_class_is_a_model_too(tmp_path: Path) -> None:
    """Binary with one sigmoid output."""
    classifier = engine.load(make_package(tmp_path, classes=("pneumonia",), task="binary"), "cpu")
    assert (1, 1) == classifier.run(striped(0)[np.newaxis]).probs.shape


def test_cuda_that_is_not_there_is_an_error_when_demanded(tmp_path: Path) -> None:
    """A node bought with a GPU must not fall back silently."""
    package = make_package(tmp_path)
    if engine.load(package, "auto").provider == engine.CUDA:
        assert engine.CUDA == engine.load(package, "cuda").provider
    else:
        with pytest.raises(PackageError, match="cannot use CUDA"):
            engine.load(package, "cuda")


def test_a_graph_without_probabilities_is_refused(tmp_path: Path) -> None:
    """The manifest and the graph must agree on outputs."""
    package = altered(make_package(tmp_path), lambda g: g.output.remove(g.output[1]))
    with pytest.raises(PackageError, match="does not give probs"):
        engine.load(package, "cpu")


def test_a_wrong_number_of_classes_is_refused(tmp_path: Path) -> None:
    """Four outputs under three names would put words in the model's mouth."""
    package = make_package(tmp_path)
    path = package / "manifest.json"
    found = json.loads(path.read_text())
    found["classes"].pop()
    path.write_text(json.dumps(found))
    with pytest.raises(PackageError, match="shape"):
        engine.load(package, "cpu")


def test_a_wrong_input_size_is_refused(tmp_path: Path) -> None:
    """Preprocessing and graph must agree."""
    package = make_package(tmp_path, preprocess={"id": "plain", "height": 32, "width": 32})
    with pytest.raises(PackageError, match="preprocessing makes"):
        engine.load(package, "cpu")


def test_broken_weights_are_found_at_load(tmp_path: Path) -> None:
    """Not a number is not an answer."""

    def poison(graph: Any) -> None:
        share = next(i for i in graph.initializer if i.name == "share")
        share.raw_data = np.full(tuple(share.dims), np.nan, np.float32).tobytes()

    with pytest.raises(PackageError, match="no numbers"):
        engine.load(altered(make_package(tmp_path), poison), "cpu")


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    """Digest right, content nonsense."""
    package = make_package(tmp_path)
    (package / "model.onnx").write_bytes(b"nonsense")
    found = json.loads((package / "manifest.json").read_text())
    found["files"]["model.onnx"] = sha256(b"nonsense").hexdigest()
    (package / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(PackageError, match="cannot be loaded"):
        engine.load(package, "cpu")
