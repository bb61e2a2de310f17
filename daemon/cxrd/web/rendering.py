"""Templates, and how the page writes numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from cxrd import __version__
from cxrd.telling import span


class Done(StrEnum):
    """What a page may say that somebody has just done; an address names one, and cannot put words on the page."""

    REQUEUED = "The study is worked on again."
    RETRIED = "The job is ready again."
    DISMISSED = "The job is dismissed."
    PAUSED = "The destination is paused; its results wait."
    RESUMED = "The destination gets its results again."


def clock(epoch_s: float | None) -> str:
    """Local date and time of an epoch second, or nothing."""
    return "" if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def zone() -> str:
    """How far local time is from UTC now: in a container it is often not the hospital's."""
    return f"UTC{datetime.now(UTC).astimezone().isoformat()[-6:]}"


def words(name: str) -> str:
    """A class id or a code as a person writes it."""
    return name.replace("_", " ")


_TEMPLATES = Environment(
    loader=PackageLoader("cxrd.web"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"clock": clock, "span": span, "words": words}
_TEMPLATES.globals |= {"version": __version__, "zone": zone}


def render(request: Request, name: str, *, status_code: int = 200, **context: object) -> HTMLResponse:
    """Fill a template."""
    told = {
        "operator": request.state.operator,
        "path": request.scope["path"],
        "done": Done.__members__.get(request.query_params.get("done", "").upper(), ""),
    }
    page = _TEMPLATES.get_template(name).render(**told, **context)
    return HTMLResponse(page, status_code=status_code)
