"""The Secondary Capture (PS3.3 A.8.1): its picture as a DICOM object in the film's own study."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cxrd.report import codes
from cxrd.report.composite import begin, encode, from_film
from cxrd.report.equipment import coded
from cxrd.report.picture import render
from cxrd.report.products import Film, Imprint


def build(film: Film, imprint: Imprint) -> bytes:
    """Build the capture of one film.

    Returns
    -------
    bytes
        Part 10 file, uncompressed RGB.
    """
    found, header = film.found, film.header
    made = begin(imprint, header, [a.model for a in found.answers])
    made.ConversionType = "WSD"
    made.PatientOrientation = header.get("PatientOrientation", "")
    made.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    made.BurnedInAnnotation = "YES"
    made.RecognizableVisualFeatures = "NO"
    made.DerivationDescription = "Film resampled for display, model evidence and findings drawn over and beside it"
    made.DerivationCodeSequence = [coded(codes.SPATIAL_RESAMPLING)]
    made.SourceImageSequence = [from_film(found.film)]
    if header.get("LossyImageCompression") == "01":
        made.LossyImageCompression = "01"
    _put_pixels(made, render(found, film.preview, imprint.facts, imprint.now))
    return encode(made)


def _put_pixels(made: Dataset, picture: NDArray[np.uint8]) -> None:
    made.SamplesPerPixel, made.PlanarConfiguration = 3, 0
    made.PhotometricInterpretation = "RGB"
    made.Rows, made.Columns = picture.shape[:2]
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    raw = picture.tobytes()
    made.add_new("PixelData", "OB", raw + b"\0" * (len(raw) % 2))
