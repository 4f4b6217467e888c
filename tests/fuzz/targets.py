"""The readers under fuzzing, one function for each target: it takes bytes and raises nothing.

Whatever a reader raises apart from HpbuildError is a finding, and so is a broken promise: what was read has
one spelling, and no signature holds over other bytes than those that were signed.
"""

import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from hpbuild.attachments.agreement import findings
from hpbuild.attachments.reading import read_attachment
from hpbuild.attachments.record import KINDS
from hpbuild.bundle.contents import agreement_findings, image_findings, subject_findings
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.statement import PREDICATE_SCHEMA, decode_statement, encode_statement
from hpbuild.bundle.writer import write_bundle
from hpbuild.errors import HpbuildError
from hpbuild.manifest.codec import decode, encode
from hpbuild.manifest.consistency import check
from hpbuild.manifest.model import SCHEMA_ID
from hpbuild.manifest.schema import validate
from hpbuild.manifest.strict_json import parse
from hpbuild.pe.hotpatch_table import read_hotpatch_table
from hpbuild.pe.image import Image
from hpbuild.pe.mapped import image_from_memory
from hpbuild.pe.pdb.compilers import read_compilers
from hpbuild.pe.pdb.file import open_pdb
from hpbuild.pe.pdb.info import read_directory
from hpbuild.pe.pdb.lines import read_lines
from hpbuild.pe.pdb.msf import open_msf
from hpbuild.pe.pdb.reader import read_symbols
from hpbuild.pe.pdb.streams import Dbi, read_dbi, read_info
from hpbuild.pe.pdb.type_records import read_types
from hpbuild.pe.pdb.types import type_layouts
from hpbuild.pe.preflight import MAX_SECTIONS
from hpbuild.pe.processes.minidump import open_dump
from hpbuild.pe.reader import parse_image
from hpbuild.pe.symbols import joined_symbols
from hpbuild.sign.dsse import Outcome, decode_envelope, encode_envelope, verify_envelope
from hpbuild.sign.extension import decode_extension, encode_extension
from hpbuild.values import Rva
from hpbuild.verify.policy_file import parse_policy, unused_names
from tests.fuzz import carriers
from tests.fuzz.image_readers import IMAGE_READERS, second_opinion
from tests.fuzz.trust import read_trust

_MODULES_READ = 4


@dataclass(frozen=True, slots=True)
class Target:
    """``largest``: bytes of the longest input that is tried."""

    run: Callable[[bytes], None]
    largest: int


def read_pe(data: bytes) -> None:
    """Pre-flight, reader and every reader of a table of the image."""
    try:
        image = parse_image(data, "hostile.dll")
    except HpbuildError:
        return
    for reader in (*IMAGE_READERS, second_opinion):
        with suppress(HpbuildError):
            reader(image)


def read_zip(data: bytes) -> None:
    """The bundle's container; what is accepted has one spelling."""
    with suppress(HpbuildError):
        bundle = read_bundle(data)
        assert write_bundle(bundle.members) == data, "a bundle with two spellings"
        statement = decode_statement(bundle.statement)
        subject_findings(bundle.members, statement)
        manifest = decode(bundle.manifest)
        agreement_findings(statement, manifest)
        image_findings(bundle, manifest)


def read_envelope(data: bytes) -> None:
    """The DSSE envelope, its signatures and their extensions; nothing but the signed statement verifies."""
    with suppress(HpbuildError):
        decoded = decode_envelope(data)
        assert encode_envelope(decoded) == data, "an envelope with two spellings"
        result = verify_envelope(data, carriers.public_keys())
        forged = any(item.outcome is Outcome.VERIFIED for item in result.signatures)
        assert not forged or result.payload == carriers.statement(), "a forged signature"
        for signature in decoded.signatures:
            with suppress(HpbuildError):
                extension = decode_extension(signature.extension, "extension")
                assert encode_extension(extension) == signature.extension, "an extension with two spellings"
    with suppress(HpbuildError):
        decode_extension(data, "extension")


