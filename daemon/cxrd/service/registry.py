"""What an operator does with versions of models: list, add, verify, shadow, promote, roll back, retire, compare.

Stages change in the database, each with its line in the audit trail; every infer worker takes a change up within
``models.refresh_s``. Files are only ever added, and only whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from cxrd.errors import ConfigError, PackageError
from cxrd.inference import promotion, shadowing
from cxrd.inference.engine import Classifier
from cxrd.inference.lifecycle import Chosen, Entry, Stage
from cxrd.inference.manifest import MANIFEST, Manifest
from cxrd.inference.packages import choose, read_manifest, read_package, shelf
from cxrd.inference.promotion import Case, Limits, Requirement
from cxrd.inference.thresholds import at_site
from cxrd.inference.trial import Trial, parse_trial, read_trial
from cxrd.service.choosing import adopt
from cxrd.service.databases import open_database
from cxrd.service.selftest import try_out
from cxrd.settings import Settings
from cxrd.store import observations, packages
from cxrd.store.database import Database
from cxrd.store.durable import sync_folder, sync_tree
from cxrd.store.packages import Running

LOOKED_AT = 20_000
"""Observations of a shadow that are compared, the newest."""
_BEAT_S = 120.0


class Named(NamedTuple):
    """A version as an operator names it."""

    model: str
    version: str

    @classmethod
    def of(cls, text: str) -> Named:
        """Read ID@VERSION.

        Raises
        ------
        ConfigError
            It is written otherwise.
        """
        model, at, version = text.partition("@")
        if not (model and at and version):
            raise ConfigError(f"{text!r} names no version", hint="write it as ID@VERSION, for example charm@1.1.0")
        return cls(model, version)


class Registry:
    """Versions of models on this host and in the database.

    Parameters
    ----------
    settings : Settings
        Where packages lie, pins, thresholds, what the gate asks.
    film : bytes
        A phantom film (Part 10) on which packages are tried.
    """

    def __init__(self, settings: Settings, film: bytes) -> None:
        self._settings = settings
        self._film = film

    def rows(self, entries: Sequence[Entry], running: Mapping[str, Sequence[Running]]) -> list[dict[str, Any]]:
        """Every version that lies here or is known, with its stage and where it runs."""
        root, there = shelf(self._settings.models.dir)
        known = {(e.model, e.version): e for e in entries}
        here = {(c.model, c.version): c for c in self._chosen(entries) if c.stage is Stage.ACTIVE}
        versions = {(model, version) for model, by in there.items() for version in by} | known.keys()
        return [
            self._row(root / model / version, known.get((model, version)), here.get((model, version)), running)
            for model, version in sorted(versions)
        ]

    def _row(
        self, folder: Path, entry: Entry | None, here: Chosen | None, running: Mapping[str, Sequence[Running]]
    ) -> dict[str, Any]:
        key = (folder.parent.name, folder.name)
        stage = str(entry.stage) if entry else ("active" if here else "found")
        if here and here.pinned:
            stage = "active (pinned)"
        runs = {host: [r for r in loaded if (r.model, r.version) == key] for host, loaded in running.items()}
        row = {
            "id": key[0],
            "version": key[1],
            "stage": stage,
            "since": entry.since if entry else None,
            "digest": entry.digest if entry else "",
            "provider": ", ".join(sorted({r.provider for rs in runs.values() for r in rs if r.provider})),
            "hosts": {host: r.fault or "runs" for host, rs in runs.items() for r in rs},
            "folder": str(folder),
        }
        try:
            manifest, digest = read_package(folder)
        except PackageError as error:
            return {**row, "intended_use": "", "metrics": "", "task": "", "classes": "", "fault": error.message}
        other = "" if not entry or entry.digest == digest else f"this host has other bytes: {digest[:12]}"
        return {
            **row,
            "digest": row["digest"] or digest,
            "task": manifest.task,
            "classes": ", ".join(c.id for c in manifest.classes),
            "intended_use": _use(manifest),
            "metrics": promotion.summary(manifest),
            "fault": other,
        }

    def verify(self, folder: Path) -> Classifier:
        """Check a package as it will be used: schema, digests, graph, a phantom film all the way to its report.

        Raises
        ------
        CxrdError
            What does not hold.
        """
        return try_out(folder, self._settings, self._film)

    def add(self, source: Path) -> tuple[Named, str, bool]:
        """Copy a package into ``models.dir``, verified there before it has its name, and make it known.

        Returns
        -------
        Named, str and bool
            What was added, its digest, and whether its files are new here.

        Raises
        ------
        CxrdError
            It is not sound, or its number belongs to other bytes.
        """
        root = self._settings.models.dir
        if root is None:
            raise ConfigError(
                "models.dir is not set: the starter packages are a part of the release",
                hint="set models.dir to a folder of yours and copy there what shall go on answering",
            )
        database = open_database(self._settings)
        if root.is_dir() and any(root.glob(f"*/*/{MANIFEST}")):
            adopt(self._settings, database)  # what answers now goes on, whatever is put beside it
        try:
            return self._add(database, source, root)
        except OSError as error:
            raise PackageError(
                f"{source} cannot be copied to {root}: {error.strerror}",
                hint="free the disk, or make the folder writable",
            ) from error

    def _add(self, database: Database, source: Path, root: Path) -> tuple[Named, str, bool]:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".adding-", dir=root) as scratch:
            manifest, _ = read_manifest(source)
            name = Named(manifest.id, manifest.version)
            copied = Path(scratch) / manifest.id / manifest.version
            shutil.copytree(source, copied, ignore=shutil.ignore_patterns(".*"))
            digest = self.verify(copied).ref.digest
            target = root / manifest.id / manifest.version
            new = not target.exists()
            if not new and read_package(target)[1] != digest:
                raise PackageError(
                    f"{target} is there with other bytes",
                    hint="a published version never changes: raise the version and export again",
                )
            with database.write() as connection:  # the number is taken before the files are there, never after
                packages.add(connection, database.now(connection), *name, digest)
            if new:
                target.parent.mkdir(exist_ok=True)
                sync_tree(copied)
                copied.rename(target)
                for folder in (target.parent, root):
                    sync_folder(folder)
        return name, digest, new

    def shadow(self, name: Named) -> None:
        """Let a version look on, once it is sound here.

        Raises
        ------
        CxrdError
            It is not, or may not.
        """
        database = self._open()
        self._sound(database, name)
        with database.write() as connection:
            packages.shadow(connection, database.now(connection), *name)

    def unshadow(self, model: str) -> None:
        """Let nothing look on beside a model any more.

        Raises
        ------
        PackageError
            Nothing did.
        """
        database = self._open()
        with database.write() as connection:
            if not packages.unshadow(connection, database.now(connection), model):
                raise PackageError(f"nothing looks on beside {model}", hint="cxrd models ls")

    def gate(self, name: Named, active_predictions: Path | None = None) -> list[Requirement]:
        """Judge whether a version may answer.

        Parameters
        ----------
        active_predictions : Path or None
            What ``cxrd evaluate`` wrote of the active version on the candidate's test films.

        Raises
        ------
        CxrdError
            It is not sound, unknown, retired or pinned away: no gate can open for it.
        """
        database = self._open()
        candidate = self._sound(database, name).manifest
        with database.read() as connection:
            entries = packages.entries(connection)
        answers = next((c for c in self._chosen(entries) if self._is(c, name.model)), None)
        if answers is not None and answers.pinned:
            raise ConfigError(
                f"models.enabled pins {answers.name}, whatever the database says",
                hint=f"write {name.model} there, restart, and promote again",
            )
        active = self._manifest(answers) if answers is not None else None
        given = None if active_predictions is None else parse_trial(_text(active_predictions), str(active_predictions))
        said = self._pairs(database, name, active.version) if active is not None else []
        told = shadowing.compare(active, candidate, said) if active is not None else []
        case = Case(
            candidate=candidate,
            active=active,
            trial=read_trial(self._folder(name), candidate),
            active_trial=given or self._own_trial(answers, active),
            looked_on=bool(said) or any(e[:2] == name and e.stage is Stage.SHADOW for e in entries),
            agreement=shadowing.agreement(said, told),
        )
        models = self._settings.models
        return promotion.judge(case, Limits(models.auroc_margin, models.shadow_films, models.shadow_agreement))

    def promote(self, name: Named, requirements: Sequence[Requirement], *, reason: str, force: bool) -> None:
        """Let a version answer from now on.

        Raises
        ------
        PackageError
            The gate stays closed and is not overruled.
        """
        if not force and not promotion.met(requirements):
            closed = ", ".join(r.name for r in requirements if not r.ok)
            raise PackageError(
                f"{name.model}@{name.version} is not promoted: {closed}",
                hint="each line above says what would help; --force --reason TEXT overrules, and is audited",
            )
        gate = [{"name": r.name, "ok": r.ok, "found": r.found} for r in requirements]
        database = self._open()
        with database.write() as connection:
            detail = {"gate": gate, "forced": force and not promotion.met(requirements), "reason": reason}
            packages.promote(connection, database.now(connection), *name, detail)

    def roll_back(self, model: str, reason: str) -> tuple[str, str]:
        """Let the version answer that the active one replaced, once it is sound here; from which, to which.

        Raises
        ------
        CxrdError
            There is none, or it is not sound.
        """
        database = self._open()
        with database.read() as connection:
            active = next((e for e in packages.entries(connection) if e[0] == model and e.stage is Stage.ACTIVE), None)
        if active is not None and active.follows:
            self._sound(database, Named(model, active.follows))
        with database.write() as connection:
            return packages.roll_back(connection, database.now(connection), model, reason)

    def retire(self, name: Named, reason: str, *, force: bool) -> None:
        """Never load a version again; its files stay, because old reports name it.

        Raises
        ------
        PackageError
            It is unknown, or answers.
        """
        database = self._open()
        with database.write() as connection:
            packages.retire(connection, database.now(connection), *name, reason, force=force)

    def compare(
        self, model: str, version: str = ""
    ) -> tuple[Named, Named, list[shadowing.Compared], shadowing.Agreement]:
        """Compare a shadow with the version that answers, on the films that both judged.

        Parameters
        ----------
        version : str
            The version that looked on; "" for the one that does now.

        Raises
        ------
        PackageError
            Nothing answers, nothing looks on, or a package cannot be read.
        """
        database = self._open()
        with database.read() as connection:
            entries = packages.entries(connection)
        answers = next((c for c in self._chosen(entries) if self._is(c, model)), None)
        shadow = version or next((e.version for e in entries if e[0] == model and e.stage is Stage.SHADOW), "")
        if answers is None or not shadow:
            raise PackageError(
                f"no version of {model} {'looks on' if answers else 'is active'}",
                hint=f"cxrd models shadow {model}@VERSION, or name one that did with --version",
            )
        name = Named(model, shadow)
        active, other = self._manifest(answers), self._manifest(Chosen(*name, self._folder(name), Stage.SHADOW))
        said = self._pairs(database, name, answers.version)
        found = shadowing.compare(active, other, said)
        return Named(model, answers.version), name, found, shadowing.agreement(said, found)

    def running(self) -> dict[str, list[Running]]:
        """What each infer worker that beat of late has loaded, by host."""
        database = self._open()
        with database.read() as connection:
            return packages.running(connection, database.now(connection), _BEAT_S)

    def _open(self) -> Database:
        return open_database(self._settings)

    def _chosen(self, entries: Sequence[Entry]) -> tuple[Chosen, ...]:
        return choose(self._settings.models.dir, self._settings.models.enabled, entries)

    def _folder(self, name: Named) -> Path:
        return shelf(self._settings.models.dir)[0] / name.model / name.version

    def _sound(self, database: Database, name: Named) -> Classifier:
        """A version that is known and not retired, lies here with the bytes that are known, and works."""
        adopt(self._settings, database)
        with database.read() as connection:
            entry = packages.movable(connection, *name)
        classifier = self.verify(self._folder(name))
        if classifier.ref.digest != entry.digest:
            raise PackageError(
                f"{name.model}@{name.version} here has digest {classifier.ref.digest[:12]}, "
                f"the one that was added has {entry.digest[:12]}",
                hint="bring the package from the host on which it was added",
            )
        at_site(classifier.manifest, self._settings.models.thresholds)
        return classifier.at(self._settings.models.thresholds)

    def _manifest(self, one: Chosen) -> Manifest:
        return at_site(read_package(one.folder)[0], self._settings.models.thresholds)

    def _own_trial(self, answers: Chosen | None, active: Manifest | None) -> Trial | None:
        return None if answers is None or active is None else read_trial(answers.folder, active)

    def _pairs(self, database: Database, name: Named, against: str) -> list[tuple[dict[str, float], dict[str, float]]]:
        with database.read() as connection:
            found = observations.pairs(connection, *name, LOOKED_AT, against)
        return [(pair.active, pair.shadow) for pair in found]

    @staticmethod
    def _is(one: Chosen, model: str) -> bool:
        return one.model == model and one.stage is Stage.ACTIVE


def as_rows(found: Sequence[shadowing.Compared]) -> list[dict[str, Any]]:
    """Lines of ``cxrd models compare``."""
    return [
        {**one._asdict(), "agreement": None if not one.answers else round(one.agree / one.answers, 4)} for one in found
    ]


def _use(manifest: Manifest) -> str:
    use = manifest.intended_use
    low, high = use.min_age_years, use.max_age_years
    bounds = [f"from {low:g}" if low is not None else "", f"to {high:g}" if high is not None else ""]
    age = " ".join(b for b in bounds if b)
    sex = "" if len(set(use.sexes)) > 1 else f"sex {use.sexes[0]}"
    return ", ".join(part for part in ("/".join(use.views), f"age {age}" if age else "", sex) if part)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", hint="name the predictions.csv of cxrd evaluate"
        ) from error
