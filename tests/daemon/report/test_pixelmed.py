"""PixelMed's validator of structured reports: the one that knows templates, in the version that Debian has."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cxrd import report
from cxrd.findings import ArtefactKind, ModelAnswer
from cxrd.imaging.header import read_header
from support.analyses import CHARM, FACTS, analysis, answer, previews
from support.datasets import encoded, film
from support.validators import pixelmed

NOW = datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC)

KNOWN = {
    # its tables are of June 2022; the code came into context group 100 later (2025e has it)
    r'Error: Template 1500 .*Code \(43468-8,LN,"XR unspecified body region"\) not found in context group 100',
    # the group of answers names TID 1501 and has no region; it is judged by TID 1410 too, which asks for one
    r"Error: Template 1410 .*\[Row [57]\] (SCOORD|IMAGE) .*: Missing conditional content item",
    # a qualitative evaluation may have any name in TID 1501 and 1410 (PS3.16); its tables know none
    r"Warning: .*/CODE \([^/]*\): Content Item not in template",
}
"""Every line that it may say, with the reason; a new one fails."""


SILENT = (answer(CHARM, note="age 4 is outside the model's intended use"),)


@pytest.mark.parametrize("answers", [None, SILENT], ids=["found", "no model answers"])
def test_a_template_validator_says_nothing_that_is_not_known(
    tmp_path: Path, answers: tuple[ModelAnswer, ...] | None
) -> None:
    """A report with a localised finding and all its answers, and one without a group, judged by TID 1500."""
    source = read_header(encoded(film()))
    (made,) = report.build(
        analysis(source, answers=answers),
        {source.SOPInstanceUID: source},
        previews(source),
        sends=[frozenset({ArtefactKind.SR})],
        facts=FACTS,
        now=NOW,
    )
    said = pixelmed(made, tmp_path)
    assert "Found Root Template TID_1500 (MeasurementReport)" in said
    assert "IOD validation complete" in said
    remarks = [line for line in said if line.startswith(("Error", "Warning"))]
    assert [] == [line for line in remarks if not any(re.fullmatch(known, line) for known in KNOWN)]
