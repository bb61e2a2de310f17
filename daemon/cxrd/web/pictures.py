"""A film and the heat that a model saw on it, as layers of their own: the page lays one over the other."""

from __future__ import annotations

import cv2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cxrd.errors import PayloadLost
from cxrd.findings import FilmAnalysis, Finding, Heat
from cxrd.imaging.overlay import layer
from cxrd.store import views
from cxrd.store.database import Database
from cxrd.store.payload import Payloads
from cxrd.web.access import operator

LONGER_SIDE = 512
"""Of a heat layer, pixels: its grid is coarse, and a browser enlarges it as smoothly."""


class Pictures:
    """PNG pictures of analysed films, for operators.

    Parameters
    ----------
    database, payload
        Where analyses and previews are.
    """

    def __init__(self, database: Database, payload: Payloads) -> None:
        self._database = database
        self._payload = payload

    def film(self, request: Request) -> Response:
        """The film as a viewer shows it."""
        operator(request)
        preview = self._film(request).preview
        try:
            return Response(self._payload.get(preview), media_type="image/png")
        except PayloadLost as lost:
            raise HTTPException(410, f"The picture of this film is gone: {lost.what}.") from lost

    def heat(self, request: Request) -> Response:
        """One finding's heat, transparent where there is little, in the shape of the film."""
        operator(request)
        film = self._film(request)
        told = request.path_params
        said = [x for a in film.answers if a.model.id == told["model"] for x in a.findings]
        found: Finding | None = next((x for x in said if x.class_id == told["finding"] and x.heat), None)
        if found is None or found.heat is None:
            raise HTTPException(404, "No heat was kept for this finding of this model.")
        return Response(heat_png(found.heat, film.film.rows, film.film.columns), media_type="image/png")

    def _film(self, request: Request) -> FilmAnalysis:
        with self._database.read() as connection:
            found = views.analysis(connection, request.path_params["uid"])
        for film in found.films if found else ():
            if film.film.sop_uid == request.path_params["sop_uid"] and film.preview:
                return film
        raise HTTPException(404, "No such film has been analysed.")


def heat_png(heat: Heat, rows: int, columns: int) -> bytes:
    """Heat as a layer (PNG with alpha) in the shape of a film of ``rows`` x ``columns`` pixels."""
    scale = LONGER_SIDE / max(rows, columns)
    size = (max(1, round(rows * scale)), max(1, round(columns * scale)))
    _, png = cv2.imencode(".png", cv2.cvtColor(layer(heat.grid(), size), cv2.COLOR_RGBA2BGRA))
    return png.tobytes()
