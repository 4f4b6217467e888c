"""What is known of a process: its memory and its modules. Values and the one protocol."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

from hpbuild.dataclass import dataclass
from hpbuild.pe.processes.environment import wine_prefix

ADDRESS_LIMIT = 1 << 47
"""End of the address space that x64 Windows gives to programs."""
PAGE = 0x1000


class Memory(Protocol):
    """Another process's memory."""

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``address``; HpbuildError MEMORY_UNREADABLE when one cannot be read,
        PROCESS_GONE when the process ended."""


@runtime_checkable
class Closable(Protocol):
    """Memory that holds something of the system."""

    def close(self) -> None:
        """Give it back; later reads fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModule:
    """A module of a process. ``path`` is as the process says, with backslashes, ``name`` its last part;
    ``file`` is the file on this machine, None when it is not known; ``base`` is where the module lies,
    ``size`` how many bytes its image has there."""

    name: str
    path: str
    file: Path | None
    base: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind the module."""
        return self.base + self.size

    def __contains__(self, address: int) -> bool:
        return self.base <= address < self.end


def module_at(modules: Iterable[LoadedModule], address: int) -> LoadedModule | None:
    """The module that ``address`` lies in, None when it is in none."""
    return next((module for module in modules if address in module), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running Windows process. ``pid`` is its number here (under Wine the Linux process id),
    ``windows_pid`` what the program itself sees; ``modules`` are those loaded when it was opened;
    ``environment`` is the Linux environment that a Wine process was started with, empty on Windows. Close it,
    or use it as a context manager."""

    pid: int
    windows_pid: int
    memory: Memory
    modules: tuple[LoadedModule, ...]
    environment: Mapping[str, str]

    @property
    def prefix(self) -> Path | None:
        """The Wine installation that it runs in."""
        return wine_prefix(self.environment)

    def close(self) -> None:
        """Let go of the process."""
        if isinstance(self.memory, Closable):
            self.memory.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
