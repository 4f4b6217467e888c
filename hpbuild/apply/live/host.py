"""How a program is started beside a process: natively on Windows, by the process's own Wine on Linux.

Wine (Wine User's Guide, section "Environment variables"): WINEPREFIX is the folder with the registry and the
drives, `$HOME/.wine` when unset; WINELOADER the program that loads Windows programs. One wineserver serves
one prefix of one user, so a second program meets the first only with the same prefix, the same user, and the
same folder for temporary files.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hpbuild.codes.driver import FOREIGN_USER, SYSTEM_UNSUPPORTED, WINE_MISSING
from hpbuild.codes.process import PROCESS_GONE
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.processes import Process
from hpbuild.pe.processes.environment import wine_prefix

PRELOADER = "-preloader"
KEPT = ("HOME", "USER", "LOGNAME")
"""What the started program takes from the process's environment besides Wine's own variables."""
MEETING = ("TMPDIR", "XDG_RUNTIME_DIR")
"""Where Wine and its server meet (Debian's looks at the first): as the process has it, or not at all."""
DROPPED = ("WINELOADERNOEXEC", "WINEDEBUG", "WINEPRELOADRESERVE", "WINESERVERSOCKET")
"""Variables that speak of one Wine process only, and its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """``loader`` comes before the program on the command line; ``environment`` is the whole one. ``user`` and
    ``group`` are ids to change to, None to stay. ``drives`` is the folder of drive letters, if any."""

    loader: tuple[str, ...]
    environment: Mapping[str, str]
    user: int | None = None
    group: int | None = None
    drives: Path | None = None

    def path_inside(self, path: Path) -> str:
        """``path`` as the started program has to name it: with a drive letter, or as Wine's name of a Unix
        file when no drive reaches it."""
        if not self.loader:
            return str(path)
        best: tuple[int, str] = (-1, "")
        for letter, root in _drive_roots(self.drives):
            if path.is_relative_to(root) and len(root.parts) > best[0]:
                best = (len(root.parts), _dos_path(letter, path.relative_to(root)))
        return best[1] or "\\\\?\\unix" + str(path).replace("/", "\\")


def native_host() -> Host:
    """This machine itself, a Windows."""
    return Host(loader=(), environment=dict(os.environ))


def host_of(process: Process) -> Host:
    """How to start a program beside ``process``.

    Raises HpbuildError: HP7355 on other systems, HP7352 for another user's process, HP7350 without Wine,
    HP7254 when the process has ended."""
    if os.name == "nt":
        return native_host()
    if sys.platform != "linux":
        raise HpbuildError(SYSTEM_UNSUPPORTED, sys.platform, "there is no /proc")
    place = f"process {process.pid}"
    folder = Path("/proc") / str(process.pid)
    try:
        owner = folder.stat()
        program = os.readlink(folder / "exe")  # noqa: PTH115 - the text matters, not the path
    except PermissionError as error:
        raise HpbuildError(FOREIGN_USER, place, error.strerror or "not permitted") from error
    except OSError as error:
        raise HpbuildError(PROCESS_GONE, place, error.strerror or "it is not there") from error
    ours = os.geteuid()
    if owner.st_uid != ours and ours != 0:
        raise HpbuildError(FOREIGN_USER, place, f"it runs as user {owner.st_uid}, hpbuild as {ours}")
    changed = owner.st_uid != ours
    prefix = process.prefix
    return Host(
        loader=(_loader(program, process.environment, place),),
        environment=_beside(process.environment),
        user=owner.st_uid if changed else None,
        group=owner.st_gid if changed else None,
        drives=None if prefix is None else prefix / "dosdevices",
    )


def wine_host() -> Host:
    """The Wine that this environment names, for a program that is to be started on Linux; natively on
    Windows. Raises HpbuildError HP7350, HP7355."""
    if os.name == "nt":
        return native_host()
    program = os.environ.get("WINELOADER") or shutil.which("wine") or shutil.which("wine64")
    if not program or not os.access(program, os.X_OK):
        raise HpbuildError(WINE_MISSING, "wine", "there is neither `wine` nor `wine64` in the PATH")
    environment = {name: value for name, value in os.environ.items() if name != "WINELOADERNOEXEC"}
    prefix = wine_prefix(environment)
    drives = None if prefix is None else prefix / "dosdevices"
    return Host(loader=(program,), environment=environment, drives=drives)


def _beside(theirs: Mapping[str, str]) -> dict[str, str]:
    """Our environment with the process's Wine and home in it."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WINE") and name not in MEETING
    }
    wine = {name: value for name, value in theirs.items() if name.startswith("WINE") and name not in DROPPED}
    home = {name: theirs[name] for name in (*KEPT, *MEETING) if name in theirs}
    return {**ours, **home, **wine, "WINEDEBUG": "fixme-all"}


def _loader(program: str, theirs: Mapping[str, str], place: str) -> str:
    """The Wine loader that runs the process: its own executable, else what it or the PATH names."""
    candidates = (
        program.removesuffix(PRELOADER) if "wine" in PurePosixPath(program).name else "",
        theirs.get("WINELOADER", ""),
        shutil.which("wine") or "",
    )
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise HpbuildError(WINE_MISSING, place, f"it runs {program}, which is no Wine, and there is none")


def _drive_roots(drives: Path | None) -> list[tuple[str, Path]]:
    """Drive letters and the folders that they stand for."""
    if drives is None:
        return []
    try:
        names = sorted(item for item in drives.iterdir() if len(item.name) == 2 and item.name.endswith(":"))
    except OSError:
        return []
    return [(item.name.upper(), item.resolve()) for item in names if item.is_dir()]


def _dos_path(letter: str, below: Path) -> str:
    return letter + "\\" + "\\".join(below.parts)
