"""Cases about the container: rules C1 to C9."""

import struct
import zlib
from collections.abc import Callable
from itertools import pairwise

from hpbuild.bundle.layout import ENVELOPE, MANIFEST, STATEMENT
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.zip_profile import CENTRAL, CENTRAL_MAGIC, END, LOCAL, VERSION
from tests.vectors.making.base import parts_of
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import zipped

POLICY = trusting("release")
IMAGE = "images/gadget.dll"


def cases() -> list[Made]:
    data = parts_of().package()
    return [
        case(
            "accepted",
            "A plain package, signed by the one key that the policy names. Most refused cases differ from "
            "this one in a single thing: whoever refuses this one refuses them for no good reason.",
            "C1 C2 C3 C4 C6 J1 S1 S2 S4 E1 E4 T1",
            data,
            POLICY,
        ),
        *_around(data),
        *_headers(data),
        *_central(data),
        *_names(data),
        *_truncated(data),
    ]


def _case(name: str, why: str, rules: str, data: bytes, codes: str, status: int = 4) -> Made:
    return case(name, why, rules, data, POLICY, refused=(status, codes))


def _directory_offset(data: bytes) -> int:
    return int(END.unpack_from(data, len(data) - END.size)[6])


def _spans(data: bytes) -> list[tuple[str, int, int, int]]:
    """Name, start of the header, start of the content and end of every member."""
    found, offset = [], 0
    while offset < _directory_offset(data):
        fields = LOCAL.unpack_from(data, offset)
        start = offset + LOCAL.size + fields[9]
        found.append((data[offset + LOCAL.size : start].decode(), offset, start, start + fields[8]))
        offset = start + fields[8]
    return found


def _moved(data: bytes, at: int, extra: bytes) -> bytes:
    """``extra`` put in at ``at``, with every offset in directory and end record mended."""
    directory = _directory_offset(data)
    out = bytearray(data[:directory])
    rows = bytearray()
    for position in _rows(data):
        row = bytearray(data[position : position + CENTRAL.size])
        name = data[position + CENTRAL.size :][: struct.unpack_from("<H", row, 28)[0]]
        offset = struct.unpack_from("<I", row, 42)[0]
        struct.pack_into("<I", row, 42, offset + (len(extra) if offset >= at else 0))
        rows += row + name
    end = bytearray(data[-END.size :])
    struct.pack_into("<I", end, 16, directory + (len(extra) if directory >= at else 0))
    return bytes(out[:at] + extra + out[at:] + rows + end)


def _rows(data: bytes) -> list[int]:
    """Places of the rows of the directory."""
    found, position = [], _directory_offset(data)
    while data[position : position + 4] == CENTRAL_MAGIC:
        found.append(position)
        position += CENTRAL.size + struct.unpack_from("<H", data, position + 28)[0]
    return found


def _around(data: bytes) -> list[Made]:
    second = _spans(data)[1][1]
    directory = _directory_offset(data)
    sfx = _moved(data, 0, b"MZ" + bytes(62))
    crc = bytearray(data)
    crc[14] ^= 1
    first_row = _rows(data)[0]
    crc[first_row + 16] ^= 1
    return [
        _case(
            "data-before", "A program before the package, with all offsets mended as self-extracting "
            "archives "
            "do it: tools that read the directory from the end open it, others run what comes first.",
            "C1", sfx, "HP4201",
        ),
        _case(
            "data-between", "Bytes between two members, which the directory does not mention, with all "
            "offsets "
            "mended. What lies there is in no digest.",
            "C1", _moved(data, second, b"not a member"), "HP4203",
        ),
        _case(
            "data-before-directory", "Bytes between the last member and the directory (where some archive "
            "formats keep signatures of their own), with all offsets mended.",
            "C1", _moved(data, directory, bytes(24)), "HP4203",
        ),
        _case("data-after", "Bytes behind the end record. A second archive could lie there.", "C1",
              data + data, "HP4206"),
        _case("empty", "A file without any content.", "C1", b"", "HP4201"),
        _case("no-members", "An end record alone: a legal archive of nothing.", "C1 C9",
              data[-22:-14] + bytes(14),
              "HP4201"),
        _case(
            "wrong-crc", "The checksum of the first member is wrong in its header and in the directory, the "
            "content is right. Tools that check it see no member where others see one.",
            "C6", bytes(crc), "HP4204",
        ),
        _case(
            "raw-bit-flip", "One bit of the patch image is changed in the file and nothing is mended.",
            "C6 S2", _flipped(data, _spans(data)[2][2] + 600), "HP4204",
        ),
    ]  # fmt: skip


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def _local(data: bytes, change: Callable[[list[int | bytes]], None]) -> bytes:
    """The header of the first member with other fields."""
    fields = list(LOCAL.unpack_from(data, 0))
    change(fields)
    return LOCAL.pack(*fields) + data[LOCAL.size :]


