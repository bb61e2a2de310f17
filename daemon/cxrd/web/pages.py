"""The page: what the node is doing, what became of each study, what its models are; readable without scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cxrd.settings import Settings
from cxrd.store import views
from cxrd.store.database import Database
from cxrd.store.schema import StudyState
from cxrd.telling import standing, steps
from cxrd.watch.health import Check, ready
from cxrd.web import films
from cxrd.web.models import ModelCards
from cxrd.web.rendering import clock, render
from cxrd.web.running import read_running

SHOWN_STUDIES = 50
STATES = (*map(str, StudyState), "quarantined")


class Pages:
    """HTML pages over the store's read models.

    Parameters
    ----------
    settings : Settings
        Sources and destinations that are shown before anything happened to them.
    database : Database
        Read at each request.
    look : callable
        The node's health, as ``/readyz`` tells it.
    cards : ModelCards
        The packages of this machine.
    metrics_dir : str
        Where the roles of this node keep what they say of themselves.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        look: Callable[[], Sequence[Check]],
        cards: ModelCards,
        metrics_dir: str,
    ) -> None:
        self._database = database
        self._look = look
        self._metrics_dir = metrics_dir
        self._cards = cards
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Show other sources and destinations from the next request on."""
        self._settings = settings

    def overview(self, request: Request) -> Response:
        """Health, queue, destinations, sources, and the newest studies that fit the filter."""
        asked = {key: request.query_params.get(key, "").strip() for key in ("state", "source", "text", "after")}
        with self._database.read() as connection:
            now = self._database.now(connection)
            found = views.studies(connection, limit=SHOWN_STUDIES + 1, wanted=views.Wanted(since=0.0, **asked))
            last_image = views.last_instance_by_source(connection)
            told: dict[str, Any] = {
                "now": now,
                "states": views.studies_by_state(connection),
                "queue": views.queue(connection),
                "undelivered": views.oldest_undelivered_by_dest(connection, now),
                "studies": found[:SHOWN_STUDIES],
                "patients": self._patients(request, [row.uid for row in found]),
                "source_names": sorted({*views.sources(connection), *self._sources()}),
            }
        older = urlencode({**asked, "after": found[SHOWN_STUDIES - 1].place}) if len(found) > SHOWN_STUDIES else ""
        checks = list(self._look())
        return render(
            request,
            "overview.html",
            **told,
            asked=asked,
            older=older,
            all_states=STATES,
            checks=checks,
            ready=ready(checks),
            sources={name: last_image.get(name) for name in [*self._sources(), *sorted(last_image)]},
            destinations={d.name: d for d in self._settings.destinations},
            up=read_running(self._metrics_dir).up,
        )

    def study(self, request: Request) -> Response:
        """Everything that is known of one study, with its film and the heat over it."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            found = views.study(connection, request.path_params["uid"])
            if found is None:
                raise HTTPException(404, "No study of this UID or accession number has been received.")
            analysis, queue = views.analysis(connection, found.uid), views.queue(connection)
        asked = request.query_params
        chosen = (asked.get("film", ""), asked.get("heat", ""), asked.get("strength", ""))
        return render(
            request,
            "study.html",
            study=found,
            patient=self._patients(request, [found.uid]).get(found.uid, ""),
            standing=standing(found),
            steps=steps(found, queue, self._settings.peers(), now, clock),
            analysis=analysis,
            shown=films.choose(analysis, *chosen) if analysis else None,
            destinations=sorted({row["dest"] for row in found.deliveries}),
            deliveries={(row["artefact_uid"], row["dest"]): row for row in found.deliveries},
        )

    def models(self, request: Request) -> Response:
        """Models in force, their classes and thresholds, and whether films and answers have drifted."""
        with self._database.read() as connection:
            cards = self._cards.read(connection, read_running(self._metrics_dir))
        return render(request, "models.html", cards=cards, few=self._settings.drift.min_films)

    def _sources(self) -> list[str]:
        return [source.name for source in self._settings.dicom.sources]

    def _patients(self, request: Request, uids: Sequence[str]) -> dict[str, str]:
        """Patient IDs, where the site wants to see them and the person may."""
        if not self._settings.web.show_patient or request.state.operator is None:
            return {}
        with self._database.read() as connection:
            return views.patients(connection, uids)
