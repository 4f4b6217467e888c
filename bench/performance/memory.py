"""The memory of a process and of all below it, from /proc (Linux, proc(5))."""

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def tree_kib(pid: int) -> int:
    """KiB of memory of *pid* and all below it. One process: the largest resident size it ever had. Several:
    the sum of their proportional set sizes, in which a page that n processes share counts 1/n in each.
    Processes that end meanwhile count nothing."""
    family = list(descendants(pid))
    if len(family) == 1:
        return _figure(pid, "status", "VmHWM:")
    return sum(_figure(each, "smaps_rollup", "Pss:") or _figure(each, "status", "VmRSS:") for each in family)


def descendants(pid: int) -> Iterator[int]:
    """*pid* and every process below it."""
    waiting, seen = [pid], {pid}
    while waiting:
        current = waiting.pop()
        yield current
        for child in _children(current):
            if child not in seen:
                seen.add(child)
                waiting.append(child)


def _children(pid: int) -> list[int]:
    """Children of all threads of a process."""
    found: list[int] = []
    try:
        for task in (PROC / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:  # it has ended, or the kernel has no such files
        pass
    return found


def _figure(pid: int, file: str, key: str) -> int:
    """A line of a file in /proc; 0 when the process has ended or does not let itself be read."""
    try:
        for line in (PROC / str(pid) / file).read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
