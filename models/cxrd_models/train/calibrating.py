"""What a trained model's scores mean: scaling of each graph, operating points of the whole answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxrd.findings import Value
from cxrd_models.evaluate.calibration import Calibration, calibrate, operating_points
from cxrd_models.zoo.contract import GRAPH, ChestClassifier, Ensemble, Output

_BATCH = 64


class Calibrations(Value):
    """Of every graph of a model.

    Attributes
    ----------
    graphs : dict of str to Calibration
        By name of the view.
    threshold : tuple of float
        K operating points on the probability that a film is answered with, after the gate.
    """

    graphs: dict[str, Calibration]
    threshold: tuple[float, ...]


def calibrate_model(
    model: ChestClassifier,
    logits: Mapping[str, NDArray[np.float32]],
    target: NDArray[np.float32],
    known: NDArray[np.float32],
    *,
    exclusive: bool,
) -> Calibrations:
    """Fit every graph on validation films.

    Parameters
    ----------
    logits : mapping
        [n, K] by graph, from `graph_logits`.
    target, known : array
        [n, K].
    exclusive : bool
        Exactly one class is true of each film.
    """
    graphs = {name: calibrate(found, target, known, exclusive=exclusive) for name, found in logits.items()}
    if model.ensemble is None:
        return Calibrations(graphs=graphs, threshold=graphs[GRAPH].threshold)
    blended = blend(model.ensemble, {name: graphs[name].apply(found) for name, found in logits.items()})
    return Calibrations(graphs=graphs, threshold=operating_points(blended, target, known))


def blend(ensemble: Ensemble, probability: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """[n, K] answer of two graphs [n, K], as the daemon gives it."""
    first, second = probability[GRAPH], probability[ensemble.second]
    unsure = first.max(axis=1, keepdims=True) < ensemble.threshold
    return np.where(unsure, ensemble.weight * first + (1 - ensemble.weight) * second, first)


@torch.inference_mode()
def graph_logits(
    model: ChestClassifier, image: Tensor, rows: Tensor, mask: Tensor | None = None
) -> dict[str, NDArray[np.float32]]:
    """Uncalibrated logits [rows, K] of each graph, in eval mode.

    Parameters
    ----------
    image, mask : Tensor
        [films, 1, H, W] uint8.
    rows : Tensor
        int64.
    """
    was = model.training
    model.eval()
    parts: dict[str, list[Tensor]] = {}
    for some in torch.split(rows, _BATCH):
        lungs = None if mask is None else mask[some].float() / 255
        for name, found in _by_graph(model, model(image[some].float() / 255, lungs)).items():
            parts.setdefault(name, []).append(found)
    model.train(was)
    return {name: torch.cat(found).float().cpu().numpy() for name, found in parts.items()}


def _by_graph(model: ChestClassifier, output: Output) -> dict[str, Tensor]:
    if model.ensemble is None:
        return {GRAPH: output.logits}
    first, second = model.ensemble.branches
    return {GRAPH: output.aux[first], model.ensemble.second: output.aux[second]}
