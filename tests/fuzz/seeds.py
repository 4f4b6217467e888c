"""Seed corpora, made from the committed example binaries and by hand; the same on every machine."""

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path

from hpbuild.attachments.record import Record
from hpbuild.attachments.writer import attachments
from hpbuild.bundle.layout import ENVELOPE, MANIFEST
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.manifest.codec import encode
from hpbuild.pe.access import DEBUG, EXCEPTION, EXPORT, IMPORT, LOAD_CONFIG, RESOURCE, TLS
from hpbuild.pe.hotpatch_format import LOAD_CONFIG_HOT_PATCH_OFFSET
from hpbuild.pe.hotpatch_table import read_hotpatch_table
from hpbuild.pe.reader import parse_image
from hpbuild.sign.bundle_signing import sign_bundle
from hpbuild.sign.dsse import Envelope, Signature, decode_envelope, encode_envelope
from hpbuild.sign.extension import Extension, encode_extension
from hpbuild.sign.signer import FileSigner, Signing
from tests.fuzz import carriers
from tests.fuzz.multi_stream import pack, unpack
from tests.fuzz.trust import INPUTS
from tests.memories import Parts, dump_of, loaded, module
from tests.minimal_pe import BASE, MinimalPe
from tests.policies import policy_text

SMALL_FILE = 24 << 10
_LOADED_AT = 0x7FF612340000
_SYMBOL_FILES = (
    "baseline/codec", "baseline/throwing", "scenes/baseline/stage", "variants/type_layout/baseline/gadget",
)  # fmt: skip
_ALL_KINDS = (0x2C000, 0x3C000, 0x44000, 0x5C000, 0x64000, 0x78000, 0x1C000)


def seeds(target: str) -> dict[str, bytes]:
    """Inputs by name for the target called ``target``."""
    return _MAKERS[target]()


def signed_bundle() -> bytes:
    """The smallest bundle of the example binaries, signed by the fixed keys."""
    signers = [Signing(FileSigner(key)) for key in carriers.private_keys()]
    return sign_bundle(carriers.unsigned_bundle(), signers)


def _pe() -> dict[str, bytes]:
    found = {path.relative_to(carriers.BIN).as_posix(): path.read_bytes() for path in _small_binaries()}
    found |= {f"patch/{name}": image for name, image in _patch_images().items()}
    found["hand-made/empty"] = MinimalPe().build()
    found["hand-made/full"] = _full_pe()
    found["hand-made/native"] = _with_native()
    return found


def _small_binaries() -> list[Path]:
    everything = sorted((*carriers.BIN.rglob("*.dll"), *carriers.BIN.rglob("*.exe")))
    known: set[int] = set()
    # One of each size: most of the examples differ in a few instructions.
    chosen = []
    for path in everything:
        size = path.stat().st_size
        if size <= SMALL_FILE and size not in known:
            known.add(size)
            chosen.append(path)
    return chosen


def _patch_images() -> dict[str, bytes]:
    pairs = (("", "codec.dll"), ("", "throwing.dll"), ("variants/pad_jump", "gadget.dll"))
    return {
        name: image for folder, dll in pairs for name, image in carriers.built(folder, dll).members.items()
    }


