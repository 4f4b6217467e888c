"""A Linux process's mappings (``proc_pid_maps(5)``), and the files here that its modules come from."""

import os
import re
from pathlib import Path, PureWindowsPath

from hpbuild.dataclass import dataclass

_LINE = re.compile(
    rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][ps]) ([0-9a-f]{1,16}) "
    rb"([0-9a-f]+):([0-9a-f]+) ([0-9]{1,20}) *(.*)"
)
_ESCAPED = re.compile(rb"\\012")
_DELETED = b" (deleted)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """One mapping. ``flags`` as in 'r-xp'; ``offset`` in the file; ``device`` and ``inode`` tell the file,
    inode 0: none; ``path`` is what the kernel calls it, b'' for memory without a name."""

    start: int
    end: int
    flags: str
    offset: int
    device: int
    inode: int
    path: bytes

    @property
    def is_private_memory(self) -> bool:
        """True for readable and writable memory that belongs to no file and has no name."""
        return self.flags == "rw-p" and not self.inode and not self.path


def parse_mappings(raw: bytes) -> tuple[Mapping, ...]:
    """The lines of ``/proc/PID/maps``; a line of another form is passed over."""
    found = []
    for line in raw.split(b"\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        start, end, flags, offset, major, minor, inode, path = match.groups()
        found.append(
            Mapping(
                start=int(start, 16), end=int(end, 16), flags=flags.decode("ascii"), offset=int(offset, 16),
                device=os.makedev(int(major, 16), int(minor, 16)), inode=int(inode),
                path=_ESCAPED.sub(b"\n", path),
            )
        )  # fmt: skip
    return tuple(found)


def mapped_file(mappings: tuple[Mapping, ...], base: int) -> Path | None:
    """The file that the image at ``base`` is mapped from. None when its first page is no file's, or when
    the file of that name is another one by now (replaced or removed)."""
    head = next((each for each in mappings if each.start <= base < each.end), None)
    if head is None or not head.inode or head.path.endswith(_DELETED):
        return None
    path = Path(os.fsdecode(head.path))
    try:
        status = path.stat()
    except OSError:
        return None
    return path if status.st_ino == head.inode and status.st_dev == head.device else None


def translated_path(path: str, prefix: Path | None) -> Path | None:
    r"""The file here that a Windows path means under Wine, by the links in ``dosdevices``; letter case is
    ignored where no name agrees exactly. None for a path without a drive, or when there is no such file."""
    parts = PureWindowsPath(path.removeprefix("\\??\\").removeprefix("\\\\?\\"))
    if prefix is None or not re.fullmatch("[A-Za-z]:", parts.drive) or not parts.root:
        return None
    here = prefix / "dosdevices" / parts.drive.lower()
    try:
        for part in parts.parts[1:]:
            exact = here / part
            found = [exact] if exact.exists() else _ignoring_case(here, part)
            if part in (".", "..") or len(found) != 1:
                return None
            here = found[0]
        return here.resolve() if here.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _ignoring_case(directory: Path, name: str) -> list[Path]:
    folded = name.casefold()
    return [entry for entry in directory.iterdir() if entry.name.casefold() == folded]
