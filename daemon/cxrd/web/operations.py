"""What an operator may set going from the page; each leaves the operator's name in the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cxrd.store import interventions, lanes
from cxrd.store.database import Database
from cxrd.web.access import operator
from cxrd.web.rendering import Done


class Operations:
    """POST handlers that change one thing and lead back to the page that asked.

    Parameters
    ----------
    database : Database
        What is changed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def requeue(self, request: Request) -> Response:
        """Work on a study again."""
        actor, uid = operator(request), request.path_params["uid"]
        with self._database.write() as connection:
            now = self._database.now(connection)
            with _declining():
                count = interventions.requeue(connection, now, study_uid=uid, actor=actor)
        if not count:
            raise HTTPException(409, "Nothing of this study can be worked on again now: it is being worked on.")
        return _back(f"/studies/{quote(uid, safe='')}", Done.REQUEUED)

    def retry(self, request: Request) -> Response:
        """Revive one job that is dead or dismissed."""
        actor, uid = operator(request), request.path_params["uid"]
        with self._database.write() as connection:
            now = self._database.now(connection)
            ids = [request.path_params["job"]]
            with _declining():
                done = interventions.retry(connection, now, actor=actor, ids=ids, study_uid=uid)
        if not done:
            raise HTTPException(409, "This job is not dead any more.")
        return _back(f"/studies/{quote(uid, safe='')}", Done.RETRIED)

    async def dismiss(self, request: Request) -> Response:
        """Wait no more for one dead job, for the reason that the form gives."""
        actor = operator(request)
        async with request.form() as form:
            reason = form.get("reason")
        said = reason if isinstance(reason, str) else ""
        return await run_in_threadpool(self._dismiss, actor, **request.path_params, reason=said)

    def _dismiss(self, actor: str, uid: str, job: int, reason: str) -> Response:
        with self._database.write() as connection:
            now = self._database.now(connection)
            with _declining():
                done = interventions.dismiss(connection, now, actor=actor, reason=reason, ids=[job], study_uid=uid)
        if not done:
            raise HTTPException(409, "This job is not dead any more.")
        return _back(f"/studies/{quote(uid, safe='')}", Done.DISMISSED)

    def pause(self, request: Request) -> Response:
        """Send nothing to a destination until it is resumed."""
        return self._set_paused(request, paused=True)

    def resume(self, request: Request) -> Response:
        """Send to a destination again."""
        return self._set_paused(request, paused=False)

    def _set_paused(self, request: Request, *, paused: bool) -> Response:
        actor, name = operator(request), request.path_params["name"]
        with self._database.write() as connection:
            known = lanes.pause(connection, self._database.now(connection), name, paused=paused, actor=actor)
        if not known:
            raise HTTPException(404, "No destination of that name has been worked for yet.")
        return _back("/", Done.PAUSED if paused else Done.RESUMED)


@contextmanager
def _declining() -> Iterator[None]:
    """Say what cannot be done, and why, to the person at the page."""
    try:
        yield
    except interventions.Declined as error:
        raise HTTPException(409, str(error)) from error


def _back(path: str, done: Done) -> Response:
    """See other (RFC 9110 15.4.4): a reload of the page does not do it again."""
    return RedirectResponse(f"{path}?done={done.name.lower()}", status_code=303)
