"""Cases about patch images: rules P1 to P9. Manifest and statement agree with the image that is there, so
only its own shape can refuse it."""

import hashlib
import struct
from dataclasses import replace

from hpbuild.patchimage.container import checksum
from tests.vectors.making.base import CODEC, Parts, parts_of
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import Document, sha256

POLICY = trusting("release")
IMAGE = "images/gadget.dll"
HEADER = 0x80
COFF = HEADER + 4
OPTIONAL = COFF + 20
SECTIONS = OPTIONAL + 240
WRITABLE = 0x80000000


def cases() -> list[Made]:
    parts = parts_of()
    image = parts.images[IMAGE]
    other = parts_of("KB-2", 2).images[IMAGE]
    text = image[SECTIONS : SECTIONS + 40]
    flags = struct.unpack_from("<I", text, 36)[0]
    relocated = struct.pack("<II", 0x11000, 0x40)
    return [
        _bad(parts, "writable-code", "The section of the code is writable too.", "P2",
             _put(image, SECTIONS + 36, struct.pack("<I", flags | WRITABLE)), "HP3602"),
        _bad(parts, "with-imports", "An import directory: the image could make the loader load other files.",
             "P4",
             _put(image, OPTIONAL + 112 + 8, relocated), "HP3603"),
        _bad(parts, "with-an-entry-point", "An entry point: code that would run when the image is loaded.",
             "P1",
             _put(image, OPTIONAL + 16, struct.pack("<I", 0x10000)), "HP3601"),
        _bad(parts, "with-more-bytes", "Bytes behind the last section.", "P3", image + bytes(512), "HP3604"),
        _bad(parts, "with-hidden-bytes", "Bytes in the filling behind the code, which the format settles.",
             "P3",
             _put(image, _text_end(image), b"\x90"), "HP3604"),
        _bad(parts, "wrong-checksum", "The checksum in the header is another.", "P7",
             _put(image, OPTIONAL + 64, b"\1\2\3\4"), "HP3606", mend=False),
        _bad(parts, "of-another-sequence", "The image was made for another sequence of the same line, whose "
             "native table "
             "says so.", "P6", other, "HP6018", mend=False),
        _bad(parts, "no-image", "A patch image that is none.", "P1", b"MZ" + bytes(510), "HP1010",
             mend=False),
        _bad(parts, "with-a-cookie", "The load configuration names a place where the loader would write: "
             "everything but "
             "its size and the native table has to be zero.", "P5",
             _put(image, _hotp(image) + 0x58, b"\0\0\1"), "HP3609"),
        *_relocations(parts_of(pair=CODEC)),
        _moved(parts),
        _unlisted(parts),
    ]  # fmt: skip


def _put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _text_end(image: bytes) -> int:
    size, _, _, start = struct.unpack_from("<4I", image, SECTIONS + 8)
    return int(start + size)


def _hotp(image: bytes) -> int:
    """File offset of the section with the load configuration."""
    count = struct.unpack_from("<H", image, COFF + 2)[0]
    rows = [image[SECTIONS + 40 * index :][:40] for index in range(count)]
    row = next(row for row in rows if row.startswith(b".hotp\0"))
    return int(struct.unpack_from("<I", row, 20)[0])


def _relocations(parts: Parts) -> list[Made]:
    def change(module: Document) -> None:
        del module["fixups"]["addr64"][0]

    return [
        case("accepted-larger", "A package with several functions, constants, references and pointers: the "
             "good twin of "
             "the refused ones that need such.", "M6 M7 M8 M9 M10 M11 M12 P1 P2 P3 P4 P5 P6 P7 P8 P9",
             parts.package(),
             POLICY),
        case("image-with-an-unlisted-pointer", "The image has a base relocation that the manifest does not "
             "list: an address "
             "that nobody was told of would be written.", "P8", parts.module_changed(change).package(),
             POLICY,
             refused=(1, "HP3611")),
    ]  # fmt: skip


def _with_image(parts: Parts, image: bytes) -> Parts:
    def change(module: Document) -> None:
        module["image"].update(size=len(image), sha256=sha256(image))

    return replace(parts.module_changed(change), images={IMAGE: image})


def _bad(
    parts: Parts, name: str, why: str, rules: str, image: bytes, code: str, *, mend: bool = True
) -> Made:
    if mend:
        image = _sealed(image)
    package = _with_image(parts, image).package()
    return case(f"image-{name}", why, rules, package, POLICY, refused=(1, code))


def _sealed(image: bytes) -> bytes:
    """The image with the time stamp and the checksum that rule P7 demands."""
    blank = _put(_put(image, COFF + 4, bytes(4)), OPTIONAL + 64, bytes(4))
    stamped = _put(blank, COFF + 4, hashlib.sha256(blank).digest()[:4])
    return _put(stamped, OPTIONAL + 64, struct.pack("<I", checksum(stamped)))


def _moved(parts: Parts) -> Made:
    def change(module: Document) -> None:
        module["image"]["range"] = {"rva": 0x20000, "size": 0x2000}
        module["functions"][0]["patch"][0]["rva"] += 0x10000
        jump = module["redirections"][0]
        new = bytearray.fromhex(jump["new"])
        struct.pack_into("<i", new, 1, struct.unpack_from("<i", new, 1)[0] + 0x10000)
        jump["new"] = new.hex()
        module["fixups"]["rel32"] = [item + 0x10000 for item in module["fixups"]["rel32"]]

    return case("image-of-another-place", "The manifest places the image elsewhere than its own headers.",
                "P9",
                parts.module_changed(change).package(), POLICY, refused=(1, "HP3611"))  # fmt: skip


def _unlisted(parts: Parts) -> Made:
    def change(module: Document) -> None:
        module["fixups"]["rel32"] = []

    return case("image-with-unlisted-fixups", "The manifest lists no fixups; the image's native table has "
                "one.", "P6",
                parts.module_changed(change).package(), POLICY, refused=(1, "HP3611"))  # fmt: skip
