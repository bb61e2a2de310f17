"""Other people's programs that judge our objects; each skips with its install line where it is missing."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite

from cxrd.findings import Artefact, ArtefactKind

UTF8_UNKNOWN = "The VR checker does not support this Specific Character Set: ISO_IR 192"  # a limit of dcmtk 3.6.7

PIXELMED = Path("/usr/share/java/pixelmed.jar")


def dciodvfy(data: bytes, folder: Path) -> list[str]:
    """Everything that dicom3tools' IOD validator calls an error."""
    found = _run("dciodvfy", "-new", _file(data, folder), package="dicom3tools")
    return [line for line in (found.stdout + found.stderr).splitlines() if line.startswith("Error")]


def dcentvfy(folder: Path, *files: bytes) -> list[str]:
    """What dicom3tools calls an error where objects of one patient and study stand side by side."""
    paths = [folder / f"beside{n}.dcm" for n in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    found = _run("dcentvfy", *paths, package="dicom3tools")
    return [line for line in (found.stdout + found.stderr).splitlines() if line.startswith("Error")]


def dsrdump(artefact: Artefact, folder: Path) -> tuple[str, str]:
    """What dcmtk reads in a report, and what it complains of."""
    found = _run("dsrdump", "+Pl", _file(artefact.data, folder), package="dcmtk")
    complaints = [line for line in found.stderr.splitlines() if UTF8_UNKNOWN not in line]
    assert found.returncode == 0, complaints
    return found.stdout, "".join(complaints)


def dcmpschk(artefact: Artefact, folder: Path) -> list[str]:
    """What dcmtk's checker of presentation states complains of.

    The 3.6.7 one reads names in ASCII only and wants one, though a blank name is legal, so it gets a plain one.
    """
    named = dcmread(BytesIO(artefact.data))
    named.PatientName = "NAME^PLAIN"
    buffer = BytesIO()
    dcmwrite(buffer, named)
    found = _run("dcmpschk", _file(buffer.getvalue(), folder), package="dcmtk")
    said = [line for line in (found.stdout + found.stderr).splitlines() if line.strip()]
    known = ("W: Testing", "W: Test passed", UTF8_UNKNOWN)
    return [line for line in said if not any(word in line for word in known)]


def pixelmed(artefact: Artefact, folder: Path) -> list[str]:
    """Every line that PixelMed's validator of structured reports prints; its exit status tells nothing."""
    if not PIXELMED.is_file():
        pytest.skip("needs pixelmed: apt-get install libpixelmed-java default-jre-headless")
    limits = [
        f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprGrp", "ExprOp", "TotalOp")
    ]  # its rules exceed Java 17's
    program: list[str | Path] = ["java", "-Xmx2g", *limits, "-cp", PIXELMED, "com.pixelmed.validate.DicomSRValidator"]
    found = _run(*program, _file(artefact.data, folder), package="default-jre-headless")
    return (found.stdout + found.stderr).splitlines()


def complaints(artefact: Artefact, folder: Path) -> list[str]:
    """Everything that the quick validators find wrong with an object of any kind."""
    found = dciodvfy(artefact.data, folder)
    if artefact.kind.is_report:
        _, said = dsrdump(artefact, folder)
        found += [said] if said else []
    if artefact.kind is ArtefactKind.GSPS:
        found += dcmpschk(artefact, folder)
    return found


def _file(data: bytes, folder: Path) -> Path:
    path = folder / "judged.dcm"
    path.write_bytes(data)
    return path


def _run(*command: str | Path, package: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {package}: apt-get install {package}")
    return subprocess.run(command, capture_output=True, text=True, check=False)
