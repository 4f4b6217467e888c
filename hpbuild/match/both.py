"""Two pieces of work at once, such as the same for both sides of a comparison. Columns of numbers are
computed outside the interpreter's lock: two threads take little more time than one."""

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

LARGE = 1 << 17
"""Rows from which a thread is worth its start."""
First = TypeVar("First")
Second = TypeVar("Second")


def both(first: Callable[[], First], second: Callable[[], Second], rows: int) -> tuple[First, Second]:
    """What the two give; done at once where each goes through ``LARGE`` or more ``rows``. They must not write
    to what they share. Raises what they raise; of two errors that of the first."""
    if rows < LARGE:
        return first(), second()
    made: list[Second] = []
    failed: list[Exception] = []

    def aside() -> None:
        try:
            made.append(second())
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits for it
            failed.append(error)

    thread = Thread(target=aside)
    thread.start()
    try:
        one = first()
    finally:
        thread.join()
    if failed:
        raise failed[0]
    return one, made[0]
