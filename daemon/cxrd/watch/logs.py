"""One line of JSON for each event, with UIDs and never with a patient's name or number.

What may identify a patient stays out twice: callers pass UIDs and codes only, and
:func:`without_patient_data` drops the keys that would carry more. pydicom's warnings quote header values,
so they are kept off the log.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

import structlog

PATIENT_KEYS = frozenset(
    {
        "patient",
        "patient_name",
        "patient_id",
        "name",
        "birth_date",
        "accession",
        "accession_number",
        "address",
        "header",
        "dataset",
    }
)


def without_patient_data(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every key that could carry patient data (structlog processor)."""
    return {key: value for key, value in event.items() if key not in PATIENT_KEYS}


def _for_a_person() -> Any:
    """Lines in colour, unless NO_COLOR is set or standard error is no terminal."""
    from rich.console import Console  # noqa: PLC0415 - a service writes JSON

    console = Console(stderr=True)
    return structlog.dev.ConsoleRenderer(colors=console.is_terminal and not console.no_color)


def configure(role: str, *, json: bool, level: int = logging.INFO) -> None:
    """Set up logging of this process on standard error.

    Parameters
    ----------
    role : str
        Added to each line.
    json : bool
        JSON lines (a service), or coloured text (a person at a terminal).
    """
    renderer: Any = structlog.processors.JSONRenderer() if json else _for_a_person()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_patient_data,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # one write a line: roles share the stream, and unbuffered Python (PYTHONUNBUFFERED) would end lines apart
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for quotes_headers in ("py.warnings", "pydicom"):
        logging.getLogger(quotes_headers).setLevel(logging.CRITICAL)
    threading.excepthook = _tell
    for chatty in ("pynetdicom", "apscheduler", "alembic", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


def _tell(ended: threading.ExceptHookArgs) -> None:
    """Say that a thread ended by an error: a connection that was cut at the wrong moment ends pynetdicom's so."""
    if ended.exc_type is not SystemExit:
        error = ended.exc_value or ended.exc_type()
        told = (ended.exc_type, error, ended.exc_traceback)
        logger().error("a thread ended by an error", thread=getattr(ended.thread, "name", ""), exc_info=told)


def logger() -> Any:
    """The process's logger."""
    return structlog.get_logger()
