"""Writing all files of a run or none."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from hpbuild.bundle.output import file_error, write_atomic
from hpbuild.codes import apply_offline as codes
from hpbuild.errors import HpbuildError
from hpbuild.interruption import interruption_held

Write = Callable[[str, bytes], Path]
"""Writes the file of a module, given by its path in the package; returns its final name."""


@contextmanager
def all_or_none(output: Path, *, tree: bool) -> Iterator[Write]:
    """A function that writes module files; they appear when the block ends without an exception, together.

    ``tree``: ``output`` becomes a directory with the files under their module paths; it must not exist yet
    (HP7215). Else ``output`` is the one file, and an older one of that name is replaced. Raises HP48xx for
    what the operating system refuses.
    """
    with _tree(output) if tree else _file(output) as write:
        yield write


@contextmanager
def _file(output: Path) -> Iterator[Write]:
    pending: list[bytes] = []

    def write(_: str, data: bytes) -> Path:
        pending.append(data)
        return output

    yield write
    for data in pending:
        write_atomic(output, data)


@contextmanager
def _tree(output: Path) -> Iterator[Write]:
    if output.exists() or output.is_symlink():
        raise HpbuildError(codes.OUTPUT_IN_THE_WAY, str(output), "it is there already")
    folder = output

    def write(path: str, data: bytes) -> Path:
        parts = PurePosixPath(path).parts
        target = folder.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise file_error(error, output.joinpath(*parts)) from None
        write_atomic(target, data)
        return output.joinpath(*parts)

    try:
        with interruption_held():  # until the folder is known here, which is to remove it
            folder = _begun(output)
        yield write
        _publish(folder, output)
    finally:
        if folder != output:
            shutil.rmtree(folder, ignore_errors=True)


def _begun(output: Path) -> Path:
    """A folder beside ``output`` for what is not finished yet."""
    try:
        prefix = f".{output.name[:100]}."
        return Path(tempfile.mkdtemp(prefix=prefix, suffix=".part", dir=output.parent))
    except OSError as error:
        raise file_error(error, output) from None


def _publish(folder: Path, output: Path) -> None:
    """Give the finished tree its name; mkdtemp made it for its owner alone."""
    umask = os.umask(0o077)
    os.umask(umask)
    try:
        folder.chmod(0o777 & ~umask)
        folder.rename(output)
    except FileExistsError:
        raise HpbuildError(codes.OUTPUT_IN_THE_WAY, str(output), "it appeared meanwhile") from None
    except OSError as error:
        raise file_error(error, output) from None
