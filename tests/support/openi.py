"""Real headers: the rows of the Open-i table, each as a film's header with a phantom's pixels left out.

``PYTHONPATH=tests python -m support.openi ../shared/data`` prints what admission makes of them, by View Position.
"""

from __future__ import annotations

import ast
import csv
import gzip
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword

from cxrd.admission import judge
from cxrd.errors import Refused

TABLE = Path("openi-meta") / "nlmcxr_dicom_metadata.csv.gz"

# the table's columns that an output or a validator looks at; its other columns are of the acquisition
TEXTS = {
    "SOP Class UID": "SOPClassUID", "SOP Instance UID": "SOPInstanceUID", "Study Instance UID": "StudyInstanceUID",
    "Series Instance UID": "SeriesInstanceUID", "Specific Character Set": "SpecificCharacterSet",
    "Patient's Name": "PatientName", "Patient ID": "PatientID", "Patient's Birth Date": "PatientBirthDate",
    "Patient's Sex": "PatientSex", "Accession Number": "AccessionNumber", "Study ID": "StudyID",
    "Study Date": "StudyDate", "Study Time": "StudyTime", "Referring Physician's Name": "ReferringPhysicianName",
    "Modality": "Modality", "Body Part Examined": "BodyPartExamined", "View Position": "ViewPosition",
    "Image Type": "ImageType", "Patient Orientation": "PatientOrientation", "Pixel Spacing": "PixelSpacing",
    "Imager Pixel Spacing": "ImagerPixelSpacing", "Pixel Aspect Ratio": "PixelAspectRatio",
    "Photometric Interpretation": "PhotometricInterpretation", "Presentation LUT Shape": "PresentationLUTShape",
    "Window Center": "WindowCenter", "Window Width": "WindowWidth", "Rescale Intercept": "RescaleIntercept",
    "Rescale Slope": "RescaleSlope", "Rescale Type": "RescaleType", "Lossy Image Compression": "LossyImageCompression",
    "Manufacturer": "Manufacturer", "Instance Number": "InstanceNumber", "Series Number": "SeriesNumber",
}  # fmt: skip
NUMBERS = {
    "Rows": "Rows", "Columns": "Columns", "Bits Allocated": "BitsAllocated", "Bits Stored": "BitsStored",
    "High Bit": "HighBit", "Pixel Representation": "PixelRepresentation", "Samples per Pixel": "SamplesPerPixel",
}  # fmt: skip

DIFFERING = (
    "SOP Class UID", "Photometric Interpretation", "Presentation LUT Shape", "View Position", "Specific Character Set",
    "Patient Orientation", "Rescale Type", "Bits Stored",
)  # fmt: skip
FILLED = ("Window Center", "LUT Descriptor", "Pixel Spacing", "Study Date")


def rows(films: Path) -> Iterator[dict[str, str]]:
    """Every row of the table."""
    with gzip.open(films / TABLE, "rt") as table:
        yield from csv.DictReader(table)


def varied(films: Path, count: int) -> list[dict[str, str]]:
    """Rows that differ as much as the population does: one of each combination of what outputs depend on, in turn."""
    kinds: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows(films):
        key = (*(row[c] for c in DIFFERING), *(str(bool(row[c])) for c in FILLED))
        kinds.setdefault(key, []).append(row)
    chosen: list[dict[str, str]] = []
    while len(chosen) < count and kinds:
        for key in list(kinds):
            chosen.append(kinds[key].pop(0))
            if not kinds[key]:
                del kinds[key]
    return chosen[:count]


def header(row: dict[str, str]) -> Dataset:
    """The header that a row was made of; its table of grey values, of which only the size is known, is a ramp."""
    made = Dataset()
    for column, keyword in TEXTS.items():
        if column in row:
            made.add_new(tag_for_keyword(keyword) or 0, _vr(keyword), _values(row[column]))
    for column, keyword in NUMBERS.items():
        if row[column]:
            made.add_new(tag_for_keyword(keyword) or 0, "US", int(float(row[column])))
    size = _values(row["LUT Descriptor"])
    if isinstance(size, list) and len(size) == 3:
        count, first, bits = (int(float(v)) for v in size)
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [count, first % 65536, bits])
        item.add_new("LUTData", "OW", np.linspace(0, 2**bits - 1, count or 65536).astype("<u2").tobytes())
        made.VOILUTSequence = [item]
    return made


def _vr(keyword: str) -> str:
    return dictionary_VR(tag_for_keyword(keyword) or 0)


def _values(cell: str) -> Any:
    """A cell as one value, or as several where the table holds a list of them."""
    if cell.startswith("["):
        return [str(v) for v in ast.literal_eval(cell)]
    return cell


def confusion(films: Path) -> dict[str, dict[str, int]]:
    """What becomes of every header, by the View Position that it has: ``admitted: PA``, ``refused: lateral``, ...."""
    found: dict[str, Counter[str]] = {}
    for row in rows(films):
        truth = row["View Position"].upper() or "(blank)"
        try:
            outcome = f"admitted: {judge(header(row)).view}"
        except Refused as refused:
            outcome = f"refused: {refused.reason}"
        found.setdefault(truth, Counter())[outcome] += 1
    return {truth: dict(found[truth]) for truth in sorted(found, key=lambda t: -found[t].total())}


def table(told: Mapping[str, Mapping[str, int]]) -> str:
    """A confusion as Markdown."""
    outcomes = sorted({outcome for row in told.values() for outcome in row})
    lines = [["View Position", "films", *outcomes], ["---"] * (len(outcomes) + 2)]
    for truth, row in told.items():
        lines.append([truth, str(sum(row.values())), *(str(row.get(outcome, "")) for outcome in outcomes)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table(confusion(Path(sys.argv[1]))))
