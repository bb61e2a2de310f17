"""A configuration taken up while the node runs: judged as a whole, then told to every role, or to none.

On SIGHUP the supervisor reads its file again. Sources, destinations, archives and thresholds may differ; any
other change needs a restart and is refused by name, so that the file never says what the node does not do.
Certificates are read again with it. Each child hears the new settings on a wire of its own and answers whether it
took them.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import Any

from cxrd.errors import ConfigError, CxrdError
from cxrd.settings import Settings
from cxrd.tls import ends, make_context

RELOADABLE = ("dicom.sources", "destinations", "archives", "models.thresholds")
ANSWER_S = 30.0

Apply = Callable[[Settings], None]


def changed(old: Settings, new: Settings) -> list[str]:
    """Keys that differ, as ``section.key``."""
    before, after = _flat(old), _flat(new)
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _flat(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section, value in settings.model_dump(mode="json").items():
        found |= {f"{section}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {section: value}
    return found


def review(old: Settings, new: Settings) -> list[str]:
    """Judge a configuration before any role hears of it.

    Returns
    -------
    list of str
        Keys that change.

    Raises
    ------
    ConfigError
        Something else than sources, destinations, archives and thresholds changed.
    """
    keys = changed(old, new)
    if fixed := [key for key in keys if key not in RELOADABLE]:
        raise ConfigError(
            f"{', '.join(fixed)} cannot change while the node runs",
            hint=f"restart cxrd, or put it back; {', '.join(RELOADABLE)} can be reloaded",
        )
    return keys


def check_tls(settings: Settings) -> None:
    """Refuse certificates that the listener or a peer could not use.

    Raises
    ------
    ConfigError
        Which file, and what is wrong with it.
    """
    for tls in ends(settings).values():
        make_context(tls)


class Follower:
    """The end of the wire in a role's process.

    Parameters
    ----------
    wire : Connection
        Brings settings, takes "" or why they were not taken.
    """

    def __init__(self, wire: Connection) -> None:
        self._wire = wire
        self._lock = Lock()
        self._apply: Apply | None = None
        self._newest: Settings | None = None  # heard before the role could take it

    def start(self) -> None:
        """Listen in a thread until the supervisor is gone."""
        Thread(target=self._listen, daemon=True, name="follower").start()

    def follow(self, apply: Apply) -> None:
        """Take up every later configuration by ``apply``, which raises ConfigError and changes nothing if it cannot."""
        with self._lock:
            self._apply = apply
            if self._newest is not None:
                apply(self._newest)

    def _listen(self) -> None:
        while True:
            try:
                settings = self._wire.recv()
                self._wire.send((settings.fingerprint(), self._take(settings)))
            except (EOFError, OSError):
                return

    def _take(self, settings: Settings) -> str:
        with self._lock:
            self._newest = settings
            try:
                if self._apply is not None:
                    self._apply(settings)
            except CxrdError as error:
                return str(error)
        return ""


def tell(wire: Connection, settings: Settings) -> str:
    """Tell a role; why it did not take the settings, "" when it did or is not there to answer."""
    try:
        wire.send(settings)
        while wire.poll(ANSWER_S):
            about, fault = wire.recv()
            if about == settings.fingerprint():  # and not a late word on settings of before
                return str(fault)
    except (EOFError, OSError):  # it died; its successor starts with whatever is in force then
        return ""
    return f"it did not answer within {ANSWER_S:.0f} s"
