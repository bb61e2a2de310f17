"""Where a backbone's weights come from: chance, a published file, or CheXNet's own layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cxrd_models.errors import RecipeError, WeightsError
from cxrd_models.train.checkpoint import load

MOBILENET = "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth"
_CHEXNET_KEY = re.compile(r"^(?:module\.)?densenet121\.features\.(.+)$")
_CHEXNET_LAYER = re.compile(r"\.(norm|conv)\.([12])\.")


class Initial(NamedTuple):
    """What ``--init`` asked for.

    Attributes
    ----------
    kind : {"random", "imagenet", "chexnet", "file"}
        ``imagenet`` is fetched, ``chexnet`` is read from its ``model.pth.tar``, ``file`` in torchvision's key names.
    path : Path or None
        Of the last two.
    """

    kind: Literal["random", "imagenet", "chexnet", "file"]
    path: Path | None = None

    @property
    def name(self) -> str:
        """How the command line would say it, by file name only."""
        file = self.path.name if self.path else ""
        return {"chexnet": f"chexnet:{file}", "file": file}.get(self.kind, self.kind)

    @property
    def digest(self) -> str:
        """sha256 (hex) of the file; "" without one."""
        return sha256(self.path.read_bytes()).hexdigest() if self.path else ""


def parse(text: str) -> Initial:
    """Read ``random``, ``imagenet``, ``chexnet:PATH`` or ``PATH``.

    Raises
    ------
    RecipeError
        The file does not exist.
    """
    if text == "random":
        return Initial("random")
    if text == "imagenet":
        return Initial("imagenet")
    kind: Literal["chexnet", "file"] = "chexnet" if text.startswith("chexnet:") else "file"
    path = Path(text.removeprefix("chexnet:"))
    if not path.is_file():
        raise RecipeError(f"--init {text}: {path} is no file", hint="it is random, imagenet, chexnet:PATH or PATH")
    return Initial(kind, path)


def published(initial: Initial, device: torch.device) -> Mapping[str, Tensor]:
    """Weights in the key names of the backbone; for ``imagenet``, those of the small sizes' MobileNetV2.

    Raises
    ------
    WeightsError
        The file cannot be read, or not be fetched.
    """
    if initial.path is not None:
        found = load(initial.path, device)
        return from_chexnet(found, str(initial.path)) if initial.kind == "chexnet" else found
    try:
        fetched: Mapping[str, Tensor] = torch.hub.load_state_dict_from_url(
            MOBILENET, map_location=device, progress=False, weights_only=True
        )
    except OSError as fault:
        raise WeightsError(
            f"{MOBILENET} cannot be fetched: {fault}",
            hint="give a file that you have with --init PATH, or start from --init random",
        ) from fault
    return fetched


def from_chexnet(content: Mapping[str, object], where: str) -> dict[str, Tensor]:
    """Convert CheXNet's checkpoint (``module.densenet121.features…norm.1…``) to DenseNet-121 key names.

    Raises
    ------
    WeightsError
        It holds nothing of that layout.
    """
    state = content.get("state_dict", content)
    found: dict[str, Tensor] = {}
    if isinstance(state, Mapping):
        for key, value in state.items():
            match = _CHEXNET_KEY.match(key)
            if match and isinstance(value, Tensor):
                found[_CHEXNET_LAYER.sub(r".\1\2.", match[1])] = value
    if not found:
        raise WeightsError(f"{where} holds no densenet121.features", hint="it is CheXNet's model.pth.tar?")
    return found
