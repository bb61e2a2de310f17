"""The other DICOM systems: who may send to us, and where results go; a part of the settings."""

from __future__ import annotations

import ipaddress
import socket
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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
    quiet_period_s : float
        Seconds without a new image of a study before the study is analysed.
    hold_open_s : float
        While the association that brought a study's last image is open, the study waits for more of them,
        at most this many seconds after the last one. 0 asks for the quiet period alone.
    fast_path : bool
        Analyse a study as soon as a CR or DX image of it is here; an image that comes later leads to a new
        result that supersedes the first.
    """

    name: str = Field(min_length=1, max_length=64)
    ae_title: AETitle
    hosts: tuple[str, ...] = ()
    quiet_period_s: float = Field(5.0, ge=0, le=86400)
    hold_open_s: float = Field(10.0, ge=0, le=3600)
    fast_path: bool = False

    def allows(self, address: str) -> bool:
        """Whether a peer address (text form of IPv4 or IPv6) may use this source's AE title."""
        return not self.hosts or any(_matches(host, address) for host in self.hosts)

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


def _matches(host: str, address: str) -> bool:
    peer = ipaddress.ip_address(address)
    try:
        return peer in ipaddress.ip_network(host, strict=False)
    except ValueError:  # a name: ask the resolver now, because hospital DNS changes
        try:
            return address in {info[4][0] for info in socket.getaddrinfo(host, None)}
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
    max_associations : int
        Associations held at once; the next one is rejected with "local limit exceeded".
    max_object_mb : int
        Largest object taken, MiB; a larger one is answered 0xA700.
    timeout_s : float
        Seconds of silence after which an association is aborted.
    quiet_period_s : float
        Quiet period of a caller that no source names.
    """

    ae_title: AETitle = "CXRD"
    bind: str = "0.0.0.0"  # noqa: S104 - a DICOM listener serves the hospital network; sources limit who may speak
    port: Port = 11112
    sources: tuple[Source, ...] = ()
    max_associations: int = Field(16, ge=1, le=1000)
    max_object_mb: int = Field(256, ge=1, le=4096)
    timeout_s: float = Field(60.0, gt=0, le=3600)
    quiet_period_s: float = Field(5.0, ge=0, le=86400)

    def source_for(self, ae_title: str, address: str) -> Source | None:
        """The source a caller is, or None when it may not speak to us."""
        if not self.sources:
            return Source(name="any", ae_title=ae_title or "ANY", quiet_period_s=self.quiet_period_s)
        return next((s for s in self.sources if s.ae_title == ae_title.strip() and s.allows(address)), None)


class Destination(Section):
    """A PACS that receives results.

    Attributes
    ----------
    send : tuple of {"sr", "sr-comprehensive", "sr-text", "sc", "gsps", "seg", "pm"}
        Kinds of object it gets: a report as Comprehensive 3D SR (TID 1500), as Comprehensive SR with the same content
        or as Basic Text SR; the picture with heat and legend; a presentation state with contours and boxes; the region
        of evidence as Segmentation; the heat's values as Parametric Map.
    timeout_s : float
        Seconds to wait for the network, the association and each C-STORE answer.
    max_associations : int
        Associations to it at once, over all machines of this database.
    """

    name: str = Field(min_length=1, max_length=64)
    ae_title: AETitle
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    send: tuple[Literal["sr", "sr-comprehensive", "sr-text", "sc", "gsps", "seg", "pm"], ...] = ("sr", "sc")
    timeout_s: float = Field(30.0, gt=0, le=3600)
    max_associations: int = Field(2, ge=1, le=64)
