"""The other DICOM systems: who may send to us, and where results go; a part of the settings."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cxrd.uid_names import KnownUID, StorageClass


def _ae_title(value: str) -> str:
    """PS3.5 6.2 AE: 1 to 16 printable ASCII characters, no backslash, not only spaces."""
    text = value.strip()
    if not 1 <= len(text) <= 16 or not text.isascii() or not text.isprintable() or "\\" in text:
        msg = "an AE title has 1 to 16 printable ASCII characters without a backslash"
        raise ValueError(msg)
    return text


AETitle = Annotated[str, AfterValidator(_ae_title)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A frozen part of the tree; unknown keys are faults, so that a typing error never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Profile = Literal["bcp195", "bcp195-nd"]
"""TLS profiles of PS3.15: B.12, BCP 195 with RFC 8996 and 9325; B.10, Non-Downgrading BCP 195."""


class ListenerTls(Section):
    """DICOM TLS for those who send to us.

    Attributes
    ----------
    port : int
        TCP port for TLS beside the plain one; 2762 is the one registered for DICOM over TLS.
    only : bool
        Do not open the plain port at all.
    certificate : Path
        PEM: our certificate, then those between it and its CA.
    key : Path
        PEM: its private key.
    key_password_file : Path or None
        First line is the password of an encrypted key.
    ca : Path
        PEM: CAs whose certificates callers may show.
    client_certificate : {"required", "optional"}
        Whether a caller must show a certificate; one that is shown must be valid either way.
    profile : {"bcp195", "bcp195-nd"}
        Both never go below TLS 1.2; the second keeps to the four cipher suites of RFC 7525 there.
    """

    port: Port = 2762
    only: bool = False
    certificate: Path
    key: Path
    key_password_file: Path | None = None
    ca: Path
    client_certificate: Literal["required", "optional"] = "required"
    profile: Profile = "bcp195"


class DestinationTls(Section):
    """DICOM TLS to a destination.

    Attributes
    ----------
    ca : Path
        PEM: CAs, or the certificate itself, that the destination's certificate must come from.
    certificate, key : Path or None
        PEM: what we show when the destination asks who we are.
    key_password_file : Path or None
        First line is the password of an encrypted key.
    check_host : bool
        The destination's certificate must name its host; turn it off only for a CA that signs nobody else.
    profile : {"bcp195", "bcp195-nd"}
        As of the listener.
    """

    ca: Path
    certificate: Path | None = None
    key: Path | None = None
    key_password_file: Path | None = None
    check_host: bool = True
    profile: Profile = "bcp195"

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            msg = "certificate and key go together"
            raise ValueError(msg)
        return self


Tls = ListenerTls | DestinationTls


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate that a caller showed, verified against our CAs.

    Attributes
    ----------
    sha256 : str
        Fingerprint: hash (hex) of the certificate's DER form.
    names : frozenset of str
        Its common name and the DNS names and addresses of its subject alternative name.
    """

    sha256: str
    names: frozenset[str]

    def fits(self, entry: str) -> bool:
        """Whether an entry of ``certificates`` means it; a name that reads like a fingerprint is none."""
        if entry.startswith(_FINGERPRINT):
            return entry == f"{_FINGERPRINT}{self.sha256}"
        return entry in self.names


_FINGERPRINT = "sha256:"


def _certificate(value: str) -> str:
    """``sha256:`` with 64 hex digits, colons allowed, or a name of the certificate."""
    text = value.strip()
    if not text.lower().startswith(_FINGERPRINT):
        return text
    digits = text[len(_FINGERPRINT) :].replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        msg = "a fingerprint is sha256: and 64 hexadecimal digits (openssl x509 -noout -fingerprint -sha256)"
        raise ValueError(msg)
    return f"{_FINGERPRINT}{digits}"


