"""The page at ``/``: what the node is doing, rendered on the server, readable without a network or scripts."""

from __future__ import annotations

from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cxrd import __version__
from cxrd.store import views
from cxrd.store.database import Database

SHOWN_STUDIES = 50


def _clock(epoch_s: float | None) -> str:
    return "" if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


class Pages:
    """HTML pages over the store's read models.

    Parameters
    ----------
    database : Database
        Read at each request.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._templates = Environment(
            loader=PackageLoader("cxrd.web"),
            autoescape=select_autoescape(default=True),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["clock"] = _clock

    def overview(self, _request: Request) -> Response:
        """Studies by state, the queue, and the newest studies."""
        with self._database.read() as connection:
            page = self._templates.get_template("overview.html").render(
                version=__version__,
                states=views.studies_by_state(connection),
                queue=views.jobs_by_kind_state(connection),
                studies=views.studies(connection, limit=SHOWN_STUDIES),
            )
        return HTMLResponse(page)
