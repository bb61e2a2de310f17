"""The one frozen Settings tree, read from TOML and ``CXRD_<SECTION>__<KEY>`` environment variables.

Nothing else in cxrd reads a configuration file or the environment. A wrong configuration is refused as a
whole, every fault in one message. Relative paths are relative to the working directory of the process.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import TomlConfigSettingsSource as TomlSource

from cxrd.crashpoints import POINTS
from cxrd.errors import ConfigError
from cxrd.peers import Archive, Destination, Dicom, Section, Source
from cxrd.rules import Admission
from cxrd.serving import Cache, Predict, Redis, Web

ROLES = ("listen", "infer", "build", "deliver", "fetch", "tick", "web")


SHAPES_ADMITTED = {
    "content", "frontal_named", "frontal_unnamed", "inversion", "frontal_words", "lateral_words", "ignored_words",
}  # fmt: skip
"""Keys of ``admission`` that change pixels, view or notes of an admitted film; the others only admit it or do not."""


class Database(Section):
    """The queue and the truth.

    Attributes
    ----------
    url : str
        SQLAlchemy URL: ``sqlite:///path``, or ``postgresql+psycopg://user@host/database``.
    """

    url: str = "sqlite:///var/cxrd.db"

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.url.startswith(("sqlite:///", "postgresql+psycopg://")):
            msg = "database.url must start with sqlite:/// or postgresql+psycopg://"
            raise ValueError(msg)
        return self


class Storage(Section):
    """Where payload bytes lie.

    Attributes
    ----------
    dir : Path
        Content-addressed directory on a local disk or, for several hosts, on a network filesystem.
    min_free_mb : int
        Below this many MiB free, here or beside an embedded database, C-STORE is answered 0xA700 so that the
        sender keeps its images.
    s3 : str
        ``s3://bucket/prefix`` keeps payloads in S3-compatible storage instead; ``dir`` gets local copies of what
        is being worked on. Credentials come from the environment.
    s3_endpoint, s3_region : str
        URL of a server that is not Amazon's; the region to sign for.
    """

    dir: Path = Path("var/payload")
    min_free_mb: int = Field(1024, ge=0)
    s3: str = Field("", pattern=r"^(s3://[^/]+(/.*)?)?$")
    s3_endpoint: str = Field("", pattern=r"^(https?://.+)?$")
    s3_region: str = "us-east-1"


class Models(Section):
    """Which packages to load.

    Attributes
    ----------
    dir : Path or None
        Directory of ``<id>/<version>/`` packages; None takes the starter packages that come with cxrd.
    enabled : tuple of str
        Model ids, each in its active version; ``id@version`` pins one. Empty loads every id found.
    thresholds : dict of str to dict of str to float
        Operating points (0..1) that this site chose instead of the package's, by model id and class.
    refresh_s : float
        Seconds between two looks at which versions are active and which look on.
    auroc_margin : float
        A version whose area under the ROC curve may be worse than the active one's by more is not promoted.
    shadow_films, shadow_agreement : int, float
        Films that a version on trial must have judged, and share (0..1) of its answers that must be the active one's.
    """

    dir: Path | None = None
    enabled: tuple[str, ...] = ()
    thresholds: dict[str, dict[str, Annotated[float, Field(gt=0, lt=1)]]] = Field(default_factory=dict)
    refresh_s: float = Field(5.0, gt=0, le=3600)
    auroc_margin: float = Field(0.02, ge=0, le=1)
    shadow_films: int = Field(100, ge=1)
    shadow_agreement: float = Field(0.9, ge=0, le=1)


class Inference(Section):
    """How models run.

    Attributes
    ----------
    provider : {"auto", "cuda", "cpu"}
        ONNX Runtime execution provider; "auto" takes CUDA where it works. "cuda" refuses to start without it.
    threads : int
        Intra-op threads of a session; 0 takes one per core.
    batch_size : int
        Studies claimed and run together at most.
    decode_processes : int
        Processes that decode pixels; a broken file may kill one, never the daemon. 0 decodes in the worker.
    decode_timeout_s : float
        Seconds after which a decode is given up.
    """

    provider: Literal["auto", "cuda", "cpu"] = "auto"
    threads: int = Field(0, ge=0, le=256)
    batch_size: int = Field(16, ge=1, le=256)
    decode_processes: int = Field(2, ge=0, le=64)
    decode_timeout_s: float = Field(60.0, gt=0)


class Report(Section):
    """What the objects say.

    Attributes
    ----------
    research_use : bool
        State in every object that it is for research use and must be reviewed.
    manufacturer, institution, station_name : str
        Equipment module of every object.
    preview_size : int
        Longer side of the Secondary Capture's film, pixels.
    default_character_set : str
        Used to read a header that has 8-bit text but names no Specific Character Set.
    """

    research_use: bool = True
    manufacturer: str = "cxrd"
    institution: str = ""
    station_name: str = "CXRD"
    preview_size: int = Field(1024, ge=256, le=4096)
    default_character_set: str = "ISO_IR 100"


class Delivery(Section):
    """How results go out.

    Attributes
    ----------
    backoff_base_s, backoff_cap_s : float
        A failed delivery waits ``min(cap, base * 2**attempts)`` seconds with full jitter. Deliveries never
        die of age while a PACS is down, only of a permanent answer.
    commit_base_s, commit_cap_s : float
        A destination that was asked to commit and has not answered is asked again after
        ``min(cap, base * 2**questions)`` seconds, for ever.
    """

    backoff_base_s: float = Field(2.0, gt=0)
    backoff_cap_s: float = Field(600.0, gt=0)
    commit_base_s: float = Field(300.0, gt=0)
    commit_cap_s: float = Field(21600.0, gt=0)


class Work(Section):
    """How the queue is worked.

    Attributes
    ----------
    lease_s : float
        A claim not renewed for this many seconds is taken over by another worker.
    poll_s : float
        Idle workers look for due work this often.
    max_crashes : int
        A job whose worker died this many times is dead (it poisons its workers).
    max_attempts : int
        Handled errors after which an infer or build job is dead; deliveries have no such limit.
    """

    lease_s: float = Field(60.0, ge=2)
    poll_s: float = Field(0.2, gt=0, le=10)
    max_crashes: int = Field(3, ge=1)
    max_attempts: int = Field(5, ge=1)


class Audit(Section):
    """The audit trail.

    Attributes
    ----------
    seal_s : float
        Seconds between two seals: younger rows are not chained yet.
    """

    seal_s: float = Field(5.0, gt=0)


class Retention(Section):
    """What is removed, and when; 0 days keep it for ever. The audit trail and what waits for a person never go.

    Attributes
    ----------
    sweep_s : float
        Seconds between two sweeps: temporary files that a dead writer left, and whatever is due.
    films_days : float
        Days after the end of a study, every destination having taken its results or a person having dismissed the
        rest, after which the bytes of its films and of their previews are removed; their rows stay.
    results_days : float
        Days after which, likewise, the bytes of its results are removed.
    jobs_days : float
        Days after which rows of jobs that are done are removed.
    """

    sweep_s: float = Field(3600.0, gt=0)
    films_days: float = Field(0.0, ge=0)
    results_days: float = Field(0.0, ge=0)
    jobs_days: float = Field(0.0, ge=0)


class Schedule(Section):
    """Chores of the ``tick`` role, seconds between two runs.

    Attributes
    ----------
    reap_s : float
        Look for leases whose workers are gone.
    echo_s : float
        Ask each destination for a C-ECHO.
    """

    reap_s: float = Field(5.0, gt=0)
    echo_s: float = Field(30.0, gt=0)


class Drift(Section):
    """Whether films and answers still look like those on which a package was tested.

    Attributes
    ----------
    every_s : float
        Seconds between two looks.
    films : int
        Newest films that are looked at.
    min_films : int
        Nothing is said of a source or finding with fewer: chance alone would look like drift.
    """

    every_s: float = Field(300.0, gt=0)
    films: int = Field(1000, ge=1, le=100_000)
    min_films: int = Field(200, ge=1)


class Settings(BaseSettings):
    """The whole tree; see each section for units and meaning.

    Attributes
    ----------
    crash_at, crash_how : str
        For tests: end ("kill") or freeze ("stop") each role's first process at a place of cxrd/crashpoints.py.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="CXRD_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    dicom: Dicom = Dicom()
    destinations: tuple[Destination, ...] = ()
    archives: tuple[Archive, ...] = ()
    database: Database = Database()
    storage: Storage = Storage()
    models: Models = Models()
    admission: Admission = Admission()
    inference: Inference = Inference()
    report: Report = Report()
    delivery: Delivery = Delivery()
    work: Work = Work()
    web: Web = Web()
    predict: Predict = Predict()
    cache: Cache = Cache()
    redis: Redis = Redis()
    audit: Audit = Audit()
    retention: Retention = Retention()
    schedule: Schedule = Schedule()
    drift: Drift = Drift()
    crash_at: Literal["", *POINTS] = ""  # type: ignore[valid-type]  # for tests: see cxrd.crashpoints
    crash_how: Literal["kill", "stop"] = "kill"

    @model_validator(mode="after")
    def _unique_names(self) -> Self:
        for what, names in (
            ("dicom.sources", [s.name for s in self.dicom.sources]),
            ("destinations and archives", list(self.peers())),
        ):
            doubled = sorted({n for n in names if names.count(n) > 1})
            if doubled:
                msg = f"{what}: each name must be its own, but {', '.join(doubled)} stands twice"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _no_retention_in_s3(self) -> Self:
        if self.storage.s3 and (self.retention.films_days or self.retention.results_days):
            msg = (
                "retention: films_days and results_days need storage.dir, since S3 cannot tell whether bytes that "
                "are to be removed have just been put again"
            )
            raise ValueError(msg)
        return self

    def roles(self) -> tuple[str, ...]:
        """Roles that a whole node runs: nothing is fetched without an archive."""
        return tuple(role for role in ROLES if role != "fetch" or self.archives)

    def peers(self) -> tuple[str, ...]:
        """Names of every destination and archive."""
        return (*(d.name for d in self.destinations), *(a.name for a in self.archives))

    def longest_wait_s(self) -> float:
        """Seconds that a job is ever made to wait: quiet periods, holds and waits between attempts."""
        sources = (*self.dicom.sources, Source(name="any", ae_title="ANY", quiet_period_s=self.dicom.quiet_period_s))
        held = [max(s.quiet_period_s, s.hold_open_s) for s in sources]
        return max(*held, self.delivery.backoff_cap_s, self.delivery.commit_cap_s, 600.0) + 60.0

    def digest(self) -> str:
        """sha256 (hex) of what shapes a result: what objects say, how films are read, thresholds; not addresses."""
        shape: dict[str, Any] = {
            "report": self.report.model_dump(mode="json"),
            "sends": sorted({tuple(sorted(set(d.send))) for d in self.destinations}),
            "admission": self.admission.model_dump(mode="json", include=SHAPES_ADMITTED),
        }
        if self.models.thresholds:
            shape["thresholds"] = self.models.thresholds
        return sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()

    def fingerprint(self) -> str:
        """sha256 (hex) of the whole tree: which configuration was in force, for the audit trail."""
        tree = self.model_dump(mode="json")
        for section in ("database", "redis"):  # a hash must not help to guess a password
            tree[section]["url"] = re.sub(r":[^:@/]*@", "@", tree[section]["url"])
        return sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def file_of(path: Path | None = None) -> Path | None:
    """Return the file that :func:`load` reads; None when there is none and the defaults are in force."""
    return path or next((p for p in (Path("config/cxrd.toml"), Path("/etc/cxrd/cxrd.toml")) if p.exists()), None)


