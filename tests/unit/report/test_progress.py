"""The progress bar: silent for short work, gone at the end, escaped."""

import io

from hpbuild.report.progress import PATIENCE, progress_bar


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_short_work_draws_nothing() -> None:
    clock, stream = Clock(), io.StringIO()
    with progress_bar(stream, colour=False, clock=clock) as report:
        report("read", "a.dll", 1, 2)
        clock.now = PATIENCE - 0.01
        report("read", "a.dll", 2, 2)
    assert stream.getvalue() == ""


def test_long_work_draws_and_cleans_up() -> None:
    clock, stream = Clock(), io.StringIO()
    with progress_bar(stream, colour=False, clock=clock) as report:
        clock.now = PATIENCE
        report("match", "evil\x1b]0;x\x07.dll", 1, 2)
        report("match", "[red]x", 0, 0)
    text = stream.getvalue()
    assert "match" in text
    assert "\x1b]0;" not in text
    assert "\x07" not in text
    assert text.endswith("\x1b[2K"), "the line is erased"


def test_the_bar_is_removed_when_the_work_fails() -> None:
    clock, stream = Clock(), io.StringIO()
    try:
        with progress_bar(stream, colour=False, clock=clock) as report:
            clock.now = 5.0
            report("match", "a", 0, 0)
            raise ValueError
    except ValueError:
        pass
    assert stream.getvalue().endswith("\x1b[2K")
