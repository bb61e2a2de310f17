"""A new configuration reaches every role, or none."""

from __future__ import annotations

import shutil
import time
from multiprocessing import Pipe
from pathlib import Path
from socket import gethostname

import pytest

from cxrd.errors import ConfigError
from cxrd.peers import Archive, Destination, DestinationTls, Dicom, ListenerTls, Source
from cxrd.service import certificates
from cxrd.service.reloading import Follower, changed, check_tls, review, tell
from cxrd.service.supervisor import Supervisor
from cxrd.serving import Web
from cxrd.settings import Models, Settings, load
from cxrd.store import views
from cxrd.store.database import Database
from support.certificates import Authority
from support.rows import rows

OLD = Settings(dicom=Dicom(listeners=1))
NEW = Settings(
    dicom=Dicom(listeners=1, sources=(Source(name="x", ae_title="X"),)),
    destinations=(Destination(name="p", ae_title="P", host="h", port=104),),
    archives=(Archive(name="old", ae_title="OLD", host="h", port=104),),
    models=Models(thresholds={"charm": {"Mass": 0.5}}),
)


class Role:
    """A role that remembers what it took, and takes nothing that it is told to refuse."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.wire, theirs = Pipe()
        self.took: list[Settings] = []
        self.follower = Follower(theirs)
        self.follower.start()
        self._refuses = refuses

    def take(self, settings: Settings) -> None:
        """Take it or raise."""
        if self._refuses and settings == NEW:
            raise ConfigError("no such class")
        self.took.append(settings)


def test_what_changed_is_named() -> None:
    """Four things may change while the node runs."""
    assert ["archives", "destinations", "dicom.sources", "models.thresholds"] == changed(OLD, NEW) == review(OLD, NEW)


def test_anything_else_needs_a_restart() -> None:
    """The file must not say what the node does not do."""
    with pytest.raises(ConfigError, match=r"web\.port cannot change") as caught:
        review(OLD, NEW.model_copy(update={"web": Web(port=9)}))
    assert "restart" in caught.value.hint


def test_a_role_takes_what_it_hears() -> None:
    """And answers."""
    role = Role()
    role.follower.follow(role.take)
    assert ("", [NEW]) == (tell(role.wire, NEW), role.took)


def test_a_role_that_is_still_starting_takes_it_then() -> None:
    """It was started with the settings of before."""
    role = Role()
    assert "" == tell(role.wire, NEW)
    role.follower.follow(role.take)
    assert [NEW] == role.took


def test_a_role_that_died_is_no_obstacle() -> None:
    """Its successor starts with what is in force then."""
    wire, theirs = Pipe()
    theirs.close()
    assert "" == tell(wire, NEW)


def test_certificates_that_cannot_be_used_are_refused_before_any_role_hears_of_them(tmp_path: Path) -> None:
    """The listener's, each destination's and each archive's."""
    ca = Authority(tmp_path)
    ours = ca.sign("node")
    files = {"certificate": ours.certificate, "key": ours.key, "ca": ca.file}
    there = Destination(name="p", ae_title="P", host="h", port=104, tls=DestinationTls.model_validate(files))
    past = Archive(name="a", ae_title="A", host="h", port=104, tls=there.tls)
    good = Settings(dicom=Dicom(tls=ListenerTls.model_validate(files)), destinations=(there,), archives=(past,))
    check_tls(good)
    looked_at = {check.name for check in certificates.tls(good, time.time)}
    assert {"certificate listener", "certificate destination p", "certificate archive a"} <= looked_at
    shutil.copy(ca.sign("another").key, ours.key)
    for kept in ({"dicom"}, {"destinations"}, {"archives"}):
        bad = Settings(**{name: value for name, value in good if name in kept})
        with pytest.raises(ConfigError, match="is not the private key of"):
            check_tls(bad)


def test_cas_that_openssl_does_not_read_are_refused_with_what_to_do(tmp_path: Path) -> None:
    """A damaged list of revoked certificates beside the CA: the certificates alone can be read."""
    ca = Authority(tmp_path)
    with ca.file.open("a") as file:
        file.write("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    there = Destination(name="p", ae_title="P", host="h", port=104, tls=DestinationTls(ca=ca.file))
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        check_tls(Settings(destinations=(there,)))
    assert "CERTIFICATE" in caught.value.hint


def test_a_file_that_cannot_be_read_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    """The supervisor lives, and the audit trail says why."""
    file = tmp_path / "cxrd.toml"
    file.symlink_to("/proc/self/mem")
    database = Database(f"sqlite:///{tmp_path}/cxrd.db")
    database.upgrade()
    supervisor = Supervisor(OLD, ["listen"], database, lambda: load(file))
    supervisor._reload()
    assert OLD is supervisor._settings
    ((what, detail),) = rows(database, "SELECT what, detail FROM audit")
    assert "config_refused" == what
    assert "cannot be read" in detail
    with database.read() as connection:
        assert views.config_refused(connection, gethostname())


@pytest.mark.parametrize("refuses", [False, True])
def test_all_roles_or_none(tmp_path: Path, refuses: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """When the last one refuses, those that had taken it go back."""
    roles = [Role(), Role(), Role(refuses=refuses)]
    database = Database(f"sqlite:///{tmp_path}/cxrd.db")
    database.upgrade()
    supervisor = Supervisor(OLD, ["listen", "deliver", "build", "fetch"], database, lambda: NEW)
    for child, role in zip(supervisor._children.values(), roles, strict=True):
        role.follower.follow(role.take)
        child.wire = role.wire
    supervisor._reload()
    assert (OLD if refuses else NEW) is supervisor._settings
    assert ("fetch" in supervisor._children) is not refuses  # the first archive brings the role that asks it
    for role in roles[:2]:
        assert ([NEW, OLD] if refuses else [NEW]) == role.took
