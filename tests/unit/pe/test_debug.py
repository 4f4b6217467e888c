"""The debug directory, real and hostile."""

import struct

import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe.debug import EX_HOTPATCH_COMPATIBLE, MAX_ENTRIES, TYPE_REPRO, debug_info
from hpbuild.values import Interval

RECORDS = 0x2000


def entry(kind, rva, size):
    return struct.pack("<IIHHIIII", 0, 0, 0, 0, kind, size, rva, 0)


def image(pe, rows, records=b""):
    pe.section(b".rdata", records.ljust(0x200, b"\0"))
    pe.table(6, b"".join(rows))
    return pe.image()


def test_none(pe):
    found = debug_info(pe.image())
    assert (found.codeview, found.extents, found.types) == (None, (), ())


def test_real(codec, binaries):
    found = debug_info(codec)
    # The PDB's information stream begins with version, signature, age and the same GUID.
    pdb = (binaries / "baseline" / "codec.pdb").read_bytes()
    plain = bytes.fromhex(found.codeview.guid)
    assert plain[3::-1] + plain[5:3:-1] + plain[7:5:-1] + plain[8:] in pdb
    assert (found.codeview.age, found.codeview.path) == (1, "codec.pdb")
    assert TYPE_REPRO in found.types
    assert found.extents[0].start == codec.directories[6].start


def test_guid_is_printed_in_the_usual_order(pe):
    guid = bytes([0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66]) + bytes.fromhex("8899aabbccddeeff")
    record = b"RSDS" + guid + struct.pack("<I", 7) + b"C:\\x\\a.pdb\0"
    found = debug_info(image(pe, [entry(2, RECORDS, len(record)), entry(13, 0, 0)], record))
    assert found.codeview.guid == "00112233445566778899aabbccddeeff"
    assert found.codeview.age == 7
    assert found.codeview.path == "C:\\\\x\\\\a.pdb"
    assert found.types == (2, 13)
    assert found.extents == (Interval(RECORDS, RECORDS + len(record)), Interval(0x3000, 0x3038))


def test_marker_for_hotpatching(pe):
    found = debug_info(image(pe, [entry(20, RECORDS, 4)], struct.pack("<I", 0x81)))
    assert found.ex_dll_characteristics & EX_HOTPATCH_COMPATIBLE


def test_older_codeview_has_no_guid(pe):
    assert debug_info(image(pe, [entry(2, RECORDS, 32)], b"NB10" + bytes(28))).codeview is None


@pytest.mark.parametrize(
    "rows",
    [
        [entry(2, RECORDS, 4)[:27]],
        [entry(13, 0x3000, 0xFFFFFFF0)],
        [entry(13, 0x9000, 4)],
        [entry(16, 0, 0)] * (MAX_ENTRIES + 1),
        [entry(2, RECORDS, 20)],
        [entry(2, RECORDS, 30)],
    ],
)
def test_hostile_directory(pe, refuses, rows):
    refuses(codes.DEBUG_MALFORMED, debug_info, image(pe, rows, b"RSDS" + b"x" * 40))
