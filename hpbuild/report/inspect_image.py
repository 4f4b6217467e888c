"""The result of ``inspect`` for a PE image: headers, sections, pin, native hotpatch table."""

from __future__ import annotations

from collections.abc import Sequence

from hpbuild.errors import Finding
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, finding, finding_blocks, shortened, start
from hpbuild.values import Interval

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from typing import Any

NOTICE = "nothing here was verified: no signature was checked, and the file is shown as it is"

DIRECTORY_NAMES = (
    "exports", "imports", "resources", "exceptions", "certificates", "relocations", "debug", "architecture",
    "global pointer", "TLS", "load configuration", "bound imports", "import addresses", "delay imports",
    "CLR", "reserved",
)  # fmt: skip
"""Optional header data directories (PE specification, section "Optional Header Data Directories")."""


def pin_document(pin: Any) -> Document:
    """What identifies a build; a manifest's pin or an image's identity, they have the same fields."""
    return {
        "file_name": pin.file_name,
        "size": pin.size,
        "sha256": pin.sha256.hex,
        "authenticode": None if pin.authenticode is None else pin.authenticode.hex,
        "machine": pin.machine,
        "time_date_stamp": pin.time_date_stamp,
        "checksum": pin.checksum,
        "size_of_image": pin.size_of_image,
        "image_base": f"{pin.image_base:#x}",
        "pdb_guid": pin.pdb_guid,
        "pdb_age": pin.pdb_age,
        "version": pin.version,
        "sections": [
            {"name": item.name, "rva": int(item.rva), "size": item.size, "sha256": item.sha256.hex}
            for item in pin.sections
        ],
    }


def document(
    path: str,
    image: Any,
    *,
    pin: Any | None,
    counts: dict[str, int],
    hotpatch_table: Any | None,
    findings: Sequence[Finding],
) -> Document:
    """``image`` is a parsed image, ``pin`` its identity; ``counts`` says how many functions, exports and
    so on its tables name; parts that could not be read are missing and stand among the ``findings``."""
    return {
        **start("inspect"),
        "kind": "image",
        "verified": False,
        "notice": NOTICE,
        "path": path,
        "pin": None if pin is None else pin_document(pin),
        "headers": _headers(image),
        "sections": [_section(item) for item in image.sections],
        "directories": [
            _directory(index, item) for index, item in enumerate(image.directories) if len(item) or item.start
        ],
        "counts": counts,
        "hotpatch_table": None if hotpatch_table is None else _table(hotpatch_table),
        "findings": [finding(item) for item in findings],
    }


def _headers(image: Any) -> Document:
    return {
        "machine": image.machine,
        "image_base": f"{image.image_base:#x}",
        "entry_point": int(image.entry_point),
        "size_of_image": image.size_of_image,
        "size_of_headers": image.size_of_headers,
        "section_alignment": image.section_alignment,
        "file_alignment": image.file_alignment,
        "time_date_stamp": image.time_date_stamp,
        "checksum": image.checksum,
        "linker_version": ".".join(map(str, image.linker_version)),
        "subsystem": image.subsystem,
        "characteristics": image.characteristics,
        "dll_characteristics": image.dll_characteristics,
    }


def _section(item: Any) -> Document:
    return {
        "name": item.name,
        "rva": int(item.rva),
        "virtual_size": item.virtual_size,
        "raw_offset": item.raw_offset,
        "raw_size": item.raw_size,
        "characteristics": item.characteristics,
    }


def _directory(index: int, item: Interval) -> Document:
    return {"index": index, "name": DIRECTORY_NAMES[index], "start": int(item.start), "size": len(item)}


