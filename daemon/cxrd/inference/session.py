"""An ONNX Runtime session on the provider that really works here, opened without noise.

A CUDA build of ONNX Runtime lists CUDA as available on a machine without it, complains about missing
libraries on standard error, and left to itself changes provider in mid-run with a line on standard output.
Here CUDA is in force exactly when a session says so, and never leaves it silently.
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as native

from cxrd.errors import PackageError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(x for x in vars(native).values() if isinstance(x, type) and issubclass(x, Exception)),
)
"""What ONNX Runtime raises: its own kinds have no common root but ``Exception``."""

_DRIVER = "libcuda.so.1"
_WARNING, _FATAL = 2, 4  # ONNX Runtime's log severities; warning is what it starts with


def open_session(graph: Path, provider: str, threads: int) -> Any:
    """Open a graph.

    Parameters
    ----------
    graph : Path
        ONNX file.
    provider : {"auto", "cuda", "cpu"}
        "auto" falls back to the CPU where CUDA does not work; "cuda" does not.
    threads : int
        Intra-op threads, 0 for one per core.

    Returns
    -------
    onnxruntime.InferenceSession
        Its first provider is the one in force.

    Raises
    ------
    PackageError
        The file is no graph that can be loaded, or CUDA was demanded and does not work.
    """
    if provider not in {"auto", "cuda", "cpu"}:
        raise PackageError(f"provider {provider!r} is unknown", hint="it is auto, cuda or cpu")
    why = "" if provider == "cpu" else _why_no_cuda()
    if provider != "cpu" and not why:
        # Shapes of batches vary: an exhaustive search of convolutions for each new one would cost seconds.
        asked = [(CUDA, {"cudnn_conv_algo_search": "HEURISTIC"}), CPU]
        try:
            with _silence():
                session = _open(graph, threads, asked)
        except RUNTIME_ERRORS as error:
            why = str(error)
        else:
            if session.get_providers()[0] == CUDA:
                return session
            why = "a session did not get it; CUDA or cuDNN libraries of the right version are missing"
    if provider == "cuda":
        raise PackageError(
            f"inference.provider is cuda, but ONNX Runtime cannot use CUDA here: {why}",
            hint="check the driver, pip install 'onnxruntime-gpu[cuda,cudnn]', or set the provider to auto",
        )
    try:
        return _open(graph, threads, [CPU])
    except RUNTIME_ERRORS as error:
        raise PackageError(f"{graph} cannot be loaded: {error}", hint="export the package again") from error


def _open(graph: Path, threads: int, providers: list[Any]) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL  # what fails is raised, and then told in our words
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # sessions share the cores
    session = ort.InferenceSession(str(graph), options, providers=providers, enable_fallback=0)
    session.disable_fallback()  # a lost GPU is an error to act on, not a slower answer
    return session


def _why_no_cuda() -> str:
    """Say why CUDA cannot work, "" where only a session can tell; spares CPU machines loading gigabytes."""
    if CUDA not in ort.get_available_providers():
        return "this build of ONNX Runtime has no CUDA provider"
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return f"there is no NVIDIA driver ({_DRIVER})"
    return ""


@contextmanager
def _silence() -> Iterator[None]:
    """Load CUDA libraries that pip installed, and keep to ourselves what is said of missing ones."""
    ort.set_default_logger_severity(_FATAL)
    try:
        with redirect_stdout(io.StringIO()):
            if hasattr(ort, "preload_dlls"):  # since 1.21
                ort.preload_dlls()
            yield
    finally:
        ort.set_default_logger_severity(_WARNING)
