"""Module values to JSON values; the counterpart of ``read_module``."""

from collections.abc import Sequence

from hpbuild.manifest import model
from hpbuild.manifest.left_out_form import write_left_out
from hpbuild.manifest.strict_json import JsonValue
from hpbuild.values import Digest, Interval


def write_module(module: model.Module) -> dict[str, JsonValue]:
    """Wire form of one module."""
    return {
        "path": module.path,
        "baseline": _pin(module.baseline),
        "fixed": _pin(module.fixed),
        "image": {
            "member": module.image.member,
            "size": module.image.size,
            "sha256": module.image.sha256.hex,
            "range": _interval(module.image.range),
        },
        "functions": [_function(function) for function in module.functions],
        "data": [_datum(datum) for datum in module.data],
        "redirections": [_redirection(redirection) for redirection in module.redirections],
        "pages": [{"rva": item.rva, "sha256": item.sha256.hex} for item in module.pages],
        "fixups": {
            "addr64": list(module.fixups.addr64),
            "rel32": list(module.fixups.rel32),
            "addr32nb": list(module.fixups.addr32nb),
        },
        "references": [
            [item.range.start, len(item.range), _digest(item.sha256)] for item in module.references
        ],
        "exclusions": [_exclusion(item) for item in module.exclusions],
        "findings": [
            {"code": item.code, "severity": item.severity, "place": item.place, "cause": item.cause}
            for item in module.findings
        ],
        "account": [{"klass": item.klass, "size": item.size} for item in module.account],
        **({"only": list(module.only)} if module.only else {}),
        **({"left_out": [write_left_out(item) for item in module.left_out]} if module.left_out else {}),
    }


def _exclusion(item: model.Exclusion) -> dict[str, JsonValue]:
    words: dict[str, JsonValue] = {"klass": item.klass, "place": item.place, "cause": item.cause}
    if item.klass != model.LINE_ONLY:
        return words
    return {**words, "fixed": _intervals(item.fixed), "baseline": _intervals(item.baseline)}


def _interval(interval: Interval) -> dict[str, JsonValue]:
    return {"rva": interval.start, "size": len(interval)}


def _intervals(intervals: Sequence[Interval]) -> list[JsonValue]:
    return [_interval(interval) for interval in intervals]


def _digest(digest: Digest | None) -> str | None:
    return digest.hex if digest is not None else None


def _pin(pin: model.Pin) -> dict[str, JsonValue]:
    return {
        "file_name": pin.file_name,
        "size": pin.size,
        "sha256": pin.sha256.hex,
        "authenticode": _digest(pin.authenticode),
        "sections": [
            {"name": item.name, "rva": item.rva, "size": item.size, "sha256": item.sha256.hex}
            for item in pin.sections
        ],
        "machine": pin.machine,
        "time_date_stamp": pin.time_date_stamp,
        "checksum": pin.checksum,
        "size_of_image": pin.size_of_image,
        "image_base": f"{pin.image_base:#x}",
        "pdb_guid": pin.pdb_guid,
        "pdb_age": pin.pdb_age,
        "version": pin.version,
    }


def _function(function: model.Function) -> dict[str, JsonValue]:
    return {
        "name": function.name,
        "reason": function.reason,
        "level": function.level,
        "cause": function.cause,
        "baseline": _intervals(function.baseline),
        "fixed": _intervals(function.fixed),
        "patch": _intervals(function.patch),
        "baseline_sha256": _digest(function.baseline_sha256),
        "fixed_sha256": function.fixed_sha256.hex,
    }


def _datum(datum: model.Datum) -> dict[str, JsonValue]:
    return {
        "name": datum.name,
        "reason": datum.reason,
        "kind": datum.kind,
        "cause": datum.cause,
        "baseline": _interval(datum.baseline) if datum.baseline is not None else None,
        "fixed": _interval(datum.fixed),
        "patch": _interval(datum.patch),
    }


def _redirection(redirection: model.Redirection) -> dict[str, JsonValue]:
    return {
        "function": redirection.function,
        "kind": redirection.kind,
        "entry": redirection.entry,
        "window": _interval(redirection.window),
        "old": redirection.old.hex(),
        "new": redirection.new.hex(),
    }