class Source(Section):
    """A system that may send films.

    Attributes
    ----------
    name : str
        Label in metrics, logs and audit.
    ae_title : str
        Calling AE title that this source uses.
    hosts : tuple of str
        Addresses, networks (CIDR) or host names it may call from; empty allows every address.
    certificates : tuple of str
        Certificates it may show, each as ``sha256:`` fingerprint or as a name that stands in it (common name, DNS
        name or address). Not empty, it must come by TLS and show one of them.
    quiet_period_s : float
        Seconds without a new image of a study before the study is analysed.
    hold_open_s : float
        While the association that brought a study's last image is open, the study waits for more of them,
        at most this many seconds after the last one. 0 asks for the quiet period alone.
    fast_path : bool
        Analyse a study as soon as a CR or DX image of it is here; the result of a later one supersedes the first.
    watched : bool
        It sends in working hours, and an alert tells when it does not; false for one that sends only what is fetched.
    max_associations, max_object_mb : int
        Associations of it at once, on this node, and MiB of an object of it; 0 leaves either to the node's own limit.
    sop_classes : tuple of str
        Storage classes that it may send, as keywords of PS3.6 or as UIDs; a UID may also be that of a private class, or
        of one newer than this cxrd. Empty allows every storage class that cxrd knows.
    transfer_syntaxes : tuple of str
        UIDs, or keywords of PS3.6, that it may send; empty allows all that cxrd decodes.
    """

    name: str = Field(min_length=1, max_length=64)
    ae_title: AETitle
    hosts: tuple[str, ...] = ()
    certificates: tuple[Annotated[str, Field(min_length=1), AfterValidator(_certificate)], ...] = ()
    quiet_period_s: float = Field(5.0, ge=0, le=86400)
    hold_open_s: float = Field(10.0, ge=0, le=3600)
    fast_path: bool = False
    watched: bool = True
    max_associations: int = Field(0, ge=0, le=1000)
    max_object_mb: int = Field(0, ge=0, le=4096)
    sop_classes: tuple[StorageClass, ...] = ()
    transfer_syntaxes: tuple[KnownUID, ...] = ()

    def allows(self, address: str) -> bool:
        """Whether a peer address (text form of IPv4 or IPv6) may use this source's AE title."""
        return not self.hosts or any(is_at(host, address) for host in self.hosts)

    def trusts(self, shown: Shown | None) -> bool:
        """Whether a certificate may stand for this source; ``None`` is a caller without one."""
        if not self.certificates:
            return True
        return shown is not None and any(shown.fits(entry) for entry in self.certificates)

    @staticmethod
    def resolves(host: str) -> bool:
        """Whether an entry of ``hosts`` is an address, a network or a name that the resolver knows now."""
        try:
            ipaddress.ip_network(host, strict=False)
        except ValueError:
            try:
                return bool(socket.getaddrinfo(host, None))
            except OSError:
                return False
        return True


def is_at(host: str, address: str) -> bool:
    """Whether a peer address (text form) is that of a host, given as an address, a network or a name."""
    peer = getattr(seen := ipaddress.ip_address(address), "ipv4_mapped", None) or seen  # IPv4 at an IPv6 socket
    try:
        return peer in ipaddress.ip_network(host, strict=False)
    except ValueError:  # a name: ask the resolver now, because hospital DNS changes
        try:
            return str(peer) in {info[4][0] for info in socket.getaddrinfo(host, None)}
        except OSError:
            return False


class Dicom(Section):
    """The listener.

    Attributes
    ----------
    ae_title, bind, port
        Who we are and where we listen; port 0 takes a free one.
    sources : tuple of Source
        Empty accepts every caller as the source "any" (for a bench, not for a hospital).
    listeners : int
        Processes that take callers; 0 is one for each core, at most four.
    max_associations : int
        Associations held at once, by all of them; the next one is rejected with "local limit exceeded".
    max_object_mb : int
        Largest object taken, MiB; a larger one is answered 0xA700.
    timeout_s : float
        Seconds of silence after which an association is aborted.
    quiet_period_s : float
        Quiet period of a caller that no source names.
    tls : ListenerTls or None
        DICOM TLS; without it only the plain port is open.
    """

    ae_title: AETitle = "CXRD"
    bind: str = "0.0.0.0"  # noqa: S104 - a DICOM listener serves the hospital network; sources limit who may speak
    port: Port = 11112
    sources: tuple[Source, ...] = ()
    listeners: int = Field(0, ge=0, le=32)
    max_associations: int = Field(16, ge=1, le=1000)
    max_object_mb: int = Field(256, ge=1, le=4096)
    timeout_s: float = Field(60.0, gt=0, le=3600)
    quiet_period_s: float = Field(5.0, ge=0, le=86400)
    tls: ListenerTls | None = None

    @model_validator(mode="after")
    def _shown_somewhere(self) -> Self:
        bound = [s.name for s in self.sources if s.certificates]
        if bound and self.tls is None:
            msg = f"certificates of source {', '.join(bound)} can only be shown by TLS: add [dicom.tls]"
            raise ValueError(msg)
        return self

    def processes(self) -> int:
        """Listener processes to run."""
        return self.listeners or min(4, os.cpu_count() or 1)

    def source_for(self, ae_title: str, address: str, shown: Shown | None = None) -> Source | None:
        """The source a caller is, or None when it may not speak to us."""
        if not self.sources:
            return self.source_named("any", ae_title)
        return next((s for s in self.callers(ae_title, address) if s.trusts(shown)), None)

    def source_named(self, name: str, ae_title: str) -> Source | None:
        """The source that a caller was found to be, as it is configured now; None when it is not any more."""
        if not self.sources:
            return Source(name="any", ae_title=ae_title or "ANY", quiet_period_s=self.quiet_period_s)
        return next((s for s in self.sources if s.name == name), None)

    def callers(self, ae_title: str, address: str) -> Iterator[Source]:
        """Sources that a caller may be by its AE title and address, whatever certificate it shows."""
        return (s for s in self.sources if s.ae_title == ae_title.strip() and s.allows(address))


