"""The same pipeline without a daemon: files in, one line each out, objects in a folder (``cxrd analyse``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain, count
from pathlib import Path
from typing import Any

from cxrd import __version__, report, telling
from cxrd.errors import CxrdError, Reason, Refused
from cxrd.findings import StudyAnalysis, Verdict
from cxrd.imaging.film import as_dicom, is_picture
from cxrd.imaging.header import read_header
from cxrd.inference import content
from cxrd.inference.engine import operating
from cxrd.inference.lifecycle import Stage
from cxrd.pipeline import Plan, Prepared, analyse, conclude, config_digest, prepare, screen
from cxrd.report.facts import ReportFacts
from cxrd.service.choosing import chosen, registered
from cxrd.service.model_set import load
from cxrd.settings import Settings

UNNAMEABLE = re.compile(r"[^\w. -]")
"""What no file name of ours holds: a separator of folders first of all."""

NAME_LENGTH = 64
"""Characters of a UID (PS3.5), and of what stands in its place."""


def analyse_files(paths: Sequence[Path], settings: Settings, out: Path) -> Iterator[dict[str, Any]]:
    """Analyse films one by one.

    Parameters
    ----------
    paths : sequence of Path
        DICOM, PNG or JPEG files.
    settings : Settings
        Models and report configuration.
    out : Path
        Gets ``<SOP Instance UID>.sr.dcm`` and ``.sc.dcm`` of each admitted film; a picture's have its file name.

    Yields
    ------
    dict
        What :func:`cxrd.telling.verdict` tells of each, and ``outputs``, the files that were written.

    Raises
    ------
    ConfigError, PackageError
        The models cannot be loaded, or the site's thresholds do not fit them.
    """
    wanted = chosen(settings, registered(settings))
    loaded = [load(settings, one) for one in wanted if one.stage is Stage.ACTIVE]
    classifiers = operating(loaded, settings.models.thresholds)
    check = content.load(settings.admission)
    plan = Plan.of(classifiers, settings.report.preview_size, settings.admission, check)
    out.mkdir(parents=True, exist_ok=True)
    given: set[str] = set()
    for path in paths:
        try:
            read = path.read_bytes()
            data = as_dicom(read, path.name)
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
            name = _free(path.name if is_picture(read) else film.film.sop_uid, given)
            study = conclude(
                film.film.study_uid, analyse(classifiers, [film]), config_digest=config_digest(settings, check)
            )
            yield _reported(path, data, film, study, settings, f"{out}/{name}")


def _free(wanted: str, given: set[str]) -> str:
    """Give a file name that no other film of this run has, whatever both are called."""
    plain = UNNAMEABLE.sub("_", wanted)[:NAME_LENGTH]
    found = next(name for name in chain([plain], (f"{plain}-{n}" for n in count(2))) if name not in given)
    given.add(found)
    return found


def _reported(
    path: Path, data: bytes, film: Prepared, study: StudyAnalysis, settings: Settings, start: str
) -> dict[str, Any]:
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
        target = Path(f"{start}.{artefact.kind}.dcm")
        target.write_bytes(artefact.data)
        outputs.append(str(target))
    told = telling.verdict(Verdict(file=str(path), analysis=study.films[0]))
    return {**told, "detail": "; ".join(filter(None, (told["detail"], trouble))), "outputs": outputs}
