"""Concepts of the templates that cxrd writes (PS3.16); finding classes are in ``cxrd.vocabulary``."""

from __future__ import annotations

from types import MappingProxyType

from pydicom.sr.coding import Code as Concept

from cxrd import vocabulary
from cxrd.findings import Answer, Code

REPORT_TITLE = Concept("126000", "DCM", "Imaging Measurement Report")
# CID 100 of 2025e; the older SCT 399208008 is refused by validators as not being in that context group
PROCEDURE_REPORTED = Concept("43468-8", "LN", "XR unspecified body region")
PROCEDURE_REPORTED_NAME = Concept("121058", "DCM", "Procedure reported")
LANGUAGE = Concept("en", "RFC5646", "English")
DEVICE = Concept("121007", "DCM", "Device")
PROBABILITY = Concept("122157", "DCM", "Probability")
THRESHOLD = Concept("122411", "DCM", "Threshold Value")
NO_UNITS = Concept("1", "UCUM", "no units")
PRESENCE = Concept("121052", "DCM", "Presence of property")
VISUAL_EXPLANATION = Concept("130401", "DCM", "Visual explanation")
IMAGING_MEASUREMENTS = Concept("126010", "DCM", "Imaging Measurements")
QUALITATIVE_EVALUATIONS = Concept("C0034375", "UMLS", "Qualitative Evaluations")
PROCESSING_SUMMARY = Concept("111017", "DCM", "CAD Processing and Findings Summary")
NOTHING_JUDGED = Concept("111245", "DCM", "No algorithms succeeded; without findings")
COMMENT = Concept("121106", "DCM", "Comment")
ALGORITHM_FAMILY = Concept("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT = Concept("109102", "DCM", "Processing Equipment")
SOURCE_IMAGE = Concept("121322", "DCM", "Source image for image processing operation")
REPLACED_REPORT = Concept("121360", "DCM", "Replaced report")
SPATIAL_RESAMPLING = Concept("113085", "DCM", "Spatial resampling")
SEGMENTATION = Concept("113076", "DCM", "Segmentation")
SALIENCY = Concept("130404", "DCM", "Saliency")
QUANTITY = Concept("246205007", "SCT", "Quantity")
ABNORMAL_STRUCTURE = Concept("49755003", "SCT", "Morphologically Abnormal Structure")
FINDINGS = Concept("59776-5", "LN", "Findings")
FINDING = Concept("121071", "DCM", "Finding")
SUMMARY = Concept("55112-7", "LN", "Summary")
LANGUAGE_OF_CONTENT = Concept("121049", "DCM", "Language of Content Item and Descendants")
OBSERVER_TYPE = Concept("121005", "DCM", "Observer Type")
DEVICE_UID = Concept("121012", "DCM", "Device Observer UID")
DEVICE_NAME = Concept("121013", "DCM", "Device Observer Name")
DEVICE_MANUFACTURER = Concept("121014", "DCM", "Device Observer Manufacturer")
DEVICE_MODEL = Concept("121015", "DCM", "Device Observer Model Name")

ANSWERS = MappingProxyType(
    {
        Answer.PRESENT: Concept("52101004", "SCT", "Present"),
        Answer.ABSENT: Concept("272519000", "SCT", "Absent"),
        Answer.UNDETERMINED: Concept("373068000", "SCT", "Undetermined"),
    }
)


def concept(code: Code) -> Concept:
    """A code of the shared vocabulary as pydicom writes it."""
    return Concept(code.value, code.scheme, code.meaning)


def uses_private_scheme(code: Code) -> bool:
    """Whether a code is of our own scheme, which an object must then identify (PS3.3 C.12.1)."""
    return code.scheme == vocabulary.PRIVATE_SCHEME
