"""Two hosts, one database, one payload directory, HAProxy before both listeners; one host is cut off for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from cxrd.delivery.sender import echo
from cxrd.demo.pacs import StandInPacs
from cxrd.peers import Destination
from cxrd.store.database import Database
from support.hosts import CONFIG, DICOM_PORT, Host, Network, Postgres, haproxy, need_tools
from support.node import until
from support.packages import make_package
from support.storm import Sender, at, lost

pytestmark = pytest.mark.flow
LEASE_S = 9
ROLES = ("listen,infer,build,deliver,tick", "listen,infer")


@dataclass
class Site:
    """Everything that a hospital would run."""

    port: int
    hosts: list[Host]
    network: Network
    postgres: Postgres
    pacs: StandInPacs
    payload: Path

    def answers(self, host: Host) -> bool:
        """Whether a host's listener answers a C-ECHO."""
        peer = Destination(name="h", ae_title="CXRD", host=host.address, port=DICOM_PORT, timeout_s=2)
        return echo(peer, "PACS")

    def logs(self) -> str:
        """What the hosts said last."""
        return "\n".join(host.log.read_text()[-2000:] for host in self.hosts)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two hosts that are ready."""
    need_tools()
    make_package(tmp_path / "models")
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        postgres = stack.enter_context(Postgres(network.gateway))
        database = Database(postgres.url())
        database.upgrade()
        database.dispose()
        (tmp_path / "pacs").mkdir()
        pacs = StandInPacs(tmp_path / "pacs", "PACS", bind=network.gateway)
        pacs.start()
        stack.callback(pacs.stop)
        config = tmp_path / "cxrd.toml"
        places = {"payload": tmp_path / "payload", "models": tmp_path / "models"}
        config.write_text(
            CONFIG.format(gateway=network.gateway, pacs=pacs.port, database=postgres.url(), lease=LEASE_S, **places)
        )
        hosts = []
        for number, roles in enumerate(ROLES, start=1):
            host = Host(*network.host(number), config, roles, tmp_path / f"host{number}.log")
            stack.callback(host.stop)
            hosts.append(host)
        port = stack.enter_context(haproxy(tmp_path, [host.address for host in hosts]))
        made = Site(port, hosts, network, postgres, pacs, places["payload"])
        for host in hosts:
            until(lambda host=host: made.answers(host), seconds=300, what=f"a listener answers\n{made.logs()}")  # type: ignore[misc]
        yield made


def test_a_database_restart_and_a_partition_lose_and_double_nothing(site: Site, tmp_path: Path) -> None:
    """Every acknowledged film is on disk and has exactly one SR and one SC, while host and database go and come."""
    sender = Sender(site, tmp_path)
    thread = Thread(target=sender.run, daemon=True)

    def more(films: int) -> None:
        wanted = len(sender.acknowledged) + films
        until(lambda: len(sender.acknowledged) >= wanted, seconds=180, what=f"{films} more films\n{site.logs()}")

    thread.start()
    try:
        more(3)
        site.postgres.restart()
        more(3)
        site.network.cut(2)
        gave_up = site.hosts[1].ends() + 1
        until(lambda: site.hosts[1].ends() >= gave_up, seconds=120, what="the worker that is cut off gives up")
        more(3)
        site.network.heal(2)
        until(lambda: site.answers(site.hosts[1]), seconds=240, what=f"it is back\n{site.logs()}")
        more(3)
    finally:
        sender.stop.set()
        thread.join(timeout=130)
    expected = {study: ["OT", "SR"] for study in sender.acknowledged.values()}
    until(lambda: at(site.pacs) == expected, seconds=300, what=f"every study has its results\n{site.logs()}")
    assert [] == [uid for uid, digests in site.pacs.digests.items() if len(digests) != 1]
    assert [] == lost(sender.bodies, site.payload)
