"""One version of a model answers at a time, whoever asks, and the trail tells how it came to be."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from cxrd.errors import PackageError, StoreError
from cxrd.inference.lifecycle import Stage
from cxrd.store import observations, packages, schema
from cxrd.store.database import Database
from cxrd.store.observations import Pair, Seen
from support.rows import STUDY, arrive, record, rows


def known(database: Database) -> dict[str, str]:
    """Version to stage."""
    with database.read() as connection:
        return {e.version: str(e.stage) for e in packages.entries(connection)}


def three(database: Database) -> None:
    """One version that answers, and two that were added."""
    with database.write() as connection:
        packages.adopt(connection, 1.0, {("tiny", "1.0.0"): "a"})
        packages.add(connection, 2.0, "tiny", "2.0.0", "b")
        packages.add(connection, 3.0, "tiny", "3.0.0", "c")


def test_the_way_of_a_version(database: Database) -> None:
    """Added, looking on, answering, gone back from, retired; each step is told with who took it."""
    three(database)
    with database.write() as connection:
        packages.shadow(connection, 4.0, "tiny", "2.0.0")
    assert {"1.0.0": "active", "2.0.0": "shadow", "3.0.0": "added"} == known(database)
    with database.write() as connection:
        packages.promote(connection, 5.0, "tiny", "2.0.0", {"forced": False})
        packages.promote(connection, 6.0, "tiny", "3.0.0", {"forced": False})
    assert {"1.0.0": "added", "2.0.0": "added", "3.0.0": "active"} == known(database)
    with database.write() as connection:
        assert ("3.0.0", "2.0.0") == packages.roll_back(connection, 7.0, "tiny", "worse")
        assert ("2.0.0", "1.0.0") == packages.roll_back(connection, 8.0, "tiny", "worse still")
        packages.retire(connection, 9.0, "tiny", "3.0.0", "bad", force=False)
    assert {"1.0.0": "active", "2.0.0": "added", "3.0.0": "retired"} == known(database)
    told = rows(database, "SELECT what, subject, actor FROM audit ORDER BY id")
    assert [
        ("model_adopted", "tiny@1.0.0", "cxrd"),
        *[(f"model_{what}", f"tiny@{version}", "operator") for what, version in (
            ("added", "2.0.0"), ("added", "3.0.0"), ("shadowed", "2.0.0"), ("promoted", "2.0.0"),
            ("promoted", "3.0.0"), ("rolled_back", "2.0.0"), ("rolled_back", "1.0.0"), ("retired", "3.0.0"),
        )],
    ] == told  # fmt: skip


def test_steps_that_lead_nowhere_are_refused(database: Database) -> None:
    """Each by name, and nothing is changed."""
    three(database)
    with database.write() as connection:
        packages.retire(connection, 4.0, "tiny", "3.0.0", "", force=False)
    before = known(database)
    for step, why in (
        (lambda c: packages.shadow(c, 5.0, "tiny", "1.0.0"), "is active"),
        (lambda c: packages.shadow(c, 5.0, "tiny", "9.0.0"), "not known"),
        (lambda c: packages.promote(c, 5.0, "tiny", "3.0.0", {}), "is retired"),
        (lambda c: packages.promote(c, 5.0, "tiny", "1.0.0", {}), "active already"),
        (lambda c: packages.roll_back(c, 5.0, "tiny", ""), "no version to go back to"),
        (lambda c: packages.roll_back(c, 5.0, "other", ""), "no version of other is active"),
        (lambda c: packages.retire(c, 5.0, "tiny", "1.0.0", "", force=False), "promote another version first"),
        (lambda c: packages.add(c, 5.0, "tiny", "2.0.0", "other bytes"), "a published version never changes"),
    ):
        with pytest.raises(PackageError, match=why), database.write() as connection:
            step(connection)
    assert before == known(database)


def test_a_model_can_leave_service(database: Database) -> None:
    """By force, and then nothing of it answers."""
    three(database)
    with database.write() as connection:
        packages.retire(connection, 4.0, "tiny", "1.0.0", "unsafe", force=True)
    assert "active" not in known(database).values()


def test_one_version_looks_on_at_a_time(database: Database) -> None:
    """The next one takes its place."""
    three(database)
    with database.write() as connection:
        packages.shadow(connection, 4.0, "tiny", "2.0.0")
        packages.shadow(connection, 5.0, "tiny", "3.0.0")
    assert {"1.0.0": "active", "2.0.0": "added", "3.0.0": "shadow"} == known(database)
    with database.write() as connection:
        assert packages.unshadow(connection, 6.0, "tiny")
        assert not packages.unshadow(connection, 7.0, "tiny")


def test_the_database_itself_refuses_two_that_answer(database: Database) -> None:
    """Whatever a program that goes its own way may write."""
    three(database)
    row = {"model": "tiny", "version": "4.0.0", "digest": "d", "stage": "active", "follows": "", "since": 0.0}
    with pytest.raises(StoreError), database.write() as connection:
        connection.execute(insert(schema.package).values(**row))


def test_what_is_known_is_not_adopted_again(database: Database) -> None:
    """A second host that starts with a higher version follows the first; a release takes its starters along."""
    three(database)
    with database.write() as connection:
        packages.adopt(connection, 4.0, {("tiny", "5.0.0"): "e"})
    assert "5.0.0" not in known(database)
    with database.write() as connection:
        packages.follow_release(connection, 5.0, "tiny", "5.0.0", "e")
    assert {"2.0.0": "added", "3.0.0": "added", "5.0.0": "active"} == known(database)


def test_films_that_both_judged_are_found_once(database: Database) -> None:
    """The newest judgement of each; a film that another version answered is left out where that is asked for."""
    arrive(database)
    with database.write() as connection:
        now = database.now(connection)
        made = record(connection, now)

        def saw(version: str, stage: Stage, **films: float) -> None:
            seen = {film: [Seen("tiny", version, {}, {"Effusion": p})] for film, p in films.items()}
            observations.record(connection, now, made, STUDY, seen, stage)

        saw("1.0.0", Stage.ACTIVE, a=0.1, b=0.2, c=0.3)
        saw("2.0.0", Stage.SHADOW, a=0.4, b=0.5)
        saw("2.0.0", Stage.SHADOW, a=0.6)
    with database.read() as connection:
        found = {pair.film: pair for pair in observations.pairs(connection, "tiny", "2.0.0", 100)}
        assert Pair("a", {"Effusion": 0.1}, {"Effusion": 0.6}) == found["a"]
        assert {"a", "b"} == found.keys()
        assert [] == observations.pairs(connection, "tiny", "2.0.0", 100, against="0.9.0")
        assert 3 == len(observations.newest(connection, 10))
