"""A child process that stays until somebody ends it."""

from __future__ import annotations

import os
import time

from cxrd.watch.lifeline import die_with_parent


def linger() -> None:
    """Do what every role does first; say who we are, and stay."""
    die_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)