def _everywhere(data: bytes, local: int, central: int, value: int) -> bytes:
    """A 16-bit field of the first member, in its header and in its row, set to ``value``."""
    out = bytearray(data)
    struct.pack_into("<H", out, local, value)
    struct.pack_into("<H", out, _rows(data)[0] + central, value)
    return bytes(out)


def _headers(data: bytes) -> list[Made]:
    """Rule C2, with the same lie in the directory, so that only the profile can object."""
    return [
        _case("encrypted", "The flag for encryption is set in header and directory.", "C2 C5",
              _everywhere(data, 6, 8, 1), "HP4203"),
        _case("utf-8-flag", "The flag for names in UTF-8 is set: legal in ZIP, and a second spelling of the "
              "same package.", "C2", _everywhere(data, 6, 8, 0x0800), "HP4203"),
        _case("other-date", "A member with today's date: a second spelling of the same package.", "C2",
              _everywhere(data, 12, 14, 0x5CC1), "HP4203"),
        _case("version-needed", "Version needed 4.5 in header and directory, as zip64 writers have it.", "C2",
              _everywhere(data, 4, 6, 45), "HP4203"),
        _case("compressed", "A member that is deflated, correctly. Two readers can disagree on what a "
              "damaged "
              "or overlong stream means, and a small file can become a large one.", "C2", _deflated(data),
              "HP4203"),
        _case("data-descriptor", "The sizes of the first member are zero in its header and follow in a data "
              "descriptor, correctly. A reader has to search for the end of the member, or to believe the "
              "directory.", "C2 C5", _with_descriptor(data), "HP4203"),
        _case("extra-field", "An extra field in a header and in the directory: it may hold another name "
              "(Info-ZIP Unicode path) or other sizes.", "C2 C3", _with_extra(data, b"\x75\x70\x04\0name"),
              "HP4203"),
        _case("zip64-sizes", "Sizes of 0xFFFFFFFF with the real ones in a zip64 extra field: readers that "
              "do not "
              "know it see another file.", "C2 C5", _zip64_sizes(data), "HP4203"),
        _case("declared-size", "The header of the first member claims a gigabyte. A reader must not set "
              "aside "
              "memory because a file says so.", "C2", _local(data, _claim_a_gigabyte), "HP4212", 5),
    ]  # fmt: skip


def _claim_a_gigabyte(fields: list[int | bytes]) -> None:
    fields[7] = fields[8] = 1 << 30


def _rebuilt(data: bytes, first: bytes, row: bytes) -> bytes:
    """The file with another first member (header and content) and another row for it."""
    rows = _rows(data)
    end_of_first = _spans(data)[0][3]
    grown = len(first) - end_of_first
    body = bytearray(data[end_of_first : _directory_offset(data)])
    others = bytearray(data[rows[1] : -END.size])
    position = 0
    while position < len(others):
        offset = struct.unpack_from("<I", others, position + 42)[0]
        struct.pack_into("<I", others, position + 42, offset + grown)
        position += CENTRAL.size + struct.unpack_from("<H", others, position + 28)[0]
    end = bytearray(data[-END.size :])
    struct.pack_into("<II", end, 12, len(row) + len(others), len(first) + len(body))
    return bytes(first + body + row + others + end)


def _first(data: bytes) -> tuple[list[int | bytes], list[int | bytes], bytes, bytes]:
    """Fields of the first header and of its row, name and content."""
    name, _, start, end = _spans(data)[0]
    return (
        list(LOCAL.unpack_from(data, 0)),
        list(CENTRAL.unpack_from(data, _rows(data)[0])),
        name.encode(),
        data[start:end],
    )


