"""The exception directory (.pdata) and unwind information of x64 images.

Source: Microsoft Learn, "x64 exception handling", structures RUNTIME_FUNCTION and UNWIND_INFO.
"""

import numpy as np
import numpy.typing as npt

from hpbuild.codes import pe as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.access import EXCEPTION, Words, mapped_bytes, unpack, values_at, words
from hpbuild.pe.image import Image
from hpbuild.values import Rva

UNW_FLAG_EHANDLER = 1
UNW_FLAG_UHANDLER = 2
UNW_FLAG_CHAININFO = 4
MAX_CHAIN = 32
MAX_FUNCTIONS = 3 << 18
"""Rows of the exception directory: 786,432. The largest program known here, node.exe, has 158,100."""
_ROW = 12
Row = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class RuntimeFunctions:
    """Rows of the exception directory, sorted by ``begin``: RVAs of first byte, end, unwind record."""

    begin: Words
    end: Words
    unwind: Words

    def __len__(self) -> int:
        return len(self.begin)

    def row(self, index: int) -> Row:
        """Row ``index`` as plain numbers."""
        return int(self.begin[index]), int(self.end[index]), int(self.unwind[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwindInfo:
    """One UNWIND_INFO record.

    ``size`` in bytes with the padded code array and the handler RVA or chained row, without language
    data; ``codes`` are the 2-byte unwind codes without the padding; ``frame`` is the raw byte of frame
    register (low 4 bits) and scaled offset (high 4); ``handler_data`` is where language data begins.
    """

    rva: Rva
    size: int
    version: int
    flags: int
    prolog_size: int
    frame: int
    codes: bytes
    handler: Rva | None
    handler_data: Rva | None
    chained: Row | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwindTable:
    """Unwind records of many rows at once, one element a row, RVAs and bytes as in ``UnwindInfo``.

    ``handler`` and ``handler_data`` are 0 where there is none, ``chained`` rows are 0, 0, 0.
    """

    flags: npt.NDArray[np.uint8]
    size: Words
    handler: Words
    handler_data: Words
    chained: npt.NDArray[np.uint32]


def runtime_functions(image: Image) -> RuntimeFunctions:
    """The exception directory's rows without all-zero rows at its end; no rows when it is absent.

    Raises HpbuildError: HP1101 torn table, HP1102 unsorted or overlapping, HP1103 not code, HP1108 more than
    MAX_FUNCTIONS rows.
    """
    directory = image.directories[EXCEPTION]
    if len(directory) % _ROW:
        raise HpbuildError(codes.PDATA_SIZE, image.name, f"{len(directory)} bytes")
    if len(directory) > _ROW * MAX_FUNCTIONS:
        cause = f"{len(directory) // _ROW} rows, at most {MAX_FUNCTIONS} are read"
        raise HpbuildError(codes.PDATA_LIMIT, image.name, cause)
    if not len(directory):
        empty = np.zeros(0, dtype=np.uint32)
        return RuntimeFunctions(empty, empty, empty)
    table = words(image, directory.start, len(directory) // 4, codes.PDATA_SIZE, "exception directory")
    begin, end, unwind = (np.ascontiguousarray(column) for column in table.reshape(-1, 3).T)
    used = np.flatnonzero(begin | end | unwind)
    begin, end, unwind = (column[: int(used[-1]) + 1 if len(used) else 0] for column in (begin, end, unwind))
    _check_rows(image, begin, end)
    return RuntimeFunctions(begin, end, unwind)


def _check_rows(image: Image, begin: Words, end: Words) -> None:
    is_code = np.zeros(len(begin), dtype=bool)
    for section in image.sections:
        if section.executable:
            is_code |= (begin >= section.rva) & (end <= section.rva + section.virtual_size)
    bad = np.flatnonzero(~(is_code & (begin < end)))
    if len(bad):
        raise HpbuildError(
            codes.PDATA_RANGE, image.name, f"row {bad[0]}: [{begin[bad[0]]:#x}, {end[bad[0]]:#x})"
        )
    bad = np.flatnonzero(begin[1:] < end[:-1])
    if len(bad):
        raise HpbuildError(
            codes.PDATA_UNSORTED,
            image.name,
            f"row {bad[0] + 1} begins at {begin[bad[0] + 1]:#x}, row {bad[0]} ends at {end[bad[0]]:#x}",
        )


def unwind_info(image: Image, rva: int) -> UnwindInfo:
    """The unwind record at ``rva``.

    Raises HpbuildError: HP1104 outside the image, HP1105 version, HP1106 malformed.
    """
    head, prolog, count, frame = unpack(image, "BBBB", rva, codes.UNWIND_OUTSIDE, "unwind information")
    version, flags = head & 7, head >> 3
    if version not in (1, 2):
        raise HpbuildError(codes.UNWIND_VERSION, image.name, f"version {version} at RVA {rva:#x}")
    handled = flags & (UNW_FLAG_EHANDLER | UNW_FLAG_UHANDLER)
    if rva % 4 or flags > 7 or (flags & UNW_FLAG_CHAININFO and handled):
        raise HpbuildError(codes.UNWIND_MALFORMED, image.name, f"flags {flags:#x} at RVA {rva:#x}")
    tail = rva + 4 + 2 * (count + count % 2)
    unwind_codes = mapped_bytes(image, rva + 4, 2 * count, codes.UNWIND_OUTSIDE, "unwind codes")
    end, handler, chained = tail, None, None
    if flags & UNW_FLAG_CHAININFO:
        begin, stop, parent = unpack(image, "III", tail, codes.UNWIND_OUTSIDE, "chained row")
        chained, end = (begin, stop, parent), tail + _ROW
    elif handled:
        (address,) = unpack(image, "I", tail, codes.UNWIND_OUTSIDE, "handler address")
        handler, end = Rva(address), tail + 4
    if end > image.size_of_image or (handler is not None and handler >= image.size_of_image):
        raise HpbuildError(codes.UNWIND_OUTSIDE, image.name, f"record at RVA {rva:#x} or its handler")
    return UnwindInfo(
        rva=Rva(rva), size=end - rva, version=version, flags=flags, prolog_size=prolog, frame=frame,
        codes=unwind_codes, handler=handler, handler_data=None if handler is None else Rva(end),
        chained=chained,
    )  # fmt: skip


def chain_root(image: Image, row: Row) -> Row:
    """The primary row that ``row`` (begin, end, unwind RVA) is chained to; itself when not chained.

    Raises HpbuildError: HP1107 for a loop or more than 32 links, else as ``unwind_info``.
    """
    seen = {row}
    first = row
    while (parent := unwind_info(image, row[2]).chained) is not None:
        if parent in seen or len(seen) > MAX_CHAIN:
            raise HpbuildError(codes.UNWIND_CHAIN, image.name, f"function at RVA {first[0]:#x}")
        seen.add(parent)
        row = parent
    return row


def primary_begins(image: Image, functions: RuntimeFunctions) -> Words:
    """For every row the begin RVA of the primary row it is chained to, its own when it is none's part.

    Raises HpbuildError: HP1107 for more than 32 links (so for every loop), else as ``unwind_info``.
    """
    begin, unwind = functions.begin.copy(), functions.unwind
    active = np.arange(len(functions))
    for _ in range(MAX_CHAIN + 1):
        table = unwind_table(image, unwind)
        linked = np.flatnonzero(table.flags & UNW_FLAG_CHAININFO)
        active, chained = active[linked], table.chained[linked]
        if not len(active):
            return begin
        begin[active], unwind = chained[:, 0], chained[:, 2]
    raise HpbuildError(codes.UNWIND_CHAIN, image.name, f"function at RVA {functions.begin[active[0]]:#x}")


def unwind_table(image: Image, rvas: Words) -> UnwindTable:
    """The unwind records at ``rvas``, read together; the checks and codes of ``unwind_info``."""
    at = rvas.astype(np.int64)
    _refuse_any(image, rvas, at + 4 > image.size_of_image, codes.UNWIND_OUTSIDE)
    memory = image.memory
    head, count = memory.take(at), memory.take(at + 2).astype(np.int64)
    version, flags = head & 7, head >> 3
    chain = (flags & UNW_FLAG_CHAININFO) != 0
    handled = (flags & (UNW_FLAG_EHANDLER | UNW_FLAG_UHANDLER)) != 0
    _refuse_any(image, rvas, (version != 1) & (version != 2), codes.UNWIND_VERSION)
    _refuse_any(image, rvas, (at & 3 != 0) | (flags > 7) | (chain & handled), codes.UNWIND_MALFORMED)
    tail = at + 4 + 2 * (count + (count & 1))
    end = tail + np.where(chain, _ROW, np.where(handled, 4, 0))
    _refuse_any(image, rvas, end > image.size_of_image, codes.UNWIND_OUTSIDE)
    handler = np.zeros(len(at), dtype=np.uint32)
    handler[handled] = values_at(image, tail[handled])
    _refuse_any(image, rvas, handler >= image.size_of_image, codes.UNWIND_OUTSIDE)
    chained = np.zeros((len(at), 3), dtype=np.uint32)
    rows = np.flatnonzero(chain)
    chained[rows] = values_at(image, tail[rows], f"V{_ROW}").view("<u4").reshape(-1, 3)
    return UnwindTable(
        flags=flags.astype(np.uint8), size=(end - at).astype(np.uint32), handler=handler,
        handler_data=np.where(handled, end, 0).astype(np.uint32), chained=chained,
    )  # fmt: skip


def _refuse_any(image: Image, rvas: Words, bad: npt.NDArray[np.bool_], code: Code) -> None:
    where = np.flatnonzero(bad)
    if len(where):
        raise HpbuildError(code, image.name, f"unwind information at RVA {rvas[where[0]]:#x}")
