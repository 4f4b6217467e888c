"""How the parts of a file move when sections are added: the layout of the patched file.

Headers grow where the longer section table needs it; the old sections follow them, then the new ones, then
what followed the old ones, without the certificate table.
"""

from hpbuild.apply.offline import headers
from hpbuild.apply.offline.headers import get_u32, places
from hpbuild.codes import apply_offline as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.patchimage.format import round_up
from hpbuild.pe.access import CERTIFICATE
from hpbuild.pe.image import Image
from hpbuild.values import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Where the parts of the old file go. ``grown``: bytes by which the headers, and so the sections behind
    them, move; ``body`` the old sections' file range; ``certificate`` the old table's, empty at the end of
    the file when there is none; ``overlay`` the new
    offset of what follows the sections."""

    grown: int
    body: Interval
    certificate: Interval
    overlay: int

    def offset(self, old: int) -> int:
        """New file offset of the byte at ``old``; 0, which stands for nothing, stays 0."""
        if old < self.body.start:
            return old
        if old < self.body.end:
            return old + self.grown
        gone = len(self.certificate) if old >= self.certificate.end else 0
        return old - self.body.end + self.overlay - gone


def moves_for(baseline: Image, added: int) -> Moves:
    """The moves when ``added`` sections come, ``overlay`` as if they took no room. Raises HP7205, HP7209."""
    body = Interval(baseline.size_of_headers, _body_end(baseline))
    grown = _headers_end(baseline, added) - baseline.size_of_headers
    return Moves(grown=grown, body=body, certificate=_certificate(baseline, body), overlay=body.end)


def _headers_end(baseline: Image, added: int) -> int:
    """Size of the new headers: the old one where the longer section table fits, else grown by whole file
    alignments, at most up to the first section."""
    at = places(baseline)
    needed = at.table_end + headers.ROW_SIZE * added
    room = headers.room_end(baseline, at)
    if needed <= room:
        return baseline.size_of_headers
    grown = round_up(needed, baseline.file_alignment)
    first = baseline.sections[0].rva
    if room < baseline.size_of_headers or grown > first:
        cause = f"{added} section headers need {needed - room} bytes more than there are"
        raise HpbuildError(codes.NO_HEADER_ROOM, baseline.name, cause)
    return grown


def _body_end(baseline: Image) -> int:
    """Where the raw data of the last section ends in the file."""
    at = places(baseline)
    ends = [baseline.size_of_headers]
    for index in range(len(baseline.sections)):
        size = get_u32(baseline.data, at.row(index) + headers.RAW_SIZE)
        if size:
            ends.append(get_u32(baseline.data, at.row(index) + headers.RAW_POINTERS[0]) + size)
    return max(ends)


def _certificate(baseline: Image, body: Interval) -> Interval:
    """File range of the certificate table, which must lie behind the sections."""
    table = baseline.directories[CERTIFICATE]
    if not len(table):
        return Interval(len(baseline.data), len(baseline.data))
    if table.start < body.end:
        cause = f"it lies at file offsets {table}, the sections end at {body.end:#x}"
        raise HpbuildError(codes.CERTIFICATE_IN_IMAGE, baseline.name, cause)
    return table
