"""What a model said of an input, kept under a name that only the same input, preprocessing and model can have.

The name is a sha256 over the package's digest, the preprocessing and the pixels (and lungs) the model is fed, so that
another header around the same film finds the same answer, and another version of a model never does. Kept is what the
graph gave; thresholds and intended use are applied to it anew each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cxrd.findings import ModelRef
from cxrd.imaging.preprocess import Preprocess


class Memory(Protocol):
    """Keeps bytes by name for a while; what it has lost or cannot reach now was never there."""

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those that are there."""
        ...

    def put(self, entries: Mapping[str, bytes]) -> None:
        """Keep them."""
        ...


class Said(NamedTuple):
    """One film's outputs of one model: probabilities float32 (K,), maps float32 (Kh, h, w) or None."""

    probs: NDArray[np.float32]
    heat: NDArray[np.float32] | None


def name_of(
    model: ModelRef, preprocess: Preprocess, image: NDArray[np.float32], lungs: NDArray[np.float32] | None
) -> str:
    """Name of a model's outputs on one film, sha256 (hex)."""
    joined = sha256(f"{model.digest}\0{preprocess.model_dump_json()}\0".encode())
    joined.update(np.ascontiguousarray(image).data)
    if lungs is not None:
        joined.update(np.ascontiguousarray(lungs).data)
    return joined.hexdigest()


def pack(said: Said) -> bytes:
    """Outputs as bytes: a NumPy archive, compressed."""
    arrays = {"probs": said.probs} if said.heat is None else {"probs": said.probs, "heat": said.heat}
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(data: bytes) -> Said:
    """Outputs from bytes."""
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        return Said(arrays["probs"], arrays.get("heat"))
