"""What is listed, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from cxrd.store import audit, interventions, lanes, schema, views
from cxrd.store.audit import What
from cxrd.store.database import Database
from cxrd.store.views import Wanted
from support.rows import STUDY, analysis, arrive, reported, rows


@pytest.fixture
def studies(database: Database) -> Database:
    """Five studies, two of a second source."""
    for number in range(1, 6):
        source = "xray" if number > 3 else "pacs"
        arrive(database, number, study_uid=f"1.2.{number}", source=source, accession=f"A%{number}_")
    return database


def listed(database: Database, limit: int = 10, **wanted: Any) -> list[str]:
    """Last number of each study's UID, as listed."""
    with database.read() as connection:
        return [row.uid[4:] for row in views.studies(connection, limit=limit, wanted=Wanted(**wanted))]


def test_studies_are_filtered(studies: Database) -> None:
    """By state, source and a part of UID or accession number, which may hold wildcards of SQL."""
    assert ["5", "4", "3", "2", "1"] == listed(studies)
    assert ["5", "4"] == listed(studies, source="xray")
    assert ["3"] == listed(studies, text="2.3")
    assert ["4"] == listed(studies, text="%4_")
    assert [] == listed(studies, text="4%")
    assert [] == listed(studies, state="failed")
    assert ["2"] == listed(studies, source="pacs", state="received", text="A%2")


def test_a_list_goes_on_where_it_stopped(studies: Database) -> None:
    """Also among studies of one moment; a place that is none is the beginning."""
    with studies.write() as connection:
        connection.exec_driver_sql("UPDATE study SET last_at = 1700000000.5")
    with studies.read() as connection:
        first = views.studies(connection, limit=2)
        second = views.studies(connection, limit=10, wanted=Wanted(after=first[-1].place))
    assert ["5", "4", "3", "2", "1"] == [row.uid[4:] for row in (*first, *second)]
    assert 5 == len(listed(studies, after="nowhere"))


def test_a_stage_of_a_newer_version_stands_last(studies: Database) -> None:
    """It is listed and counted like any other, and what is dead of it can be revived."""
    with studies.write() as connection:
        connection.exec_driver_sql("UPDATE job SET kind = 'anonymise', state = 'dead' WHERE study_uid = '1.2.1'")
        lanes.register(connection, ["vault"])
        connection.exec_driver_sql("UPDATE dest SET kind = 'anonymise' WHERE name = 'vault'")
    with studies.read() as connection:
        found = [(row.kind, row.lane, row.dead) for row in views.queue(connection)]
    assert [("infer", "", 0), ("build", "", 0), ("anonymise", "", 1), ("anonymise", "vault", 0)] == found
    with studies.write() as connection:
        assert 1 == len(interventions.retry(connection, studies.now(connection), actor="operator", kind="anonymise"))


def test_a_refused_configuration_is_the_matter_of_its_own_host(studies: Database) -> None:
    """One host that starts well hides no other's refusal, and takes no blame for it."""
    with studies.write() as connection:
        for host, what in (("one", What.CONFIG_LOADED), ("one", What.CONFIG_REFUSED), ("two", What.CONFIG_LOADED)):
            audit.record(connection, 0.0, what, audit.CONFIG, {}, actor=audit.actor_on(host))
        assert [True, False, False] == [views.config_refused(connection, host) for host in ("one", "two", "three")]
        audit.record(connection, 0.0, What.CONFIG_RELOADED, audit.CONFIG, {}, actor=audit.actor_on("one"))
        assert not views.config_refused(connection, "one")


def test_sources_and_patients_are_told(studies: Database) -> None:
    """For a page that shows them."""
    with studies.read() as connection:
        assert ["pacs", "xray"] == views.sources(connection)
        assert {"1.2.1": ""} == views.patients(connection, ["1.2.1", "9.9"])
    assert 5 == len(rows(studies, "SELECT uid FROM study"))


def test_what_a_newer_version_found_is_shown_as_far_as_this_one_knows(database: Database) -> None:
    """While hosts are upgraded one by one, the page of an older one opens every study."""
    arrive(database)
    reported(database)
    with database.write() as connection:
        output = connection.execute(select(schema.inference.c.output)).scalar_one()
        output["films"][0]["film"]["later"] = output["later"] = "what only a newer version knows"
        connection.execute(update(schema.inference).values(output=output))
    with database.read() as connection:
        assert analysis() == views.analysis(connection, STUDY)