def _table(table: Any) -> Document:
    return {
        "rva": int(table.range.start),
        "size": len(table.range),
        "version": table.version,
        "sequence": table.sequence,
        "minimum_sequence": table.minimum_sequence,
        "flags": table.flags,
        "bases": [
            {
                "sequence": base.sequence,
                "flags": list(base.flag_names),
                "original_time_date_stamp": base.original_time_date_stamp,
                "original_checksum": base.original_checksum,
                "sha256": None if base.hashes is None else base.hashes.sha256.hex,
                "sha1": None if base.hashes is None else base.hashes.sha1.hex(),
                "chunks": [_chunk(chunk) for chunk in base.chunks],
            }
            for base in table.bases
        ],
    }


def _chunk(chunk: Any) -> Document:
    return {
        "kind": chunk.name,
        "direction": "inverse" if chunk.inverse else "forward",
        "records": [
            {"written": int(item.written), "other": int(item.other), "extra": list(item.extra)}
            for item in chunk.records
        ],
    }


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """Identity, headers, sections, directories and the native hotpatch table."""
    headers = result["headers"]
    parts: list[Block] = [
        Line(NOTICE, Tone.WARN),
        Pairs((("image", result["path"]), *_pin_rows(result["pin"]))),
    ]
    shown = (
        ("machine", f"{headers['machine']:#06x}"),
        ("image base", headers["image_base"]),
        ("entry point", f"{headers['entry_point']:#x}"),
        ("size of image", f"{headers['size_of_image']:#x}"),
        ("linker", headers["linker_version"]),
        *((name, f"{count:,}") for name, count in result["counts"].items()),
    )
    sections = tuple(
        (
            item["name"],
            f"{item['rva']:#x}",
            f"{item['virtual_size']:#x}",
            f"{item['raw_size']:#x}",
            _rights(item),
        )
        for item in result["sections"]
    )
    columns = ("name", "rva", "size", "in the file", "rights")
    parts += [Heading("headers"), Pairs(shown), Heading("sections"), Table(columns, sections)]
    directories = tuple(
        (item["name"], f"{item['start']:#x}", f"{item['size']:#x}") for item in result["directories"]
    )
    parts += [Heading("directories"), Table(("name", "start", "size"), directories)]
    if result["hotpatch_table"] is None:
        parts += [Heading("native hotpatch table"), Line("  none")]
    else:
        parts += _table_blocks(result["hotpatch_table"], full=full)
    return parts + finding_blocks(result["findings"])


def _pin_rows(pin: Document | None) -> tuple[tuple[str, str], ...]:
    if pin is None:
        return ()
    return (
        ("sha256", pin["sha256"]),
        ("authenticode", pin["authenticode"] or "none: the layout is not the strict one"),
        ("size", f"{pin['size']:,}"),
        ("version", pin["version"] or "-"),
        ("time stamp", f"{pin['time_date_stamp']:#010x}"),
        ("checksum", f"{pin['checksum']:#010x}"),
        ("pdb", f"{pin['pdb_guid']}, age {pin['pdb_age']}" if pin["pdb_guid"] else "-"),
    )


def _rights(section: Document) -> str:
    flags = section["characteristics"]
    return "".join(letter if flags & bit else "-" for letter, bit in RIGHTS)


RIGHTS = (("r", 0x40000000), ("w", 0x80000000), ("x", 0x20000000))


def _table_blocks(table: Document, *, full: bool) -> list[Block]:
    head = f"version {table['version']}, sequence {table['sequence']}, at {table['rva']:#x}+{table['size']}"
    parts: list[Block] = [Heading(f"native hotpatch table: {head}")]
    for base in table["bases"]:
        stamp = f"{base['original_time_date_stamp']:#010x}, checksum {base['original_checksum']:#010x}"
        parts.append(Line(f"  for the build with time stamp {stamp}; {' '.join(base['flags'])}"))
        rows = tuple(
            (chunk["kind"], chunk["direction"], f"{item['written']:#x}", f"{item['other']:#x}", _extra(item))
            for chunk in base["chunks"]
            for item in chunk["records"]
        )
        parts += shortened(Table(("kind", "direction", "written at", "other", "extra"), rows), full=full)
    return parts


def _extra(record: Document) -> str:
    return " ".join(f"{value:08x}" for value in record["extra"]) or "-"