class Peer(Protocol):
    """A system that we call."""

    @property
    def name(self) -> str:
        """Label in metrics, logs and audit."""
        ...

    @property
    def ae_title(self) -> str:
        """Its AE title."""
        ...

    @property
    def host(self) -> str:
        """Its address or host name."""
        ...

    @property
    def port(self) -> int:
        """Its TCP port."""
        ...

    @property
    def timeout_s(self) -> float:
        """Seconds to wait for the network, the association and each answer."""
        ...

    @property
    def tls(self) -> DestinationTls | None:
        """DICOM TLS; without it the association is plain."""
        ...


class Destination(Section):
    """A PACS that receives results.

    Attributes
    ----------
    name : str
        Its own among destinations and archives; label in metrics, logs and audit.
    ae_title, host, port
        AE title that it answers to, and where.
    send : tuple of {"sr", "sr-comprehensive", "sr-text", "sc", "gsps", "seg", "pm"}
        Kinds of object it gets: a report as Comprehensive 3D SR (TID 1500), as Comprehensive SR with the same content
        or as Basic Text SR; the picture with heat and legend; a presentation state with contours and boxes; the region
        of evidence as Segmentation; the heat's values as Parametric Map.
    timeout_s : float
        Seconds to wait for the network, the association and each C-STORE answer.
    max_associations : int
        Associations to it at once, over all machines of this database.
    tls : DestinationTls or None
        DICOM TLS; without it the association is plain.
    commit : bool
        Ask it to commit what it has stored (Storage Commitment, PS3.4 annex J). It must know our AE title, host and
        port, because it may answer on an association of its own.
    commit_hold_s : float
        Seconds that the association of a question stays open for its answer.
    """

    name: str = Field(min_length=1, max_length=64)
    ae_title: AETitle
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    send: tuple[Literal["sr", "sr-comprehensive", "sr-text", "sc", "gsps", "seg", "pm"], ...] = ("sr", "sc")
    timeout_s: float = Field(30.0, gt=0, le=3600)
    max_associations: int = Field(2, ge=1, le=64)
    tls: DestinationTls | None = None
    commit: bool = False
    commit_hold_s: float = Field(2.0, ge=0, le=600)


class Archive(Section):
    """A PACS whose old films are analysed by ``cxrd backfill``: asked by C-FIND, told by C-MOVE to send to us.

    Attributes
    ----------
    name : str
        Its own among archives and destinations.
    ae_title, host, port
        AE title that it answers to, and where.
    timeout_s : float
        Seconds to wait for the network, the association and each answer; a slow tape library needs more.
    move_to : str
        AE title under which it knows our listener; "" is ``dicom.ae_title``.
    modalities : tuple of str
        Series of these are fetched.
    max_associations : int
        Associations to it at once, over all machines of this database.
    studies_per_minute : float
        No more are asked of it, over all machines of this database.
    hours : str
        "19:00-06:00" leaves it alone outside these hours of our local time; "" asks at any time.
    tls : DestinationTls or None
        DICOM TLS; without it the association is plain.
    max_matches : int
        Studies in one answer after which the range of dates is halved, since some archives stop telling there.
    """

    name: str = Field(min_length=1, max_length=64)
    ae_title: AETitle
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    timeout_s: float = Field(120.0, gt=0, le=86400)
    move_to: str = Field("", max_length=16)
    modalities: tuple[str, ...] = Field(("CR", "DX"), min_length=1)
    max_associations: int = Field(1, ge=1, le=16)
    studies_per_minute: float = Field(10.0, ge=0.1)
    hours: str = Field("", pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$")
    max_matches: int = Field(500, ge=1)
    tls: DestinationTls | None = None
