"""Bytes that stay what they were."""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from pathlib import Path

import pytest

from cxrd.errors import PayloadLost, StoreError
from cxrd.store.payload import PayloadStore


def files(root: Path) -> list[Path]:
    """Every file below a folder."""
    return [path for path in root.rglob("*") if path.is_file()]


def test_bytes_come_back_by_their_hash(payload: PayloadStore) -> None:
    """The name is the content's."""
    digest = payload.put(b"film")
    assert sha256(b"film").hexdigest() == digest
    assert b"film" == payload.get(digest)


def test_the_same_content_is_one_file(payload: PayloadStore) -> None:
    """A resend costs no disk."""
    assert payload.put(b"film") == payload.put(b"film")
    assert 1 == len(files(payload.root))


def test_altered_bytes_are_never_handed_out(payload: PayloadStore) -> None:
    """A flipped bit on disk is an error and not a film."""
    digest = payload.put(b"film")
    payload.path(digest).write_bytes(b"fiim")
    with pytest.raises(PayloadLost, match="altered"):
        payload.get(digest)


def test_missing_bytes_are_named(payload: PayloadStore) -> None:
    """With what to do."""
    with pytest.raises(PayloadLost, match="missing"):
        payload.get("0" * 64)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failing_disk_leaves_nothing_behind(
    payload: PayloadStore, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    """No half file, no name for bytes that are not durable."""

    def fail(_descriptor: int) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match=os.strerror(fault)):
        payload.put(b"film")
    monkeypatch.undo()
    assert [] == files(payload.root)


def test_a_disk_that_turned_read_only_is_a_store_error(payload: PayloadStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the cleaning up fails then, and the sender must still be told to keep its object."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(StoreError, match=os.strerror(errno.EROFS)):
        payload.put(b"film")


def test_a_name_that_was_never_synced_is_synced_by_the_next_put(
    payload: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was renamed, then its folder failed: the same bytes again are not taken on trust, but written."""
    synced: list[Path] = []
    fsync, broken = os.fsync, True

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if broken and path.is_dir():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        synced.append(path)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with pytest.raises(StoreError):
        payload.put(b"film")
    broken = False
    target = payload.path(sha256(b"film").hexdigest())
    first = target.stat().st_ino
    payload.put(b"film")
    assert first != target.stat().st_ino
    assert {target.parent, target.parent.parent, payload.root} <= set(synced)


def test_altered_bytes_are_replaced_when_they_are_sent_again(payload: PayloadStore) -> None:
    """As the message about them says."""
    digest = payload.put(b"film")
    payload.path(digest).write_bytes(b"fi")
    payload.put(b"film")
    assert b"film" == payload.get(digest)


def test_bytes_are_synced_before_they_have_a_name(payload: PayloadStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fsync of the file, then the rename, then fsync of the folder."""
    happened: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_sync(descriptor: int) -> None:
        happened.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112 - a descriptor
        fsync(descriptor)

    def note_rename(path: Path, target: Path) -> Path:
        happened.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    payload.put(b"film")
    assert ["file", "rename", "folder"] == happened[:3]


def test_a_sweep_takes_only_what_a_dead_writer_left(payload: PayloadStore) -> None:
    """Old temporary files go; a writer at work and every stored byte stay."""
    digest = payload.put(b"film")
    old, new = (payload.root / "incoming" / name for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert 1 == payload.sweep()
    assert (False, True, b"film") == (old.exists(), new.exists(), payload.get(digest))


def test_a_file_that_goes_while_names_are_listed_is_passed_over(payload: PayloadStore) -> None:
    """Retention removes while a sweep lists; a link to nothing stands for a name whose file is gone."""
    digest = payload.put(b"film")
    payload.path(digest).with_name("0" * 64).symlink_to("nothing")
    assert [[digest]] == list(payload.digests(before=float("inf")))
