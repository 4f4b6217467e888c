"""Cases about the installed file: rules I1 to I4, pages, windows, states, and sets of files."""

import hashlib
import struct
import subprocess
import tempfile
from pathlib import Path

from hpbuild.apply.offline.apply import apply_offline
from hpbuild.apply.offline.result import OfflineRequest
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image
from hpbuild.verify import policy_from_keys
from tests.certificates import Entity
from tests.vectors.making.authorities import World
from tests.vectors.making.base import BINARIES, CODEC, GADGET, Parts, built_from, parts_of, set_of_two
from tests.vectors.making.keys import KEYS, private
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting

FILE = "installed.dll"
HERE = ("--installed", "{case}/" + FILE)
COMMON = ("--installed", "{files}/installed/gadget.dll")
DEFAULT = trusting("release")
CERTIFICATE_ENTRY = 112 + 8 * 4
STUFFING = b"somebody's own bytes, 24"


def tier(name: str) -> str:
    """A policy with that lowest tier."""
    return trusting("release", head=f'lowest_tier = "{name}"\n')


def cases() -> list[Made]:
    gadget, codec = parts_of(), parts_of(pair=CODEC)
    with tempfile.TemporaryDirectory() as folder:
        signer = Signer(Path(folder))
        return [
            *_tiers(gadget),
            *_signed(gadget, signer),
            *_certificates(gadget, signer),
            *_contents(gadget, codec),
            *_states(gadget),
            *_sets(),
        ]


class Signer:
    """Signs PE files with osslsigncode, by a certificate of a world's authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World(folder)

    def signed(self, data: bytes, leaf: Entity | None = None) -> bytes:
        """``data`` with an Authenticode signature by the holder of that certificate, or of the usual one."""
        leaf = leaf or self.world.leaf("Release")
        plain, out = self.folder / "plain.dll", self.folder / "signed.dll"
        chain = self.folder / "chain.pem"
        chain.write_bytes(leaf.pem + self.world.issuing.pem)
        plain.write_bytes(data)
        out.unlink(missing_ok=True)
        command = ["osslsigncode", "sign", "-h", "sha256", "-certs", chain, "-key", KEYS / "holder.key.pem"]
        subprocess.run([*command, "-in", plain, "-out", out], check=True, capture_output=True, timeout=600)
        return out.read_bytes()


def baseline(pair: str = GADGET) -> bytes:
    """The bytes of a baseline file."""
    return (BINARIES / pair.format("baseline")).read_bytes()


def fixed(pair: str = GADGET) -> bytes:
    """The bytes of a fixed file."""
    return (BINARIES / pair.format("fixed")).read_bytes()


def _case(
    name: str, why: str, rules: str, parts: Parts, data: bytes, policy: str = DEFAULT, refused: str = ""
) -> Made:
    """Package against one file; every refusal here is of the kind 'not for this file'."""
    return case(name, why, rules, parts.package(), policy, more=HERE, files={FILE: data},
                refused=(3, refused) if refused else None)  # fmt: skip


def _put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _optional(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 0x3C)[0]) + 24


def _at(image: Image, rva: int) -> int:
    """File offset of an RVA."""
    section = next(item for item in image.sections if item.rva <= rva < item.rva + item.virtual_size)
    return rva - section.rva + section.raw_offset


def _flipped(data: bytes, rva: int) -> bytes:
    at = _at(parse_image(data, "x"), rva)
    return _put(data, at, bytes((data[at] ^ 0x40,)))


def _section(data: bytes, name: str) -> tuple[int, int]:
    """File offset and size of a section's bytes."""
    found = next(item for item in parse_image(data, "x").sections if item.name == name)
    return found.raw_offset, found.raw_size


def _tiers(parts: Parts) -> list[Made]:
    data = baseline()
    at, size = _section(data, ".rdata")
    changed = _put(data, at + size - 1, b"\x5a")
    package = parts.package()
    return [
        case("installed-exact", "The installed file is the baseline, byte by byte, and the policy wants no "
             "less.", "I1",
             package, tier("exact"), more=COMMON),
        _case("installed-with-more-bytes", "The baseline with bytes behind it that nothing maps: its "
              "sections are the "
              "baseline's. The policy accepts that.", "I3", parts, data + b"more", tier("sections")),
        _case("installed-with-more-bytes-default", "The same, and a policy that says nothing about tiers.",
              "I2 I3", parts,
              data + b"more", refused="HP6035"),
        _case("installed-with-other-constants", "A constant that the package does not refer to differs, "
              "functions and "
              "references are the baseline's. The policy accepts that.", "I4", parts, changed,
              tier("functions")),
        _case("installed-with-other-constants-sections", "The same, and the policy wants the sections to "
              "agree.", "I3 I4",
              parts, changed, tier("sections"), "HP6035"),
    ]  # fmt: skip


