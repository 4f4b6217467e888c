"""Text to standard output. Imports nothing, for those who are in a hurry."""

import os
import sys


def write_text(text: str) -> None:
    """Write to stdout and flush, so that a full disk shows here. A reader that went away is fine: the
    exit status still tells the outcome."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard()


def discard() -> None:
    """Send what stdout still buffers nowhere: the interpreter flushes it once more at its end and
    would complain in its own words."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(descriptor, sys.stdout.fileno())
    finally:
        os.close(descriptor)
