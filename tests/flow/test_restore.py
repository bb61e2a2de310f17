"""A database restored from an old backup, while payloads and the PACS went on: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from cxrd.demo.pacs import StandInPacs
from cxrd.service.reconciliation import Reconciliation
from cxrd.settings import load
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from support.node import Node, until
from support.packages import make_package
from support.storm import Sender, at

pytestmark = pytest.mark.flow


def backup(root: Path, database: Path, target: Path) -> None:
    """A consistent copy of a database in use, in the words of deploy/backup.md."""
    told = re.search(r'cxrd.db "(.*)/backup/new.db(.*)"', (root / "deploy/backup.md").read_text(encoding="utf-8"))
    assert told
    with closing(sqlite3.connect(database)) as source:
        source.execute(f"{told[1]}{target}{told[2]}")


def reconcile(node: Node) -> list[dict[str, Any]]:
    """Lines of `cxrd reconcile --json`."""
    answer = node.cli("reconcile", "--json", "--younger", "0", "--since", "20250101")
    assert 0 == answer.returncode, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def compare(node: Node) -> list[dict[str, Any]]:
    """The same without changing anything, without a process of its own."""
    settings = load(node.config)
    database, payload = Database(settings.database.url), PayloadStore(settings.storage.dir)
    found = [asdict(row) for row in Reconciliation(settings, database, payload, since="20250101", change=False).run()]
    database.dispose()
    return found


def test_a_restored_database_catches_up(root: Path, tmp_path: Path, pacs: StandInPacs) -> None:
    """Studies that came after the backup are analysed again and get the very objects that the PACS holds."""
    make_package(tmp_path / "models")
    node = Node(tmp_path, pacs_port=pacs.port, models=tmp_path / "models")
    database, old = tmp_path / "cxrd.db", tmp_path / "yesterday.db"
    sender = Sender(node, tmp_path)

    def results() -> dict[str, list[str]]:
        return {study: ["OT", "SR"] for study in sender.acknowledged.values()}

    with node:
        sender.one()
        until(lambda: at(pacs) == results(), seconds=60, what="the first study is delivered")
        until(lambda: {r["state"] for r in node.studies()} == {"delivered"}, seconds=30, what="the node knows")
        backup(root, database, old)
        for _ in range(2):
            sender.one()
        until(lambda: at(pacs) == results(), seconds=60, what="two more are delivered")
    for path in tmp_path.glob("cxrd.db*"):
        path.unlink()
    shutil.copyfile(old, database)
    first, *later = list(dict.fromkeys(sender.acknowledged.values()))
    lost = [path for path in pacs.folder.glob("*.dcm") if first == dcmread(path).StudyInstanceUID]
    lost[0].unlink()  # and the PACS lost one that is recorded as delivered
    receipts = dict(pacs.receipts)

    planned = compare(node)
    found = reconcile(node)
    assert planned == [{name: value for name, value in row.items() if name != "done"} for row in found]
    told = sorted((row["matter"], row["study_uid"]) for row in found)
    expected = [("film without a row", s) for s in later]
    expected += [(what, s) for s in later for what in ("result without a row", "there, but without a row")] * 2
    assert sorted([*expected, ("delivered, but not there", first)]) == told
    assert [] == compare(node)

    with node:
        until(lambda: len(node.studies()) == 3, seconds=30, what="every study is known")
        until(lambda: {r["state"] for r in node.studies()} == {"delivered"}, seconds=60, what="and delivered")
    assert results() == at(pacs)
    assert [] == [uid for uid, digests in pacs.digests.items() if len(digests) != 1]
    again = {uid for uid, count in pacs.receipts.items() if count != receipts.get(uid)}
    assert {lost[0].stem} == again
    assert [] == compare(node)
