"""What a person sees and can say while a model trains: progress bar, JSON lines, a request to stop."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_STOP: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f} images/s" if speed else "")


class Watch:
    """Progress, log and stop flag of one run.

    Parameters
    ----------
    log : Path or None
        JSON-lines file to append to; None keeps no log.
    console : Console
        Where the bar and the lines of text go.
    """

    def __init__(self, log: Path | None = None, console: Console | None = None) -> None:
        self.log_file = log
        self.console = console or Console(stderr=True)
        self.stopping = False

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def log(self, event: str, **values: Any) -> None:
        """Append one JSON line."""
        if self.log_file is not None:
            with self.log_file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"event": event, **values}) + "\n")

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        """Show a bar of ``total`` images."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        seen = self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=not seen) as progress:
            yield Bar(progress, progress.add_task(title, total=total, note=""))

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Turn SIGTERM and Ctrl-C into a request to stop after the step; a second one stops at once."""
        before = {number: signal.getsignal(number) for number in _STOP}

        def ask(number: int, _frame: FrameType | None) -> None:
            self.stopping = True
            signal.signal(number, before[number])
            self.say("stopping after this step; again to stop at once")

        for number in before:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Bar:
    """One progress bar."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress, self._task = progress, task

    def advance(self, images: int = 1, note: str = "") -> None:
        """Count ``images`` more and show a note."""
        self._progress.update(self._task, advance=images, note=note)
