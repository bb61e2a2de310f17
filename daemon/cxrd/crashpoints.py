"""Named places where a test may end a process at once, as a power cut does: around every fsync, commit and send.

Nothing happens unless ``crash_at`` (``CXRD_CRASH_AT``) names one of them, and then once in each role's first
process, so that what comes after it can be watched. ``crash_how`` = ``stop`` freezes the process there instead, as
a paused virtual machine does.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "payload_written",  # the temporary file has its bytes, nothing is synced
    "payload_synced",  # its bytes are durable under a temporary name
    "payload_renamed",  # it has its name, the folder is not synced
    "payload_durable",  # bytes and name are durable, no row names them
    "listen_before_commit",
    "listen_after_commit",  # durable and committed, the sender has no answer
    "infer_claimed",
    "infer_before_commit",
    "infer_after_commit",
    "build_claimed",
    "build_before_commit",
    "build_after_commit",
    "deliver_claimed",
    "deliver_before_send",
    "deliver_after_send",  # the destination has it, no row says so
    "deliver_before_commit",
    "deliver_after_commit",
    "commitment_claimed",
    "commitment_before_send",  # the question is written down, the destination does not have it
    "commitment_after_send",
    "commitment_before_commit",
    "commitment_after_commit",
    "event_before_commit",  # a destination has said what it commits, no row says so
    "event_after_commit",
    "fetch_claimed",
    "fetch_before_send",  # what the archive holds is known, it was not told to send it
    "fetch_after_send",  # the archive has sent what it could, no row says so
    "fetch_before_commit",
    "fetch_after_commit",
    "seal_before_commit",
    "seal_after_commit",
)

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_armed = {"at": "", "how": "kill"}


def arm(point: str, how: str = "kill") -> None:
    """Make this process end, or freeze (``stop``), when it reaches a point; "" disarms."""
    _armed.update(at=point, how=how)


def reach(point: str) -> None:
    """End or freeze here, once, when armed so; no handler runs, nothing is flushed."""
    if point == _armed["at"]:
        _armed["at"] = ""
        os.kill(os.getpid(), SIGNALS[_armed["how"]])
