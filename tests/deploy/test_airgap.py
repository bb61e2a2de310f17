"""The installer of the bundle trusts nothing that was not packed."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest


@pytest.fixture
def bundle(root: Path, tmp_path: Path) -> Path:
    """A bundle without wheels: enough to be judged, too little to be installed."""
    folder = tmp_path / "cxrd-bundle"
    (folder / "wheels").mkdir(parents=True)
    (folder / "install.sh").write_bytes((root / "deploy/airgap/install.sh").read_bytes())
    (folder / "EXTRAS").write_text("postgres\n")
    (folder / "wheels" / "one.whl").write_bytes(b"a wheel")
    names = ("install.sh", "EXTRAS", "wheels/one.whl")
    lines = [f"{sha256((folder / name).read_bytes()).hexdigest()}  ./{name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


def install(bundle: Path) -> subprocess.CompletedProcess[str]:
    """Run its installer."""
    command = ["bash", str(bundle / "install.sh"), str(bundle.parent / "opt")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sound_bundle_gets_as_far_as_its_wheels(bundle: Path) -> None:
    """Which this one lacks, so pip says what is missing."""
    done = install(bundle)
    assert 0 != done.returncode
    assert "No matching distribution found for cxrd" in done.stderr
    assert (bundle.parent / "opt/bin/python").exists()


def test_an_altered_file_is_named_and_nothing_is_written(bundle: Path) -> None:
    """One byte of one wheel."""
    (bundle / "wheels" / "one.whl").write_bytes(b"b wheel")
    done = install(bundle)
    assert 1 == done.returncode
    assert "one.whl" in done.stdout + done.stderr
    assert not (bundle.parent / "opt").exists()


def test_a_file_that_was_not_packed_is_refused(bundle: Path) -> None:
    """A wheel of a higher version that somebody laid beside the others would be taken by pip."""
    (bundle / "wheels" / "onnxruntime-99.whl").write_bytes(b"not ours")
    done = install(bundle)
    assert 1 == done.returncode
    assert "does not name" in done.stderr
    assert not (bundle.parent / "opt").exists()


def wheel(folder: Path, says: str) -> None:
    """A wheel that is called cxrd and always has the same number."""
    with ZipFile(folder / "cxrd-0.1.0-py3-none-any.whl", "w") as file:
        about = "cxrd-0.1.0.dist-info"
        code = f"print({says!r})\n"
        file.writestr("cxrd_said.py", f"def main() -> None:\n    {code}")
        file.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: cxrd\nVersion: 0.1.0\nProvides-Extra: postgres\n"
        )
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/entry_points.txt", "[console_scripts]\ncxrd = cxrd_said:main\n")
        file.writestr(f"{about}/RECORD", "")


def test_a_newer_bundle_of_the_same_number_is_installed(bundle: Path) -> None:
    """Between two releases the number stays, and a repair has to be one."""
    (bundle / "wheels" / "one.whl").unlink()
    for says in ("the first", "the second"):
        wheel(bundle / "wheels", says)
        names = ("install.sh", "EXTRAS", "wheels/cxrd-0.1.0-py3-none-any.whl")
        lines = [f"{sha256((bundle / name).read_bytes()).hexdigest()}  ./{name}\n" for name in names]
        (bundle / "SHA256SUMS").write_text("".join(lines))
        done = install(bundle)
        assert 0 == done.returncode, done.stderr
        assert says in done.stdout