def _full_pe() -> bytes:
    """A small PE with an entry in every table that hpbuild reads and compilers seldom write together."""
    pe = MinimalPe()
    rows = struct.pack("<6I", 0x1000, 0x1010, 0x2018, 0x1010, 0x1020, 0x201C)
    unwind = bytes.fromhex("01000000 21000000") + struct.pack("<3I", 0x1000, 0x1010, 0x2018)
    at = pe.section(b".pdata", rows + unwind)
    pe.directories[EXCEPTION] = (at, 24)
    rsrc = struct.pack("<IIHHHHII", 0, 0, 0, 0, 0, 1, 16, 0x80000018)
    rsrc += struct.pack("<IIHHHHII", 0, 0, 0, 0, 0, 1, 1, 0x80000030)
    info = struct.pack("<HHH", 92, 52, 0) + "VS_VERSION_INFO\0".encode("utf-16-le") + bytes(2)
    info += struct.pack("<4I", 0xFEEF04BD, 0x10000, 0x10002, 0x30004) + bytes(36)
    base = at + 0x1000
    rsrc += struct.pack("<IIHHHHII", 0, 0, 0, 0, 0, 1, 1033, 0x48) + struct.pack(
        "<4I", base + 0x58, len(info), 0, 0
    )
    pe.table(RESOURCE, rsrc + info)
    strings = b"x.dll\0f\0kernel.g\0"
    rva = base + 0x1000
    places = (rva + 54, 1, 2, 1, rva + 40, rva + 48, rva + 52)
    head = struct.pack("<IIHHIIIIIII", 0, 0, 0, 0, *places)
    pe.table(EXPORT, head + struct.pack("<IIIH", 0x1000, rva + 62, rva + 60, 0) + strings)
    rva += 0x1000
    imports = struct.pack("<5I", rva + 0x40, 0, 0, rva + 0x80, rva + 0x60) + bytes(44)
    imports += struct.pack("<4Q", rva + 0x88, 1 << 63 | 7, 0, 0) + struct.pack(
        "<4Q", rva + 0x88, 1 << 63 | 7, 0, 0
    )
    pe.table(IMPORT, imports + b"k.dll\0\0\0" + b"\0\0name\0")
    rva += 0x1000
    address = BASE + rva
    tls = struct.pack("<4QII", address + 40, address + 48, address + 48, address + 56, 0, 0)
    pe.table(TLS, tls + bytes(16) + struct.pack("<QQ", BASE + 0x1000, 0), 40)
    rva += 0x1000
    pe.table(
        DEBUG, struct.pack("<IIHHIIII", 0, 0, 0, 0, 2, 30, rva + 28, 0) + b"RSDS" + bytes(20) + b"a.pdb\0", 28
    )
    rva += 0x1000
    config = bytearray(0x140)
    struct.pack_into("<I", config, 0, 0x140)
    for offset, at_table, count in ((0x80, 0x140, 2), (0xA0, 0x150, 1), (0xB0, 0x150, 1), (0x108, 0x150, 1)):
        struct.pack_into("<QQ", config, offset, BASE + rva + at_table, count)
    struct.pack_into("<I", config, 0x90, 0x10000500)
    struct.pack_into("<QQQ", config, 0x58, BASE + rva + 0x160, 0, 0)
    struct.pack_into("<IH", config, 0xE0, 0x168, len(pe.sections) + 1)
    struct.pack_into("<Q", config, 0x100, BASE + rva + 0x1A0)
    tables = (
        struct.pack("<IBIBxxxxxx", 0x1000, 0, 0x1010, 0) + struct.pack("<IBxxxxxxxxxxx", 0x1000, 0) + bytes(8)
    )
    tables += struct.pack("<IIQIIIHH", 1, 24, 3, 12, 0x1000, 12, 0x3010, 0) + bytes(24)
    tables += struct.pack("<6I", 24, 1, 0, 0, 0, 0)
    pe.table(LOAD_CONFIG, bytes(config) + tables, 0x140)
    return pe.build()


def _with_native() -> bytes:
    """The carrier of native tables with a table in it."""
    data = carriers.native_carrier()
    content = _native_input(_native_table())
    start = data.rindex(bytes(carriers.NATIVE_ROOM))
    return data[:start] + content + data[start + len(content) :]


def _native_table() -> bytes:
    """A table of version 3 with one record of every kind."""
    records = struct.pack("<I4I", 0x1C001, 0x1010, 0x1000, 0x90909090, 0x90909090)
    for index, kind in enumerate(_ALL_KINDS):
        records += struct.pack("<5I", 0x80000001 | kind, 0x1040 + 8 * index, 0x5000 + index, 0, 0)
    records += bytes(4)
    hashes = bytes(range(52))
    size = 28 + 4 + 32 + len(hashes)
    head = struct.pack("<7I", 3, size + len(records), 7, 28, 1, 0, 2)
    base = struct.pack("<8I", 7, 0x12, 0x11223344, 0x55667788, 64, len(hashes), size, 0)
    return head + struct.pack("<I", 32) + base + hashes + records


def _native_input(table: bytes) -> bytes:
    config = bytearray(carriers.CONFIG_SIZE)
    struct.pack_into("<I", config, 0, carriers.CONFIG_SIZE)
    struct.pack_into("<I", config, LOAD_CONFIG_HOT_PATCH_OFFSET, carriers.NATIVE_AT + carriers.CONFIG_SIZE)
    return bytes(config) + table


def _native() -> dict[str, bytes]:
    found = {"every-kind": _native_input(_native_table()), "none": bytes(carriers.CONFIG_SIZE)}
    for name, data in _patch_images().items():
        image = parse_image(data, name)
        table = read_hotpatch_table(image)
        if table is not None:
            found[name] = _native_input(image.read(table.range.start, len(table.range)))
    return found


def _zip() -> dict[str, bytes]:
    return {"signed": signed_bundle(), "unsigned": carriers.unsigned_bundle()}


