"""JSON values to module values, every field typed and bounded; the counterpart of ``write_module``.

What fields mean together is the business of ``consistency``.
"""

import re

from hpbuild.codes import manifest as codes
from hpbuild.manifest import model
from hpbuild.manifest.left_out import NOT_SELECTED
from hpbuild.manifest.left_out_form import MAX_GROUPS, read_left_out
from hpbuild.manifest.readers import Node
from hpbuild.manifest.text_fields import read_path, read_present
from hpbuild.values import Digest, Interval, Rva

MAX_RVA = 2**31 - 1
"""Image and patch lie within 2 GiB, so that REL32 fields reach."""
MAX_U32 = 2**32 - 1
MAX_FUNCTIONS = 500_000
MAX_FIXUPS = 1_000_000
MAX_WINDOW = 256
REASONS = ("changed", "added", "referrer", "handler")
DATA_KINDS = ("rodata", "data", "bss")
REDIRECTION_KINDS = ("pad-jump", "entry-jump")
SEVERITIES = ("refuse", "warn", "note")

_MODULE = frozenset(
    {
        "path",
        "baseline",
        "fixed",
        "image",
        "functions",
        "data",
        "redirections",
        "pages",
        "fixups",
        "references",
        "exclusions",
        "findings",
        "account",
    }
)
_OPTIONAL = frozenset({"only", "left_out"})
"""Absent when empty."""
_PIN = frozenset(
    {
        "file_name",
        "size",
        "sha256",
        "authenticode",
        "sections",
        "machine",
        "time_date_stamp",
        "checksum",
        "size_of_image",
        "image_base",
        "pdb_guid",
        "pdb_age",
        "version",
    }
)
_FUNCTION = frozenset(
    {"name", "reason", "level", "cause", "baseline", "fixed", "patch", "baseline_sha256", "fixed_sha256"}
)
_DATUM = frozenset({"name", "reason", "kind", "cause", "baseline", "fixed", "patch"})
_REDIRECTION = frozenset({"function", "kind", "entry", "window", "old", "new"})
_IMAGE_BASE = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,15})")
_GUID = re.compile(r"([0-9a-f]{32})?")
_VERSION = re.compile(r"([0-9]{1,5}(\.[0-9]{1,5}){3})?")
_CODE = re.compile(r"HP[0-9]{4}")
_CLASS = re.compile(r"[a-z][a-z0-9-]{0,63}")


def read_module(node: Node) -> model.Module:
    """One element of ``modules``; refuses with HP40xx."""
    fields = node.fields(_MODULE, _OPTIONAL)
    return model.Module(
        path=read_path(fields["path"]),
        baseline=_pin(fields["baseline"]),
        fixed=_pin(fields["fixed"]),
        image=_image(fields["image"]),
        functions=tuple(_function(item) for item in fields["functions"].items(MAX_FUNCTIONS)),
        data=tuple(_datum(item) for item in fields["data"].items(MAX_FUNCTIONS)),
        redirections=tuple(_redirection(item) for item in fields["redirections"].items(MAX_FUNCTIONS)),
        pages=tuple(_page(item) for item in fields["pages"].items(MAX_FUNCTIONS)),
        fixups=_fixups(fields["fixups"]),
        references=_references(fields["references"]),
        exclusions=tuple(_exclusion(item) for item in fields["exclusions"].items()),
        findings=tuple(_finding(item) for item in fields["findings"].items()),
        account=tuple(_byte_class(item) for item in fields["account"].items(256)),
        only=read_present(fields.get("only"), lambda item: item.text(65536, empty=False)),
        left_out=read_present(fields.get("left_out"), read_left_out, MAX_GROUPS),
    )


def _rva(node: Node) -> Rva:
    return Rva(node.integer(0, MAX_RVA))


def _interval(node: Node) -> Interval:
    fields = node.fields({"rva", "size"})
    start = fields["rva"].integer(0, MAX_RVA)
    return Interval(start, start + fields["size"].integer(0, MAX_RVA))


def _intervals(node: Node) -> tuple[Interval, ...]:
    return tuple(_interval(item) for item in node.items(4096))


def _optional_digest(node: Node) -> Digest | None:
    return None if node.value is None else node.digest()


def _matching(node: Node, pattern: re.Pattern[str], meaning: str) -> str:
    text = node.text(64)
    if not pattern.fullmatch(text):
        raise node.error(codes.BAD_TEXT, f"{text!r} is not {meaning}")
    return text


def _pin(node: Node) -> model.Pin:
    fields = node.fields(_PIN)
    return model.Pin(
        file_name=fields["file_name"].text(255, empty=False),
        size=fields["size"].integer(1, MAX_U32),
        sha256=fields["sha256"].digest(),
        authenticode=_optional_digest(fields["authenticode"]),
        sections=tuple(_section(item) for item in fields["sections"].items(4096)),
        machine=fields["machine"].integer(0, 0xFFFF),
        time_date_stamp=fields["time_date_stamp"].integer(0, MAX_U32),
        checksum=fields["checksum"].integer(0, MAX_U32),
        size_of_image=fields["size_of_image"].integer(1, MAX_RVA),
        image_base=int(
            _matching(fields["image_base"], _IMAGE_BASE, "a 64-bit address such as 0x180000000"), 16
        ),
        pdb_guid=_matching(fields["pdb_guid"], _GUID, "32 lower-case hexadecimal digits"),
        pdb_age=fields["pdb_age"].integer(0, MAX_U32),
        version=_matching(fields["version"], _VERSION, "a version a.b.c.d"),
    )


