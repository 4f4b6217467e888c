"""Finding and reading installed files: each one once, into memory, so that all checks see the same bytes."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from hpbuild.codes import pe
from hpbuild.codes.verify import (
    MODULE_NOT_CHOSEN,
    MODULE_NOT_FOUND,
    MODULE_NOT_PE,
    MODULE_TOO_LARGE,
    MODULE_UNREADABLE,
)
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, ExitStatus, Finding, HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.manifest.paths import path_defect
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.files import read_file
from hpbuild.pe.reader import parse_image
from hpbuild.verify.baseline import Subject, subject_of

_READ_CODES = {
    pe.FILE_NOT_FOUND: MODULE_NOT_FOUND,
    pe.IS_A_DIRECTORY: MODULE_NOT_FOUND,
    pe.SPECIAL_FILE: MODULE_NOT_FOUND,
    pe.FILE_TOO_LARGE: MODULE_TOO_LARGE,
}


@dataclass(frozen=True, slots=True)
class Located:
    """A module and the installed file that it is compared with; ``finding`` says why there is none."""

    module: Module
    path: Path | None
    finding: Finding | None = None


def locate(installed: Path, modules: tuple[Module, ...]) -> tuple[Located, ...]:
    """The installed counterpart of every module to be compared.

    A directory is the root that module paths are relative to. A file is the only module of the package,
    or else the one module whose file name it bears; the other modules are then not compared.
    """
    try:
        if installed.is_dir():
            return tuple(_in_tree(installed, module) for module in modules)
        if not installed.exists():
            cause = f"{installed} does not exist"
            return tuple(_missing(module, MODULE_NOT_FOUND, cause) for module in modules)
    except OSError as error:
        return tuple(_missing(module, MODULE_UNREADABLE, _words(error)) for module in modules)
    if len(modules) == 1:
        return (Located(modules[0], installed),)
    wanted = installed.name.casefold()
    chosen = [module for module in modules if PurePosixPath(module.path).name.casefold() == wanted]
    if len(chosen) == 1:
        return (Located(chosen[0], installed),)
    cause = f"{len(chosen)} of {len(modules)} modules are called {installed.name}"
    return tuple(_missing(module, MODULE_NOT_CHOSEN, cause) for module in modules)


def read_installed(path: Path, place: str, limit: int) -> FileBytes:
    """The whole file, at most ``limit`` bytes. Raises HpbuildError MODULE_*; ``place`` names the module."""
    return data_of(lambda: read_file(path, limit), place)


def data_of(read: Callable[[], FileBytes], place: str) -> FileBytes:
    """What ``read`` reads as ``read_file``. Raises as ``read_installed``."""
    try:
        return read()
    except HpbuildError as error:
        if error.code is pe.EMPTY_FILE:
            return FileBytes.of(b"")
        code = _READ_CODES.get(error.code, MODULE_UNREADABLE)
        raise HpbuildError(code, place, str(error)) from error


def subject_from(data: bytes | FileBytes, path: Path, place: str) -> Subject:
    """The parsed installed file. Raises HpbuildError MODULE_NOT_PE with the reader's words as its cause, or
    MODULE_TOO_LARGE when a bound of the reader stopped it."""
    try:
        return subject_of(parse_image(data, path.name))
    except HpbuildError as error:
        code = MODULE_TOO_LARGE if error.code.exit is ExitStatus.LIMIT else MODULE_NOT_PE
        raise HpbuildError(code, place, str(error)) from error


def _in_tree(root: Path, module: Module) -> Located:
    """The file below ``root``; letter case is ignored where no name agrees exactly, as Windows does."""
    defect = path_defect(module.path)
    if defect:
        return _missing(module, MODULE_NOT_FOUND, defect)
    here = root
    for part in PurePosixPath(module.path).parts:
        exact = here / part
        try:
            found = [exact] if exact.exists() else _ignoring_case(here, part)
        except OSError as error:
            return _missing(module, MODULE_UNREADABLE, _words(error))
        if len(found) != 1:
            cause = f"{here} has {len(found) or 'nothing'} called {part}"
            return _missing(module, MODULE_NOT_FOUND, cause)
        here = found[0]
    return Located(module, here)


def _ignoring_case(directory: Path, name: str) -> list[Path]:
    if not directory.is_dir():
        return []
    folded = name.casefold()
    return sorted(entry for entry in directory.iterdir() if entry.name.casefold() == folded)


def _missing(module: Module, code: Code, cause: str) -> Located:
    return Located(module, None, Finding(code, module.path, cause))


def _words(error: OSError) -> str:
    """The system's words without the traceback's decoration."""
    return f"{error.filename}: {error.strerror}"
