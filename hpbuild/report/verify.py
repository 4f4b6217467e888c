"""The result of ``verify``: every check, every module, every signer, and the verdict."""

from collections.abc import Sequence

from hpbuild.errors import ExitStatus, Finding
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, finding, finding_blocks, start
from hpbuild.verify.checks import CheckResult
from hpbuild.verify.request import InMemory, Verification

MARKS = {"passed": "passed", "failed": "FAILED", "not_run": "not run"}
VERDICT_TONES = {"verified": Tone.GOOD, "failed": Tone.BAD, "not-applicable": Tone.WARN}


def document(packages: Sequence[Document], status: ExitStatus) -> Document:
    """The document of a run over any number of packages; ``status`` is its exit status. The verdict is
    that of the package which decided the status."""
    deciding = next((entry["verdict"] for entry in packages if entry["status"] == int(status)), "failed")
    return {**start("verify"), "verdict": deciding, "status": int(status), "packages": list(packages)}


def package(result: Verification) -> Document:
    """One package that was looked at. Names inside are as the package gives them."""
    return {
        "path": result.name,
        "sha256": result.sha256,
        "verdict": result.verdict.value,
        "status": int(result.exit),
        "authenticity": result.authenticity.value,
        "threshold": result.threshold,
        "lowest_tier": result.lowest_tier.value,
        "id": result.id,
        "product": result.product,
        "sequence": result.sequence,
        "advisories": list(result.advisories),
        "signers": [
            {
                "spki_sha256": signer.spki_sha256,
                "algorithm": signer.algorithm,
                "key_hint": signer.key_hint,
                "outcome": signer.outcome,
                "trusted": signer.trusted,
            }
            for signer in result.signers
        ],
        "modules": [
            {
                "path": module.path,
                "installed": None if module.installed is None else str(module.installed),
                "state": None if module.state is None else module.state.value,
                "tier": None if module.tier is None else module.tier.value,
                "memory": None if module.memory is None else _memory(module.memory),
            }
            for module in result.modules
        ],
        "checks": [_check(check) for check in result.checks],
        "findings": [finding(item) for item in result.findings],
    }


def unreadable(path: str, item: Finding) -> Document:
    """A package that could not even be read; nothing was checked, so it failed."""
    return {
        "path": path,
        "sha256": None,
        "verdict": "failed",
        "status": int(item.code.exit),
        "authenticity": "untrusted",
        "threshold": 0,
        "lowest_tier": None,
        "id": "",
        "product": "",
        "sequence": 0,
        "advisories": [],
        "signers": [],
        "modules": [],
        "checks": [],
        "findings": [finding(item)],
    }


def _memory(where: InMemory) -> Document:
    return {
        "source": where.source,
        "path": where.path,
        "base": f"{where.base:#x}",
        "moved": where.moved,
        "file_tier": None if where.file_tier is None else where.file_tier.value,
        "block": None if where.block is None else f"{where.block.start:#x}",
        "writable": where.writable,
        "unknown": [{"rva": place.start, "size": len(place)} for place in where.unknown],
    }


def _check(check: CheckResult) -> Document:
    return {
        "number": check.number,
        "name": check.name,
        "module": check.module,
        "status": check.status.value,
        "reason": check.reason,
        "facts": dict(check.facts),
        "findings": [finding(item) for item in check.findings],
    }


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """Package by package: the verdict, then what it rests on."""
    parts: list[Block] = []
    for entry in result["packages"]:
        parts += _package_blocks(entry, full=full)
    return parts


def _package_blocks(entry: Document, *, full: bool) -> list[Block]:
    verdict = Line(f"{entry['path']}: {entry['verdict']}", VERDICT_TONES.get(entry["verdict"], Tone.BAD))
    if not entry["checks"]:
        return [Heading("package"), verdict, *finding_blocks(entry["findings"])]
    parts: list[Block] = [Heading("package"), verdict, Pairs(_facts(entry)), *_limited(entry)]
    if entry["modules"]:
        rows = tuple(
            (
                module["path"],
                module["state"] or "not compared",
                module["tier"] or "-",
                _place(module),
            )
            for module in entry["modules"]
        )
        where = "in memory" if any(module["memory"] for module in entry["modules"]) else "installed file"
        parts += [Heading("modules"), Table(("module", "state", "identity", where), rows)]
    if entry["signers"]:
        signers = tuple(
            (
                signer["outcome"],
                signer["algorithm"] or "-",
                signer["spki_sha256"] or f"? ({signer['key_hint']})",
            )
            for signer in entry["signers"]
        )
        parts += [Heading("signatures"), Table(("outcome", "algorithm", "key (SPKI SHA-256)"), signers)]
    checks = tuple(
        (
            check["number"],
            MARKS[check["status"]],
            check["name"],
            check["module"] or "-",
            _remark(check, full=full),
        )
        for check in entry["checks"]
    )
    parts += [Heading("checks"), Table(("", "result", "check", "module", "remark"), checks)]
    findings = [item for check in entry["checks"] for item in check["findings"]] + entry["findings"]
    return parts + finding_blocks(findings)


def _place(module: Document) -> str:
    """The installed file, or where in a process the module lies, and what of it nobody could compare."""
    memory = module["memory"]
    if memory is None:
        return str(module["installed"] or "-")
    tier = memory["file_tier"]
    behind = f"its file is the baseline ({tier})" if tier else "its file is not known as the baseline"
    block = f"; new code at {memory['block']}" if memory["block"] else ""
    unknown = sum(place["size"] for place in memory["unknown"])
    return (
        f"{memory['path']} at {memory['base']} in {memory['source']}{block}; {behind}; not compared: "
        f"{memory['writable']} writable bytes, {unknown} that the loader wrote"
    )


def _limited(entry: Document) -> list[Block]:
    """The warning that a package is limited to a list of functions."""
    facts = [check["facts"] for check in entry["checks"] if "left out: parts" in check["facts"]]
    if not facts:
        return []
    left = f"{facts[0]['left out: parts']} parts and {facts[0]['left out: files']} files"
    text = f"not the whole fixed build: {left} are left out by choice; hpbuild inspect names them"
    return [Line(text, Tone.WARN)]


def _facts(entry: Document) -> tuple[tuple[str, str], ...]:
    vouched = {
        "trusted": "signed by trusted keys",
        "untrusted": "nobody who is trusted vouches for this package",
        "waived": "NOT CHECKED: unsigned packages are allowed",
    }
    return (
        ("id", f"{entry['id']} (sequence {entry['sequence']})"),
        ("product", str(entry["product"] or "-")),
        ("advisories", ", ".join(entry["advisories"]) or "-"),
        ("sha256", str(entry["sha256"])),
        ("origin", vouched[entry["authenticity"]]),
    )


def _remark(check: Document, *, full: bool) -> str:
    if check["reason"]:
        return str(check["reason"])
    facts = ", ".join(f"{name}: {value}" for name, value in check["facts"].items())
    return facts if full or check["status"] != "passed" else ""
