"""A package tried as it will be used: a phantom film goes in, and a report must come out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cxrd import __version__, report
from cxrd.errors import CxrdError, PackageError
from cxrd.findings import Subject, View
from cxrd.imaging.header import read_header
from cxrd.inference import engine
from cxrd.inference.engine import Classifier
from cxrd.pipeline import Plan, analyse, conclude, config_digest, prepare
from cxrd.report.facts import ReportFacts
from cxrd.settings import Settings


def try_out(folder: Path, settings: Settings, film: bytes) -> Classifier:
    """Check schema, digests and graph of a package, and let it judge a film.

    Parameters
    ----------
    folder : Path
        ``<id>/<version>/``.
    settings : Settings
        Provider, and what reports say.
    film : bytes
        A frontal film (Part 10). Age, sex and view are not told to the model, so that it is inside any intended use.

    Raises
    ------
    PackageError
        What does not hold.
    """
    classifier = engine.load(folder, settings.inference.provider, settings.inference.threads)
    name = f"{classifier.ref.id} {classifier.ref.version}"
    try:
        prepared = prepare(film, sha256(film).hexdigest(), Plan.of([classifier], settings.report.preview_size))
        unknown = prepared.film.model_copy(update={"view": View.UNKNOWN})
        (analysis,) = analyse([classifier], [replace(prepared, film=unknown, subject=Subject())])
        made = report.build(
            conclude(unknown.study_uid, [analysis], config_digest=config_digest(settings, None)),
            {unknown.sop_uid: read_header(film)},
            {unknown.sop_uid: prepared.preview},
            sends=[report.DEFAULT],
            facts=ReportFacts.of(settings.report, software_version=__version__),
            now=datetime.now(UTC).astimezone(),
        )
    except CxrdError as error:
        raise PackageError(f"{name} fails on a phantom film: {error.message}", hint=error.hint) from error
    if not analysis.answers[0].findings or not made:
        raise PackageError(f"{name} says nothing of a phantom film", hint="export the package again")
    return classifier