def _envelope() -> dict[str, bytes]:
    envelope = read_bundle(signed_bundle()).members[ENVELOPE]
    decoded = decode_envelope(envelope)
    extension = encode_extension(Extension((b"certificate", b"another"), (b"time stamp",)))
    extended = tuple(Signature(item.keyid, item.sig, extension) for item in decoded.signatures)
    return {
        "signed": envelope,
        "one": encode_envelope(Envelope(PAYLOAD_TYPE, decoded.payload, decoded.signatures[:1])),
        "extended": encode_envelope(Envelope(PAYLOAD_TYPE, b"{}", extended)),
        "extension": extension,
    }


def _documents() -> dict[str, bytes]:
    found = {"statement": carriers.statement(), "empty": b"{}"}
    for folder, dll in (
        ("variants/pad_jump", "gadget.dll"),
        ("", "throwing.dll"),
        ("variants/line_only", "gadget.dll"),
    ):
        found[f"manifest {folder} {dll}"] = encode(carriers.built(folder, dll).manifest)
    found["deep"] = b"[" * 40 + b"]" * 40
    found["numbers"] = json.dumps([0, -1, 1.5, 1e99, 2**53, 2**64]).encode()
    assert MANIFEST not in found
    return found


def _pdb() -> dict[str, bytes]:
    found = {}
    for name in _SYMBOL_FILES:
        found[name] = pack(_slim(unpack((carriers.BIN / f"{name}.pdb").read_bytes())))
    return found


def _slim(streams: list[bytes]) -> list[bytes]:
    """Without the previous directory, the item stream and hash tables: hpbuild reads none of them."""
    return [b"" if index in (0, 4) else stream for index, stream in enumerate(streams)]


def _dump() -> dict[str, bytes]:
    """Two modules as a loader leaves them, one of them the image that the harness knows the file of."""
    images = (carriers.codec(), parse_image(MinimalPe().build(), "tiny.dll"))
    memory = Parts()
    for index, image in enumerate(images):
        memory.put(_LOADED_AT + (index << 28), bytes(loaded(image, _LOADED_AT + (index << 28))))
    modules = [module(image, _LOADED_AT + (index << 28)) for index, image in enumerate(images)]
    return {"both": dump_of(modules, memory), "one": dump_of(modules[1:], memory)}


def _trust() -> dict[str, bytes]:
    found = {path.stem: path.read_bytes() for path in sorted(INPUTS.glob("*.der"))}
    text = base64.encodebytes(found["code"])
    return found | {"pem": b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"}


def _attachments() -> dict[str, bytes]:
    manifest = carriers.built(*carriers.SMALLEST).manifest
    return attachments(Record(manifest=manifest, manifest_bytes=encode(manifest)))


def _policy() -> dict[str, bytes]:
    keys = dict(zip(("first", "second"), carriers.public_keys(), strict=True))
    return {"two-keys": policy_text(keys, threshold=2).encode(), "rich": _rich_policy().encode()}


def _rich_policy() -> str:
    """With a table of nearly every kind."""
    root = (INPUTS / "root.der").read_bytes()
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(root).decode()}-----END CERTIFICATE-----\n"
    head = 'name = "n"\nproducts = ["Example"]\nlowest_tier = "sections"\nmax_age_days = 30\n'
    head += 'state = "optional"\nalgorithms = ["ed25519", "ecdsa-p256"]\nrequired_attachments = ["sbom"]\n'
    tail = f'[[authorities]]\nname = "root"\ncertificate = """{pem}"""\n'
    tail += f'[[timestamp_authorities]]\nname = "time"\ncertificate = """{pem}"""\n'
    tail += '[[identities]]\nname = "i"\nauthorities = ["root"]\nsubject = { common_name = "code" }\n'
    tail += '[publisher]\nauthorities = ["root"]\nsubject = { organization = "Example" }\n'
    tail += '[revoked]\nbundles = []\noutdated_lists = "accept"\n'
    tail += '[[overrides]]\ncode = "HP6005"\npackage = "p"\nreason = "r"\nby = "b"\n'
    tail += "expires = 2030-01-01T00:00:00Z\n[limits]\nmodules = 10\n"
    keys = dict(zip(("first", "second"), carriers.public_keys(), strict=True))
    return policy_text(keys, head=head, identities=["i"], tail=tail)


_MAKERS: dict[str, Callable[[], dict[str, bytes]]] = {
    "pe": _pe, "zip": _zip, "envelope": _envelope, "documents": _documents, "native": _native, "pdb": _pdb,
    "dump": _dump, "trust": _trust, "attachments": _attachments, "policy": _policy,
}  # fmt: skip
