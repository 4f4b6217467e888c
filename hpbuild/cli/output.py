"""Where a command's result, progress and log go."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from hpbuild.cli.choices import Color, Format
from hpbuild.cli.stdout import write_text
from hpbuild.dataclass import dataclass, field
from hpbuild.report import plain
from hpbuild.report.blocks import Block
from hpbuild.report.document import Document, json_text
from hpbuild.report.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from typing import TextIO

Progress = Callable[[str, str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The output options of one run. ``verbose`` counts the ``-v``; ``--quiet`` wins over it on stderr."""

    format: Format = Format.TEXT
    quiet: bool = False
    verbose: int = 0
    color: Color = Color.AUTO
    stages: list[str] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """True when a text report shows lists in full."""
        return self.verbose > 0

    def emit(self, document: Document, blocks: Callable[[Document], Iterable[Block]]) -> None:
        """Write the result to stdout: the document itself, or the text made from it."""
        if self.format is Format.JSON:
            write_text(json_text(document))
        elif self._rich(sys.stdout):
            import shutil

            from hpbuild.report import terminal

            colour = wants_colour(self.color, sys.stdout)
            width = shutil.get_terminal_size().columns
            write_text(terminal.render(blocks(document), colour=colour, width=width))
        else:
            write_text(plain.render(blocks(document)))

    def log(self, text: str, level: int = 1) -> None:
        """One line on stderr when ``-v`` was given at least ``level`` times."""
        if not self.quiet and self.verbose >= level:
            sys.stderr.write(f"hpbuild: {escape(text)}\n")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """The callable that the stages report to: a bar on a terminal, lines with ``-v``, else nothing."""
        if self.quiet or self.verbose or not sys.stderr.isatty():
            yield self._log_stage
            return
        from hpbuild.report.progress import progress_bar

        with progress_bar(sys.stderr, colour=wants_colour(self.color, sys.stderr)) as report:
            yield report

    def _log_stage(self, stage: str, subject: str, done: int, total: int) -> None:
        step = f"{stage} {subject}".strip()
        if step not in self.stages[-1:]:
            self.stages.append(step)
            self.log(step)
        elif done:
            self.log(f"{step} {done}/{total}" if total else f"{step} {done}", level=2)

    def _rich(self, stream: TextIO) -> bool:
        if self.color is Color.NEVER:
            return False
        return stream.isatty() or self.color is Color.ALWAYS


def wants_colour(color: Color, stream: TextIO) -> bool:
    """Whether ``stream`` gets colours (NO_COLOR: any non-empty value, no-color.org)."""
    if color is Color.AUTO:
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return color is Color.ALWAYS