def _signed(parts: Parts, signer: Signer) -> list[Made]:
    data = baseline()
    odd = data + b"odd"
    of_odd = built_from(odd, fixed())
    signed = signer.signed(data)
    return [
        _case("baseline-signed-again", "The vendor signed the same build: the file has a certificate table "
              "and another "
              "digest, and is the baseline for everything that is mapped.", "I2", parts, signed),
        _case("baseline-signed-again-exact", "The same, and the policy wants the file itself.", "I1 I2",
              parts, signed,
              tier("exact"), "HP6035"),
        _case("baseline-of-odd-size", "A baseline whose size is no multiple of 8; signing fills it up, so "
              "that it is "
              "zero-padded for the digest.", "I2", of_odd, signer.signed(odd)),
        _case("baseline-of-odd-size-unsigned", "The same baseline as it was built.", "I1", of_odd, odd,
              tier("exact")),
    ]  # fmt: skip


def table_of(data: bytes) -> tuple[int, int]:
    """File offset and size of the certificate table."""
    start, size = struct.unpack_from("<II", data, _optional(data) + CERTIFICATE_ENTRY)
    return int(start), int(size)


def with_table(data: bytes, table: bytes) -> bytes:
    """``data``, which ends at a multiple of 8, with this certificate table."""
    return _put(data, _optional(data) + CERTIFICATE_ENTRY, struct.pack("<II", len(data), len(table))) + table


def stuffed(signed: bytes) -> bytes:
    """A signed file with bytes behind the signature, inside its entry of the table."""
    start, size = table_of(signed)
    grown = struct.pack("<I", size + len(STUFFING)) + signed[start + 4 :] + STUFFING
    return with_table(signed[:start], grown)


def _certificates(parts: Parts, signer: Signer) -> list[Made]:
    signed = signer.signed(baseline())
    start, _ = table_of(signed)
    second = struct.pack("<IHH", 24, 0x200, 2) + STUFFING[:16]
    inside, beside = stuffed(signed), with_table(signed[:start], signed[start:] + second)
    attacked = _over_code(parts)
    return [
        _case("certificate-stuffed", "Bytes inside the certificate's entry behind the signature, as some "
              "installers have "
              "them: they are in no digest, and nothing maps or runs them. The file is accepted for what is "
              "mapped.",
              "I2", parts, inside),
        _case("certificate-stuffed-beside", "A second entry of the certificate table.", "I2", parts, beside),
        _case("certificate-stuffed-behind", "Bytes behind the certificate table: the table no longer ends "
              "the file.", "I2",
              parts, signed + STUFFING, refused="HP6035"),
        _case("certificate-table-over-code", "The certificate table is declared over the sections, in which "
              "a constant was changed, and the genuine sections lie behind it, where nothing maps them. A "
              "digest that leaves the table out wherever it lies is the genuine one.", "I2", parts, attacked,
              refused="HP6035"),
    ]  # fmt: skip


def _over_code(parts: Parts) -> bytes:
    """Sections with a changed constant, declared to be certificates, and the genuine ones behind them: an
    Authenticode digest that leaves the table out wherever it lies is the genuine one."""
    data = baseline()
    headers = parse_image(data, "x").size_of_headers
    last, more = _section(data, ".rdata")
    own = _put(data, last + more - 1, b"\x5a")[headers:]
    entry = struct.pack("<II", headers, len(own))
    attacked = _put(data, _optional(data) + CERTIFICATE_ENTRY, entry)[:headers] + own + data[headers:]
    if _naive(attacked) != parts.module["baseline"]["authenticode"]:
        raise ValueError("nobody would be deceived")
    return attacked


def _naive(data: bytes) -> str:
    """The digest of implementations that do not look where the table lies."""
    checksum, entry = _optional(data) + 64, _optional(data) + CERTIFICATE_ENTRY
    start, size = table_of(data)
    kept = data[:checksum] + data[checksum + 4 : entry] + data[entry + 8 : start] + data[start + size :]
    return hashlib.sha256(kept).hexdigest()


