"""What is served over HTTP, to whom and within which limits; a part of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from cxrd.peers import Port, Section


class Web(Section):
    """Metrics, health, the page and the API.

    Attributes
    ----------
    bind, port
        Where it listens: loopback unless told otherwise.
    hosts : tuple of str
        Names by which browsers may call this node, beside its addresses, ``localhost`` and the machine's own name.
    operators : Path or None
        File of ``name:password`` lines: everybody logs in. Without it only callers on this machine see films and
        change anything.
    show_patient : bool
        Show the Patient ID beside UIDs and accession numbers.
    """

    bind: str = "127.0.0.1"
    port: Port = 8080
    hosts: tuple[str, ...] = ()
    operators: Path | None = None
    show_patient: bool = False


class Predict(Section):
    """``POST /api/v1/predict``: films that are uploaded, judged and not kept.

    Attributes
    ----------
    enabled : bool
        False answers 403.
    max_upload_mb : int
        Largest request, MiB.
    max_films : int
        Films in one request.
    waiting : int
        Requests that are read, wait for their turn or are judged at a time; the next is answered 503, before its
        films are read. Each may take twice ``max_upload_mb`` of the volume for temporary files.
    timeout_s : float
        Seconds that the films of a request may take to come, and then to be judged, with their wait.
    idle_s : float
        Seconds without a request after which the process that judges uploads ends and its memory is free.
    """

    enabled: bool = True
    max_upload_mb: int = Field(256, ge=1, le=4096)
    max_films: int = Field(16, ge=1, le=256)
    waiting: int = Field(8, ge=1, le=1000)
    timeout_s: float = Field(120.0, gt=0)
    idle_s: float = Field(300.0, gt=0)


class Cache(Section):
    """What models said of uploaded films, so that the same film is not judged twice.

    Attributes
    ----------
    entries : int
        Outputs kept at most, one for each film and model; the oldest go first. 0 keeps none.
    ttl_s : float
        Seconds that an output is kept.
    """

    entries: int = Field(10_000, ge=0)
    ttl_s: float = Field(86_400.0, gt=0)


class Redis(Section):
    """Where the cache is kept instead of in the database.

    Attributes
    ----------
    url : str
        ``redis://host:6379/0``; empty keeps it in the database. Needs ``pip install 'cxrd[redis]'``.
    """

    url: str = Field("", pattern=r"^(rediss?://.+|unix://.+)?$")
