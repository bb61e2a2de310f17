"""Who may speak to us, about what, and how many at once: judged when an association is asked for (PS3.8 9.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from pynetdicom import evt
from pynetdicom.association import Association

from cxrd import tls
from cxrd.commitment import PUSH_MODEL
from cxrd.intake import contexts
from cxrd.intake.places import Places
from cxrd.peers import Dicom, Source
from cxrd.watch.logs import logger

PERMANENT, TRANSIENT = 1, 2
BY_USER, BY_PRESENTATION = 1, 3
CALLING_AE_NOT_RECOGNISED, CALLED_AE_NOT_RECOGNISED = (PERMANENT, BY_USER, 3), (PERMANENT, BY_USER, 7)
LOCAL_LIMIT_EXCEEDED = (TRANSIENT, BY_PRESENTATION, 2)


class Observer(Protocol):
    """Told what happens at the door."""

    def sources(self, names: Sequence[str]) -> None:
        """These may send from now on."""
        ...

    def association(self, source: str, outcome: str) -> None:
        """One association was asked for."""
        ...

    def instance(self, source: str, outcome: str, size: int) -> None:
        """One C-STORE was answered; ``size`` bytes were made durable (0 when none)."""
        ...

    def handshake(self, fault: tls.Fault) -> None:
        """One TLS handshake failed."""
        ...


class Reports(Protocol):
    """Hears what destinations say of the objects that they were asked to commit."""

    def expected(self) -> bool:
        """Whether any destination was asked."""
        ...

    def teller(self, ae_title: str, address: str) -> str | None:
        """Name of the destination that calls, None when it is none that was asked."""
        ...

    def __call__(self, event: evt.Event) -> tuple[int, None]:
        """Answer one N-EVENT-REPORT."""
        ...


class Reception:
    """Accepts and rejects associations.

    Parameters
    ----------
    settings : callable
        The settings in force.
    observer : Observer
        Told of each association.
    places : Places
        Which associations there are, in all listener processes of the node.
    reports : Reports or None
        Who may tell what it has committed; None where nobody is asked.
    """

    def __init__(
        self, settings: Callable[[], Dicom], observer: Observer, places: Places, reports: Reports | None = None
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._places = places
        self._reports = reports
        self._lock = Lock()
        self._held: dict[Association, list[int]] = {}
        # asked once: a resolver that is away must not make a stranger of who was let in
        self._names: WeakKeyDictionary[Association, str] = WeakKeyDictionary()
        self._log: Any = logger()

    def source_of(self, association: Association) -> Source | None:
        """The source that asked for an association, as it is configured now; None when it is not any more."""
        name = self._names.get(association, "")
        return self._settings().source_named(name, str(association.requestor.ae_title).strip())

    def _caller(self, event: evt.Event) -> Source | None:
        """Who a caller is: its AE title, address and certificate must fit one source."""
        requestor, connection = event.assoc.requestor, event.assoc.dul.socket
        asked: Any = requestor.primitive
        certificate = tls.shown(connection.socket if connection is not None else None)
        return self._settings().source_for(str(asked.calling_ae_title), requestor.address, certificate)

    def requested(self, event: evt.Event) -> None:
        """Accept or reject."""
        asked: Any = event.assoc.requestor.primitive
        calling, called = (str(t).strip() for t in (asked.calling_ae_title, asked.called_ae_title))
        source = self._caller(event) or self._teller(calling, event.assoc.requestor.address)
        if source is None:
            alike = next(self._settings().callers(calling, event.assoc.requestor.address), None)
            name, outcome = (alike.name, "certificate") if alike else ("unknown", "calling_ae")
            self._reject(event, name, CALLING_AE_NOT_RECOGNISED, outcome)
        elif called != self._settings().ae_title:
            self._reject(event, source.name, CALLED_AE_NOT_RECOGNISED, "called_ae")
        elif not self._seat(event.assoc, source):
            self._reject(event, source.name, LOCAL_LIMIT_EXCEEDED, "limit")
        else:
            proposed = asked.presentation_context_definition_list
            told = self._reports is not None and self._reports.expected()
            event.assoc.acceptor.supported_contexts = contexts.answering(proposed, source, reports=told)
            self._names[event.assoc] = source.name
            self._observer.association(source.name, "accepted")

    def _teller(self, calling: str, address: str) -> Source | None:
        """A destination that is no source, as one that may store nothing; a source never comes in by this way."""
        if self._reports is None or any(self._settings().callers(calling, address)):
            return None
        name = self._reports.teller(calling, address)
        return None if name is None else Source(name=name, ae_title=calling, sop_classes=(PUSH_MODEL,))

    def closed(self, association: Association) -> None:
        """Give the places of an association back."""
        with self._lock:
            places = self._held.pop(association, [])
        for place in places:
            self._places.give(place)

    def _seat(self, association: Association, source: Source) -> bool:
        """Take a place of the node, and of the source where it has a limit of its own."""
        with self._lock:
            gone = [a for a in self._held if not a.is_alive() and a.ident is not None]
        for one in gone:  # a fault in pynetdicom's own thread ends it without a word
            self.closed(one)
        limits = [("", self._settings().max_associations)]
        if source.max_associations:
            limits.append((source.name, source.max_associations))
        taken: list[int] = []
        for whose, most in limits:
            place = self._places.take(whose, most)
            if place is None:
                for one_taken in taken:
                    self._places.give(one_taken)
                return False
            taken.append(place)
        with self._lock:
            self._held[association] = taken
        return True

    def _reject(self, event: evt.Event, source: str, answer: tuple[int, int, int], outcome: str) -> None:
        peer = event.assoc.requestor
        asked: Any = peer.primitive
        self._log.warning("association rejected", why=outcome, calling=str(asked.calling_ae_title), peer=peer.address)
        self._observer.association(source, f"rejected_{outcome}")
        event.assoc.acse.send_reject(*answer)
        event.assoc.kill()