def _contents(parts: Parts, codec: Parts) -> list[Made]:
    data, large = baseline(), baseline(CODEC)
    function = parts.module["functions"][0]["baseline"][0]
    entry = parts.module["redirections"][0]["entry"]
    image = parse_image(data, "x")
    constants = parse_image(large, "x").sections[1].rva
    reference = next(
        item for item in codec.module["references"] if item[2] is not None and item[0] >= constants
    )
    hooked = _put(data, _at(image, entry), b"\xe9\x10\x20\0\0")
    return [
        _case("function-changed", "A byte of a function that would be replaced differs, behind the window.",
              "I4", parts,
              _flipped(data, function["rva"] + function["size"] - 2), tier("functions"), "HP6036"),
        _case("reference-changed", "Something that the new code refers to differs.", "I4", codec,
              _flipped(large, reference[0]), tier("functions"), "HP6037"),
        _case("page-changed", "Another function in a page that would be written to differs.", "M11 I4", parts,
              _flipped(data, 0x1010), tier("functions"), "HP6201"),
        _case("window-hooked", "Somebody else's jump stands where the package would write its own.", "I4",
              parts, hooked,
              tier("functions"), "HP6038"),
        _case("other-build", "The installed file is another build of the same program.", "I1 I2 I3 I4", parts,
              baseline("variants/constant_table/{}/gadget.dll"), tier("functions"), "HP6042"),
        _case("other-architecture", "The installed file is for ARM64, and otherwise the baseline.", "I4",
              parts,
              _put(data, _optional(data) - 20, b"\x64\xaa"), tier("functions"), "HP6033"),
        _case("other-image-base", "The installed file has another preferred address: pointers in it mean "
              "something "
              "else.", "I3 I4", parts, _put(data, _optional(data) + 24, struct.pack("<Q", 0x190000000)),
              tier("functions"), "HP6042"),
        _case("no-pe-file", "The installed file is no PE image.", "I4", parts, b"MZ" + bytes(2000),
              tier("functions"),
              "HP6033"),
    ]  # fmt: skip


def _states(parts: Parts) -> list[Made]:
    data = baseline()
    newer = parts_of("KB-2", 2)
    patched, by_newer = _patched(data, parts), _patched(data, newer)
    jump = parts.module["redirections"][0]
    old = bytes.fromhex(jump["old"])
    cut = _put(patched, _at(parse_image(patched, "x"), jump["window"]["rva"]), old[:5])
    return [
        _case("applied", "The package is in effect in the installed file already.", "I3", parts, patched),
        _case("applied-in-part", "The package is in effect in the installed file, and its jump was taken "
              "out in part.",
              "I3", parts, cut, refused="HP6038"),
        _case("newer-applied", "A newer package of the same line is in effect in the installed file.", "I3",
              parts, by_newer,
              refused="HP6045"),
        _case("older-applied", "An older package of the same line is in effect in the installed file.", "I3",
              newer, patched,
              refused="HP6044"),
        _case("fixed-already", "The installed file is the fixed build: there is nothing to patch.", "I1",
              parts, fixed(),
              refused="HP6041"),
    ]  # fmt: skip


def _patched(data: bytes, parts: Parts) -> bytes:
    """``data`` with the package written into it."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "gadget.dll", Path(folder) / "out.dll"
        source.write_bytes(data)
        policy = policy_from_keys([private("release").public_key()])
        request = OfflineRequest(
            bundle=parts.package(), name="p.hpb", policy=policy, installed=source, output=out
        )
        if apply_offline(request).status:
            raise ValueError("the package could not be applied")
        return out.read_bytes()


def _sets() -> list[Made]:
    parts = set_of_two()
    first, second = {"installed/bin/gadget.dll": baseline()}, {"installed/lib/codec.dll": baseline(CODEC)}
    tree = ("--installed", "{case}/installed")
    package = parts.package()
    return [
        case("set-of-two", "A package for two files, both installed.", "I1", package, DEFAULT, more=tree,
             files={**first, **second}),
        case("part-of-a-set-missing", "A package for two files, one of which is not installed: half of a "
             "fix is none.", "I1",
             package, DEFAULT, more=tree, files=first, refused=(3, "HP6030")),
        case("part-of-a-set-of-another-build", "A package for two files, one of which is another build.",
             "I1", package,
             DEFAULT, more=tree, files={**first, "installed/lib/codec.dll": fixed(CODEC)},
             refused=(3, "HP6041")),
        case("set-member-elsewhere", "Both files are there, one of them in another folder than the package "
             "says.", "I1",
             package, DEFAULT, more=tree, files={**first, "installed/codec.dll": baseline(CODEC)},
             refused=(3, "HP6030")),
    ]  # fmt: skip
