"""Checkpoints: written beside and renamed, read as plain tensors, refused for another model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from cxrd_models.errors import WeightsError
from cxrd_models.writing import writing
from cxrd_models.zoo.contract import ChestClassifier

_MAX_NAMED = 6
_PLAIN = "weights are read without running code: a file of torch.save(model.state_dict(), PATH)"


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write atomically: a reader sees the old file or the new one, after a power cut too.

    Raises
    ------
    DataError
        The disk is full, or takes no file there.
    """
    beside = path.with_suffix(".partial")
    with writing(path):
        try:
            with beside.open("wb") as file:
                torch.save(dict(content), file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except RuntimeError as fault:
            if isinstance(fault.__context__, OSError):  # torch hides what the disk said
                raise fault.__context__ from fault
            raise
        finally:
            beside.unlink(missing_ok=True)


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are accepted (``weights_only``).

    Raises
    ------
    WeightsError
        It does not exist or is not a checkpoint.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist") from None
    except UnpicklingError as fault:  # torch's own text advises to run the code in it
        raise WeightsError(f"{path} holds no weights, or more than weights", hint=_PLAIN) from fault
    except Exception as fault:  # torch raises many kinds for a foreign file
        raise WeightsError(f"{path} is not a checkpoint: {fault}", hint=_PLAIN) from fault
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not weights by name", hint=_PLAIN)
    return content


def restore(model: torch.nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Fill a model with a state that must have exactly its keys and shapes.

    Raises
    ------
    WeightsError
        The state belongs to another architecture; names the first differing keys.
    """
    faults = differences(model.state_dict(), state)
    if faults:
        raise WeightsError(f"{where} belongs to another model: {_listed(faults)}")
    model.load_state_dict(dict(state))


def load_backbone(model: ChestClassifier, published: Mapping[str, Tensor], where: str) -> str:
    """Fill the backbone from published weights (torchvision key names); returns the report.

    The published classifier is ignored; anything else left over or missing is an error.

    Raises
    ------
    WeightsError
        Keys or shapes differ.
    """
    state = model.state_dict()
    offered = {k: v for k, v in published.items() if not k.startswith(model.published_unused)}
    filled = 0
    for prefix in model.published:
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        faults = differences(own, offered)
        if faults:
            raise WeightsError(f"{where} does not fit {prefix}*: {_listed(faults)}")
        with torch.no_grad():
            for key, value in own.items():
                value.copy_(offered[key])
        filled += len(own)
    model.on_published_loaded()
    return f"{filled} keys loaded, {len(published) - len(offered)} published ones have no place in this model"


def differences(own: Mapping[str, Tensor], offered: Mapping[str, Tensor]) -> list[str]:
    """Every key that is missing, unexpected or of another shape."""
    faults = [f"missing {k}" for k in own if k not in offered]
    faults += [f"unexpected {k}" for k in offered if k not in own]
    faults += [
        f"{k} is {tuple(offered[k].shape)}, not {tuple(v.shape)}"
        for k, v in own.items()
        if k in offered and offered[k].shape != v.shape
    ]
    return faults


def _listed(faults: list[str]) -> str:
    more = f" and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
    return "; ".join(faults[:_MAX_NAMED]) + more
