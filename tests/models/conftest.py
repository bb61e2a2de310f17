"""Fixtures of the trainer's tests; the whole folder is left out where torch is not installed."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

collect_ignore_glob = ["test_*.py"] if find_spec("torch") is None else []

WriteLabels = Callable[[Path, Sequence[tuple[str, ...]]], None]


def _declare_torchvision_operators() -> object:
    """Let a CUDA build of torchvision import beside a CPU build of torch (pytorch issue 122494)."""
    from torch import library  # noqa: PLC0415 - absent on a machine that only runs the daemon

    registry = library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        registry.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return registry


if find_spec("torch") is not None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _TORCHVISION = _declare_torchvision_operators()  # lives as long as the tests


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the architecture ``tiny`` of the tests known to recipes."""
    from cxrd_models.zoo import registry  # noqa: PLC0415
    from support.training import Tiny  # noqa: PLC0415 - needs torch, as below

    monkeypatch.setitem(registry._BUILDS, ("tiny", "small"), lambda asked: Tiny(asked.classes))


@pytest.fixture(scope="session")
def write_labels() -> WriteLabels:
    """Write ``labels.csv`` with the columns that the trainer reads."""
    return _write_labels


def _write_labels(folder: Path, rows: Sequence[tuple[str, ...]]) -> None:
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(("file", "split", "patient_id", "nih14", "source", "view"))
        table.writerows(rows)


@pytest.fixture
def folder(tmp_path: Path, write_labels: WriteLabels) -> Path:
    """Make a data folder of 24 small noise films of 24 patients; positives are brighter."""
    random = np.random.default_rng(3)
    rows = []
    for i in range(24):
        labels = [name for k, name in enumerate(("Effusion", "Mass", "Nodule")) if (i // (k + 1)) % 3 == 0]
        film = random.integers(0, 120, (48, 40)) + 60 * len(labels)
        Image.fromarray(film.astype(np.uint8)).save(tmp_path / f"{i}.png")
        split = ("train", "train", "val", "test")[i % 4]
        rows.append((f"{i}.png", split, f"p{i}", "|".join(labels) or "No Finding", "ab"[i % 2], "PA"))
    write_labels(tmp_path, rows)
    return tmp_path
