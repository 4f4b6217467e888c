"""A PDB that belongs to an image: container and debug information, checked once for every reader."""

from pathlib import Path, PurePosixPath

import numpy as np

from hpbuild.codes.pe_identity import PDB_LIMIT, PDB_MISMATCH, PDB_UNSUPPORTED, SYMBOL_FILE_UNREADABLE
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import HpbuildError
from hpbuild.pe.debug import CodeView, debug_info
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.info import MINIMAL_DEBUG_INFO, read_directory
from hpbuild.pe.pdb.msf import MAX_FILE_SIZE, Msf, open_msf
from hpbuild.pe.pdb.streams import Dbi, read_dbi, read_info

AUTO, NONE = "auto", "none"


@dataclass(frozen=True, slots=True)
class Pdb:
    """``dbi`` has the extents that the image gives its sections; every substream is read when it is asked
    for."""

    msf: Msf
    dbi: Dbi


def open_pdb(data: bytes, name: str, image: Image, guid: str, age: int) -> Pdb:
    """The PDB ``data`` of ``image``, whose debug directory names ``guid`` and ``age``.

    ``guid`` has 32 lower-case hexadecimal digits. Raises HpbuildError PDB_MISMATCH when the PDB is of
    another build, PDB_UNSUPPORTED for one that holds nothing (/DEBUG:FASTLINK), and the codes of
    ``open_msf``, ``read_directory`` and ``read_dbi``.
    """
    msf = open_msf(data, name)
    info = read_info(msf)
    if info.guid != guid:
        raise HpbuildError(PDB_MISMATCH, name, f"GUID {info.guid}, the image names {guid}")
    if MINIMAL_DEBUG_INFO in read_directory(msf).features:
        raise HpbuildError(PDB_UNSUPPORTED, name, "linked with /DEBUG:FASTLINK, its contents are elsewhere")
    dbi = read_dbi(msf)
    # The age of the info stream rises when a tool edits the PDB; the linker's is kept in the DBI stream.
    if age not in (dbi.age, info.age):
        raise HpbuildError(PDB_MISMATCH, name, f"age {dbi.age}, the image names {age}")
    return Pdb(msf, _checked_sections(dbi, image, name))


def _checked_sections(dbi: Dbi, image: Image, name: str) -> Dbi:
    """``dbi`` with the extents that the image gives its sections; addresses that differ refuse."""
    sections = image.sections[: len(dbi.section_rvas)]
    rvas = np.array([section.rva for section in sections], dtype=np.int64)
    if not np.array_equal(dbi.section_rvas[: len(image.sections)], rvas):
        raise HpbuildError(PDB_MISMATCH, name, "its section addresses are not those of the image")
    sizes = np.array([section.virtual_size for section in sections], dtype=np.int64)
    return replace(dbi, section_rvas=rvas, section_sizes=sizes)


def find_pdb(image: Image, path: Path | None, choice: str = AUTO) -> tuple[Pdb | None, str]:
    """The PDB of ``image``, which was read from ``path``, and why files at hand were not used.

    ``choice`` is 'auto' (the file next to the image with its stem or with the name in its debug directory,
    when it is of this build), 'none', or the path of a PDB, which must do: HpbuildError
    SYMBOL_FILE_UNREADABLE, PDB_MISMATCH, PDB_LIMIT and the codes of ``open_pdb``. A damaged debug directory
    refuses in any case.
    """
    if choice == NONE:
        return None, ""
    codeview = debug_info(image).codeview
    if choice != AUTO:
        return _opened(image, codeview, Path(choice)), ""
    notes: list[str] = []
    for candidate in _candidates(path, codeview):
        try:
            return _opened(image, codeview, candidate), "; ".join(notes)
        except HpbuildError as error:
            notes.append(f"{candidate.name} was not used: {error.finding.cause}")
    return None, "; ".join(notes)


def candidate_names(image: Image, path: Path) -> tuple[str, ...]:
    """Names that the PDB of ``image``, which was read from ``path``, may have next to it, the one of the same
    stem first. A damaged debug directory refuses."""
    codeview = debug_info(image).codeview
    return () if codeview is None else _names(path, codeview)


def _names(path: Path, codeview: CodeView) -> tuple[str, ...]:
    names = [path.stem + ".pdb"]
    recorded = PurePosixPath(codeview.path.replace("\\", "/").replace(":", "/")).name
    if recorded.lower().endswith(".pdb") and "\0" not in recorded:
        names.append(recorded)
    return tuple(dict.fromkeys(names))


def _candidates(path: Path | None, codeview: CodeView | None) -> list[Path]:
    """PDB files next to the image that exist."""
    if path is None or codeview is None:
        return []
    return [file for name in _names(path, codeview) if (file := path.parent / name).is_file()]


def _opened(image: Image, codeview: CodeView | None, file: Path) -> Pdb:
    if codeview is None:
        raise HpbuildError(PDB_MISMATCH, str(file), "the image names no PDB in its debug directory")
    try:
        size = file.stat().st_size
        if size > MAX_FILE_SIZE:
            raise HpbuildError(PDB_LIMIT, str(file), f"{size} bytes, the limit is {MAX_FILE_SIZE}")
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        raise HpbuildError(SYMBOL_FILE_UNREADABLE, str(file), str(error)) from error
    return open_pdb(data, str(file), image, codeview.guid, codeview.age)
