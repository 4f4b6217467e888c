"""A progress bar on stderr for work that takes longer than a second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from hpbuild.report.escape import escape

Progress = Callable[[str, str, int, int], None]
"""``(stage, subject, done, total)``; total 0 means unknown."""

PATIENCE = 1.0
"""Seconds of work before a bar appears."""


@contextmanager
def progress_bar(
    stream: TextIO, *, colour: bool, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """A callable for the stages to report to. The bar appears on ``stream`` at the first report after
    ``PATIENCE`` seconds and is removed at the end; short work draws nothing and imports no rich."""
    bars: list[_Bar] = []
    started = clock()

    def report(stage: str, subject: str, done: int, total: int) -> None:
        if not bars:
            if clock() - started < PATIENCE:
                return
            bars.append(_Bar(stream, colour=colour))
        bars[0].show(stage, subject, done, total)

    try:
        yield report
    finally:
        for bar in bars:
            bar.close()


class _Bar:
    """One line of rich's progress display: stage, subject, bar, elapsed time."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(file=stream, force_terminal=True, no_color=not colour, markup=False, emoji=False)
        self._display = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._display.add_task("", total=None)
        self._display.start()

    def show(self, stage: str, subject: str, done: int, total: int) -> None:
        """Move the bar; ``total`` 0 shows that something happens, but not how much is left."""
        text = escape(f"{stage} {subject}".strip())
        self._display.update(self._task, description=text[:60], completed=done, total=total or None)

    def close(self) -> None:
        """Remove the bar."""
        self._display.stop()