def _deflated(data: bytes) -> bytes:
    head, row, name, content = _first(data)
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    small = press.compress(content) + press.flush()
    head[3] = row[4] = 8
    head[7] = row[8] = len(small)
    return _rebuilt(data, LOCAL.pack(*head) + name + small, CENTRAL.pack(*row) + name)


def _with_descriptor(data: bytes) -> bytes:
    head, row, name, content = _first(data)
    tail = struct.pack("<4sIII", b"PK\x07\x08", int(head[6]), len(content), len(content))
    head[2] = row[3] = 8
    head[6] = head[7] = head[8] = 0
    return _rebuilt(data, LOCAL.pack(*head) + name + content + tail, CENTRAL.pack(*row) + name)


def _with_extra(data: bytes, extra: bytes) -> bytes:
    head, row, name, content = _first(data)
    head[10] = row[11] = len(extra)
    return _rebuilt(data, LOCAL.pack(*head) + name + extra + content, CENTRAL.pack(*row) + name + extra)


def _zip64_sizes(data: bytes) -> bytes:
    head, row, name, content = _first(data)
    extra = struct.pack("<HHQQ", 1, 16, len(content), len(content))
    head[7] = head[8] = row[8] = row[9] = 0xFFFFFFFF
    head[10] = row[11] = len(extra)
    return _rebuilt(data, LOCAL.pack(*head) + name + extra + content, CENTRAL.pack(*row) + name + extra)


def _central(data: bytes) -> list[Made]:
    """Rules C3 to C5: the directory says something else than the headers."""
    return [
        _case("local-differs-from-central", "The directory calls the patch image images/gadget.exe, its "
              "header "
              "images/gadget.dll. Readers that go by one and readers that go by the other see different "
              "packages.", "C3", _row(data, 2, lambda row: None, b"images/gadget.exe"), "HP4205"),
        _case("directory-points-elsewhere", "The row of the patch image has the offset of the manifest.",
              "C3",
              _row(data, 2, _points_to_second(data)), "HP4205"),
        _case("directory-in-other-order", "Two rows of the directory have changed places.", "C1 C3",
              _swapped(data), "HP4205"),
        _case("symbolic-link", "The row of a member says that it is a symbolic link: an unpacker would make "
              "one.",
              "C3", _row(data, 2, _set(15, 0o120777 << 16)), "HP4205"),
        _case("made-by-windows", "A row with another creator: a second spelling of the same package.", "C3",
              _row(data, 2, _set(1, VERSION)), "HP4205"),
        _case("comment", "A comment behind the end record, with its length in it: legal in ZIP, and a place "
              "for "
              "anything, another end record included.", "C4", data[:-2] + b"\x05\0hello", "HP4205"),
        _case("count-of-members", "The end record counts one member less than there are.", "C4",
              _end(data, {3: -1, 4: -1}), "HP4205"),
        _case("several-disks", "The end record says that this is the second disk of a split archive.",
              "C4 C5",
              _end(data, {1: 1, 2: 1}), "HP4205"),
        _case("zip64-end", "A zip64 end record and its locator before the end record, all numbers right.",
              "C4 C5",
              _zip64_end(data), "HP4205"),
    ]  # fmt: skip


def _row(
    data: bytes, index: int, change: Callable[[list[int | bytes]], None], name: bytes | None = None
) -> bytes:
    at = _rows(data)[index]
    fields = list(CENTRAL.unpack_from(data, at))
    change(fields)
    found = data[at + CENTRAL.size : at + CENTRAL.size + int(fields[10])]
    new = name or found
    return data[:at] + CENTRAL.pack(*fields) + new + data[at + CENTRAL.size + len(found) :]


def _points_to_second(data: bytes) -> Callable[[list[int | bytes]], None]:
    return _set(16, _spans(data)[1][1])


def _set(index: int, value: int) -> Callable[[list[int | bytes]], None]:
    def change(fields: list[int | bytes]) -> None:
        fields[index] = value

    return change


def _swapped(data: bytes) -> bytes:
    rows = [*_rows(data), len(data) - END.size]
    pieces = [data[start:end] for start, end in pairwise(rows)]
    pieces[0], pieces[1] = pieces[1], pieces[0]
    return data[: rows[0]] + b"".join(pieces) + data[-END.size :]


