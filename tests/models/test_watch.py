"""A person's wish to stop is heard between steps."""

from __future__ import annotations

import os
import signal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cxrd_models.train.watch import Watch


def test_a_bar_is_for_people(tmp_path: Path) -> None:
    """A log gets no line of it, and no empty one."""
    console = Console(file=StringIO())
    with Watch(tmp_path / "log", console).bar("reading", 2) as bar:
        bar.advance()
    assert "" == console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above


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