def _section(node: Node) -> model.SectionPin:
    fields = node.fields({"name", "rva", "size", "sha256"})
    return model.SectionPin(
        name=fields["name"].text(255),
        rva=_rva(fields["rva"]),
        size=fields["size"].integer(0, MAX_RVA),
        sha256=fields["sha256"].digest(),
    )


def _image(node: Node) -> model.PatchImagePin:
    fields = node.fields({"member", "size", "sha256", "range"})
    return model.PatchImagePin(
        member=fields["member"].text(200, empty=False),
        size=fields["size"].integer(1, MAX_U32),
        sha256=fields["sha256"].digest(),
        range=_interval(fields["range"]),
    )


def _function(node: Node) -> model.Function:
    fields = node.fields(_FUNCTION)
    return model.Function(
        name=fields["name"].text(65536),
        reason=fields["reason"].choice(REASONS),
        level=fields["level"].text(64),
        cause=fields["cause"].text(65536),
        baseline=_intervals(fields["baseline"]),
        fixed=_intervals(fields["fixed"]),
        patch=_intervals(fields["patch"]),
        baseline_sha256=_optional_digest(fields["baseline_sha256"]),
        fixed_sha256=fields["fixed_sha256"].digest(),
    )


def _datum(node: Node) -> model.Datum:
    fields = node.fields(_DATUM)
    baseline = fields["baseline"]
    return model.Datum(
        name=fields["name"].text(65536),
        reason=fields["reason"].choice(REASONS),
        kind=fields["kind"].choice(DATA_KINDS),
        cause=fields["cause"].text(65536),
        baseline=None if baseline.value is None else _interval(baseline),
        fixed=_interval(fields["fixed"]),
        patch=_interval(fields["patch"]),
    )


def _redirection(node: Node) -> model.Redirection:
    fields = node.fields(_REDIRECTION)
    return model.Redirection(
        function=fields["function"].integer(0, MAX_FUNCTIONS),
        kind=fields["kind"].choice(REDIRECTION_KINDS),
        entry=_rva(fields["entry"]),
        window=_interval(fields["window"]),
        old=fields["old"].hex_bytes(MAX_WINDOW),
        new=fields["new"].hex_bytes(MAX_WINDOW),
    )


def _page(node: Node) -> model.PagePin:
    fields = node.fields({"rva", "sha256"})
    return model.PagePin(_rva(fields["rva"]), fields["sha256"].digest())


def _fixups(node: Node) -> model.Fixups:
    fields = node.fields({"addr64", "rel32", "addr32nb"})
    return model.Fixups(
        addr64=_rvas(fields["addr64"]), rel32=_rvas(fields["rel32"]), addr32nb=_rvas(fields["addr32nb"])
    )


def _rvas(node: Node) -> tuple[Rva, ...]:
    values = node.raw_items(MAX_FIXUPS)
    result: list[Rva] = []
    for index, value in enumerate(values):
        # bool is a subclass of int, hence type()
        if type(value) is int and 0 <= value <= MAX_RVA:
            result.append(Rva(value))
        else:
            result.append(_rva(node.child(index)))
    return tuple(result)


def _references(node: Node) -> tuple[model.BaselineReference, ...]:
    result: list[model.BaselineReference] = []
    for index in range(len(node.raw_items(MAX_FIXUPS))):
        child = node.child(index)
        items = child.items(3)
        if len(items) != 3:
            raise child.error(codes.OUT_OF_RANGE, f"{len(items)} elements, [rva, size, sha256] is needed")
        start = items[0].integer(0, MAX_RVA)
        result.append(
            model.BaselineReference(
                range=Interval(start, start + items[1].integer(0, MAX_RVA)), sha256=_optional_digest(items[2])
            )
        )
    return tuple(result)


def _exclusion(node: Node) -> model.Exclusion:
    fields = node.fields({"klass", "place", "cause"}, {"fixed", "baseline"})
    klass = _matching(fields["klass"], _CLASS, "a class name")
    if klass == NOT_SELECTED:
        raise fields["klass"].error(codes.OUT_OF_RANGE, "what a list leaves out has a place of its own")
    if klass == model.LINE_ONLY:
        node.fields({"klass", "place", "cause", "fixed", "baseline"})
    else:
        node.fields({"klass", "place", "cause"})
    return model.Exclusion(
        klass=klass,
        place=fields["place"].text(65536),
        cause=fields["cause"].text(65536),
        fixed=_intervals(fields["fixed"]) if "fixed" in fields else (),
        baseline=_intervals(fields["baseline"]) if "baseline" in fields else (),
    )


def _finding(node: Node) -> model.ManifestFinding:
    fields = node.fields({"code", "severity", "place", "cause"})
    return model.ManifestFinding(
        code=_matching(fields["code"], _CODE, "a code HPnnnn"),
        severity=fields["severity"].choice(SEVERITIES),
        place=fields["place"].text(65536),
        cause=fields["cause"].text(65536),
    )


def _byte_class(node: Node) -> model.ByteClass:
    fields = node.fields({"klass", "size"})
    return model.ByteClass(
        klass=_matching(fields["klass"], _CLASS, "a class name"), size=fields["size"].integer(0, MAX_U32)
    )
