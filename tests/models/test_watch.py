"""A person's wish to stop is heard between steps."""

from __future__ import annotations

import os
import signal
from io import StringIO

import pytest
from rich.console import Console

from cxrd_models.train.watch import Watch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_to_stop_and_the_second_one_is_not_held_back(number: signal.Signals) -> None:
    """The first signal sets the flag and gives the old handler back; leaving the block restores both."""
    heard: list[int] = []
    before = signal.signal(number, lambda which, _frame: heard.append(which))
    try:
        watch = Watch(None, Console(file=StringIO()))
        with watch.stoppable():
            os.kill(os.getpid(), number)
            assert watch.stopping
            assert not heard
            os.kill(os.getpid(), number)
            assert [number] == heard
    finally:
        signal.signal(number, before)
