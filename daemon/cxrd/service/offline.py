"""The same pipeline without a daemon: files in, one line each out, objects in a folder (``cxrd analyse``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cxrd import __version__, report, telling
from cxrd.errors import CxrdError, Reason, Refused
from cxrd.findings import Verdict
from cxrd.imaging.film import as_dicom
from cxrd.imaging.header import read_header
from cxrd.inference import content
from cxrd.inference.engine import Classifier
from cxrd.inference.lifecycle import Stage
from cxrd.pipeline import Plan, Prepared, analyse, conclude, prepare, screen
from cxrd.report.facts import ReportFacts
from cxrd.service.choosing import chosen, registered
from cxrd.service.model_set import load
from cxrd.settings import Settings


def analyse_files(paths: Sequence[Path], settings: Settings, out: Path) -> Iterator[dict[str, Any]]:
    """Analyse films one by one.

    Parameters
    ----------
    paths : sequence of Path
        DICOM, PNG or JPEG files.
    settings : Settings
        Models and report configuration.
    out : Path
        Gets ``<stem>.sr.dcm`` and ``<stem>.sc.dcm`` of each admitted film.

    Yields
    ------
    dict
        ``file``, ``admitted``, ``reason``, ``detail``, ``view``, ``models`` (id to class to probability),
        ``findings`` (those above threshold, with boxes in source pixels) and ``outputs``.
    """
    wanted = chosen(settings, registered(settings))
    classifiers = [load(settings, one) for one in wanted if one.stage is Stage.ACTIVE]
    check = content.load(settings.admission)
    plan = Plan.of(classifiers, settings.report.preview_size, settings.admission, check)
    out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        try:
            data = as_dicom(path.read_bytes(), path.name)
            (film,) = screen(check, [prepare(data, sha256(data).hexdigest(), plan)], settings.admission)
        except Refused as refused:
            yield telling.verdict(Verdict(file=str(path), reason=str(refused.reason), detail=refused.message))
        except OSError as error:
            why = f"the file cannot be read: {error.strerror}"
            yield telling.verdict(Verdict(file=str(path), reason=str(Reason.UNREADABLE), detail=why))
        else:
            if isinstance(film, Refused):
                yield telling.verdict(Verdict(file=str(path), reason=str(film.reason), detail=film.message))
                continue
            yield _analysed(path, data, film, classifiers, settings, out)


def _analysed(
    path: Path, data: bytes, film: Prepared, classifiers: Sequence[Classifier], settings: Settings, out: Path
) -> dict[str, Any]:
    (analysis,) = analyse(classifiers, [film])
    study = conclude(film.film.study_uid, [analysis], config_digest=settings.digest())
    outputs, trouble = [], ""
    try:
        artefacts = report.build(
            study,
            {film.film.sop_uid: read_header(data)},
            {film.film.sop_uid: film.preview},
            sends=[report.DEFAULT],
            facts=ReportFacts.of(settings.report, software_version=__version__),
            now=datetime.now(UTC).astimezone(),
        )
    except CxrdError as error:  # the findings are worth having even where no object can be made of the header
        artefacts, trouble = (), str(error)
    for artefact in artefacts:
        target = out / f"{path.stem}.{artefact.kind}.dcm"
        target.write_bytes(artefact.data)
        outputs.append(str(target))
    told = telling.verdict(Verdict(file=str(path), analysis=analysis))
    return {**told, "detail": "; ".join(filter(None, (told["detail"], trouble))), "outputs": outputs}
