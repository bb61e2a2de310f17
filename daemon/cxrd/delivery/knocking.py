"""A destination that was left alone is asked by C-ECHO before it is sent anything."""

from __future__ import annotations

from random import random

from sqlalchemy import Connection

from cxrd.delivery.sender import is_there
from cxrd.peers import Peer
from cxrd.store import jobs, lanes
from cxrd.store.database import Database
from cxrd.store.steps import Step


def knock(database: Database, claim: jobs.Claim, peer: Peer, calling_ae: str) -> Step | None:
    """Ask the peer of a claim, if that must be: None when it may be worked for, else what is to be written down."""
    with database.read() as connection:
        closed = lanes.must_knock(connection, claim.lane)
    if not closed or is_there(peer, calling_ae):
        return None

    def effect(connection: Connection, now: float) -> None:
        lanes.failed(connection, now, claim.lane, jitter=random())  # noqa: S311 - jitter is no secret
        jobs.release(connection, now, claim)

    return Step(claim, effect)