def load(path: Path | None = None, **overrides: Any) -> Settings:
    """Read the configuration.

    Parameters
    ----------
    path : Path or None
        TOML file; None takes ``config/cxrd.toml``, then ``/etc/cxrd/cxrd.toml``, then the defaults.
    **overrides : Any
        Sections that win over file and environment (used by ``cxrd demo`` and tests).

    Raises
    ------
    ConfigError
        Every fault at once, each with its key; or the file cannot be read.
    """

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            toml = (TomlSource(settings_cls, source),) if source else ()
            return (init_settings, env_settings, *toml)

    try:
        source = file_of(path)
        if source is not None and not source.is_file():
            raise ConfigError(f"configuration file {source} does not exist", hint="give its path with --config")
        read = FromFile(**overrides)
    except ValidationError as error:
        faults = [f"  {'.'.join(str(p) for p in e['loc']) or 'settings'}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"the configuration has {len(faults)} fault(s):\n" + "\n".join(faults)) from None
    except ValueError as error:  # TOML syntax
        raise ConfigError(f"{source} is not valid TOML: {error}") from None
    except OSError as error:
        what = f"configuration file {error.filename or source} cannot be read: {error.strerror}"
        raise ConfigError(what, hint="let the user that runs cxrd read it and enter its folder") from None
    return Settings.model_construct(**{name: getattr(read, name) for name in Settings.model_fields})