def read_documents(data: bytes) -> None:
    """Statement and manifest, strict JSON, the schemas and the consistency of a manifest."""
    with suppress(HpbuildError):
        assert encode_statement(decode_statement(data)) == data, "a statement with two spellings"
    with suppress(HpbuildError):
        manifest = decode(data)
        assert encode(manifest) == data, "a manifest with two spellings"
        check(manifest)
        validate(parse(data, "document"), SCHEMA_ID, "document")
    with suppress(HpbuildError):
        document = parse(data, "document")
        if isinstance(document, dict):
            for part in (document, document.get("predicate")):
                with suppress(HpbuildError):
                    validate(part, PREDICATE_SCHEMA, "document")


def read_attachments(data: bytes) -> None:
    """The attachments that a verifier may require."""
    manifest = carriers.built(*carriers.SMALLEST).manifest
    for name in KINDS.values():
        with suppress(HpbuildError):
            read_attachment(name, data)
            findings(name, data, manifest, encode(manifest))


def read_policy(data: bytes) -> None:
    """The trust policy."""
    with suppress(HpbuildError):
        parse_policy(data, "policy.toml")
        unused_names(data, "policy.toml")


def read_native(data: bytes) -> None:
    """The native hotpatch table, preceded by its load configuration, in an image that is good otherwise."""
    image = _carrier()
    memory = image.memory.copy()
    start = carriers.NATIVE_AT
    content = np.frombuffer(data[: carriers.NATIVE_ROOM], dtype=np.uint8)
    memory[start : start + len(content)] = content
    with suppress(HpbuildError):
        read_hotpatch_table(replace(image, memory=memory))


@cache
def _carrier() -> Image:
    return parse_image(carriers.native_carrier(), "patch.dll")


def read_pdb(data: bytes) -> None:
    """Every stream of a PDB for a real image."""
    try:
        msf = open_msf(data, "hostile.pdb")
    except HpbuildError:
        return
    for reader in (read_directory, read_dbi):
        with suppress(HpbuildError):
            reader(msf)
    with suppress(HpbuildError):
        types = read_types(msf)
        if types is not None:
            type_layouts(types)
    with suppress(HpbuildError):
        info = read_info(msf)
        image = _image_of(read_dbi(msf))
        pdb = open_pdb(data, "hostile.pdb", image, info.guid, info.age)
        read_compilers(pdb)
        with suppress(HpbuildError):
            read_lines(pdb)
        joined_symbols(image, read_symbols(pdb))


def _image_of(dbi: Dbi) -> Image:
    """An image whose sections lie where the PDB says; nothing but their places matters."""
    real = carriers.codec()
    places = list(zip(dbi.section_rvas.tolist(), dbi.section_sizes.tolist(), strict=True))[:MAX_SECTIONS]
    sections = tuple(replace(real.sections[0], rva=Rva(rva), virtual_size=size) for rva, size in places)
    return replace(real, sections=sections)


def read_dump(data: bytes) -> None:
    """A minidump, and every module in it back to the image of its file."""
    with tempfile.NamedTemporaryFile(dir=_folder()) as file:
        file.write(data)
        file.flush()
        with suppress(HpbuildError), open_dump(Path(file.name)) as dump:
            for module in dump.modules[:_MODULES_READ]:
                for known in (None, carriers.codec()):
                    with suppress(HpbuildError):
                        image_from_memory(dump.memory, module, file=known)


@cache
def _folder() -> str | None:
    """Where temporary files cost no disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def guarded(run: Callable[[bytes], None], data: bytes) -> None:
    """``run(data)`` with every warning as an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(data)


TARGETS = {
    "pe": Target(read_pe, 1 << 16),
    "zip": Target(read_zip, 1 << 15),
    "envelope": Target(read_envelope, 1 << 15),
    "documents": Target(read_documents, 1 << 16),
    "native": Target(read_native, carriers.NATIVE_ROOM),
    "pdb": Target(read_pdb, 1 << 17),
    "dump": Target(read_dump, 1 << 17),
    "trust": Target(read_trust, 1 << 14),
    "attachments": Target(read_attachments, 1 << 15),
    "policy": Target(read_policy, 1 << 14),
}
"""Targets by name."""
