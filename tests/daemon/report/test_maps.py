"""Segmentation and Parametric Map: read back by a library that others use."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import highdicom
import numpy as np
import pytest
from highdicom.seg import segread

from cxrd import report
from cxrd.findings import Answer, Artefact, ArtefactKind, Box
from cxrd.imaging.evidence import region
from cxrd.imaging.header import read_header
from support.analyses import CHARM, FACTS, OTHER, analysis, answer, finding, fourteen, previews
from support.datasets import encoded, film

NOW = datetime(2026, 1, 2, 10, 11, 12, tzinfo=UTC)
MAPS = frozenset({ArtefactKind.SEG, ArtefactKind.PM})
BOX = (Box(left=20, top=120, right=100, bottom=230),)
SOURCE = read_header(encoded(film(PixelSpacing=["0.2", "0.2"])))
MASS = finding("Mass", Answer.PRESENT, boxes=BOX, hot=(5, 1))
THICK = finding("Pleural_Thickening", Answer.PRESENT, boxes=BOX, hot=(2, 6))


def made(*answers: Any) -> dict[ArtefactKind, Artefact]:
    """Both maps of one film."""
    found = analysis(SOURCE, answers=answers)
    built = report.build(found, {SOURCE.SOPInstanceUID: SOURCE}, previews(SOURCE), sends=[MAPS], facts=FACTS, now=NOW)
    return {a.kind: a for a in built}


def test_a_segment_is_the_region_of_its_finding() -> None:
    """Its code, its algorithm, and every pixel."""
    seg = segread(BytesIO(made(answer(CHARM, MASS), answer(OTHER, THICK))[ArtefactKind.SEG].data))
    assert [1, 2] == list(seg.segment_numbers)
    assert ["309529002", "PLTHK"] == [seg.get_segment_description(n).segmented_property_type.value for n in (1, 2)]
    (algorithm,) = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert ("charm", "1.0.0") == (algorithm.AlgorithmName, algorithm.AlgorithmVersion)
    assert f"sha256 {CHARM.digest}" == "".join(algorithm.AlgorithmParameters)
    pixels = seg.get_pixels_by_source_instance([SOURCE.SOPInstanceUID], combine_segments=False)
    for index, said in enumerate((MASS, THICK)):
        assert said.heat
        expected = region(said.heat.grid(), SOURCE.Rows, SOURCE.Columns)
        np.testing.assert_array_equal(expected, pixels[0, :, :, index].astype(bool))


def test_a_map_holds_the_values_of_each_finding() -> None:
    """As parts of their peak, and says of which finding."""
    artefact = made(answer(CHARM, MASS), answer(OTHER, THICK))[ArtefactKind.PM]
    image = highdicom.imread(BytesIO(artefact.data))
    assert MASS.heat
    assert THICK.heat
    np.testing.assert_allclose(image.get_frames(), [MASS.heat.grid(), THICK.heat.grid()], atol=1e-6)
    meanings = [
        frame.RealWorldValueMappingSequence[0].QuantityDefinitionSequence[1].ConceptCodeSequence[0].CodeMeaning
        for frame in image.PerFrameFunctionalGroupsSequence
    ]
    assert ["Lung mass", "Pleural thickening"] == meanings


def test_a_map_lies_over_its_film() -> None:
    """Cells times their size are the film's."""
    image = highdicom.imread(BytesIO(made(answer(CHARM, MASS))[ArtefactKind.PM].data))
    (measures,) = image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    down, across = (float(v) for v in measures.PixelSpacing)
    assert pytest.approx((0.2 * SOURCE.Rows, 0.2 * SOURCE.Columns)) == (down * image.Rows, across * image.Columns)


def test_what_is_not_localised_has_no_map() -> None:
    """An empty segmentation would look like a region of nothing."""
    assert {} == made(answer(CHARM, *fourteen()))
    assert {} == made(answer(CHARM, finding("Mass", Answer.PRESENT, hot=(5, 1))))