def _end(data: bytes, changes: dict[int, int]) -> bytes:
    fields = list(END.unpack_from(data, len(data) - END.size))
    for index, value in changes.items():
        fields[index] += value
    return data[: -END.size] + END.pack(*fields)


def _zip64_end(data: bytes) -> bytes:
    at = len(data) - END.size
    count, size, offset = END.unpack_from(data, at)[4:7]
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    return data[:at] + record + struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1) + data[at:]


def _names(data: bytes) -> list[Made]:
    """Rules C7 to C9. Every extra member is in no statement: its name alone refuses it first."""
    members = list(read_bundle(data).members.items())
    head, tail = members[:3], members[3:]
    bad = (
        ("path-traversal", "images/../../windows/version.dll", "A name that leads out of the folder that a "
         "package is unpacked to."),
        ("absolute-path", "/images/x.dll", "An absolute name."),
        ("backslash", "images\\x.dll", "A name with a backslash: one name on Unix, a folder and a file on "
         "Windows."),
        ("device-name", "images/nul.dll", "A name that Windows takes for a device, whatever its extension."),
        ("name-ends-with-a-dot", "images/x.dll.", "Windows drops the dot, so that this is another name for "
         "images/x.dll."),
        ("case-folded-twin", "images/GADGET.DLL", "A second member whose name differs in case only: the same "
         "file on Windows and macOS."),
        ("empty-part-of-a-name", "images//x.dll", "A name with an empty part."),
        ("name-too-long", "images/" + "x" * 200, "A name of more than 200 characters."),
    )  # fmt: skip
    return [
        *(
            _case(name, why, "C7", zipped((*head, (member, b"MZ"), *tail)), "HP4207")
            for name, member, why in bad
        ),
        _case("duplicate-member", "Two members of one name with different contents. Which one a reader takes "
              "is up to it.", "C8", zipped((*head, (IMAGE, b"MZ"), *tail)), "HP4208"),
        _case("folder-of-another", "A member whose name is the folder of another one: one of them cannot be "
              "unpacked.", "C8", zipped((*head, (f"{IMAGE}/x.dll", b"MZ"), *tail)), "HP4207"),
        _case("extra-member", "A member outside the known places.", "C9",
              zipped((*head, ("install.cmd", b"format c:"), *tail)), "HP4211"),
        _case("order-of-members", "Manifest and statement have changed places: a second file for the same "
              "members.", "C1 C9", zipped((members[1], members[0], *members[2:])), "HP4209"),
        _case("manifest-missing", "No manifest. The statement still names it.", "C9",
              zipped((name, content) for name, content in members if name != MANIFEST), "HP4210"),
        _case("statement-missing", "No statement. The envelope still holds it, but nothing binds the "
              "members.",
              "C9", zipped((name, content) for name, content in members if name != STATEMENT), "HP4210"),
        _case("envelope-twice", "Two envelopes, the second one empty.", "C8",
              zipped((*members, (ENVELOPE, b"{}"))), "HP4208"),
    ]  # fmt: skip


def _truncated(data: bytes) -> list[Made]:
    """One case for each border that a file can be cut off at."""
    spans, rows = _spans(data), _rows(data)
    cuts = [(f"before-{_short(name)}", start) for name, start, _, _ in spans[1:]]
    cuts += [(f"inside-{_short(name)}", begin) for name, _, begin, _ in spans]
    cuts += [("before-directory", rows[0])]
    cuts += [(f"before-row-of-{_short(spans[index][0])}", rows[index]) for index in range(1, len(rows))]
    cuts += [("before-end-record", len(data) - END.size), ("last-byte", len(data) - 1)]
    return [
        _case(
            f"truncated-{name}",
            f"The file is cut off at byte {at} of {len(data)}, a border of its parts. Nothing of a package "
            "that is not whole may be used.",
            "C1",
            data[:at],
            "HP4202",
        )
        for name, at in cuts
    ]


def _short(name: str) -> str:
    return {STATEMENT: "statement", MANIFEST: "manifest", ENVELOPE: "envelope"}.get(name, "image")
