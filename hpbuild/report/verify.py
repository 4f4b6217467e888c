"""The result of ``verify``: every check, every module, every signer, and the verdict."""

from collections.abc import Sequence

from hpbuild.bundle.statement import reverts_document
from hpbuild.errors import ExitStatus, Finding
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, finding, finding_blocks, start
from hpbuild.values import moment_text
from hpbuild.verify.checks import CheckResult
from hpbuild.verify.request import InMemory, Signer, Verification

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
        "statement_sha256": result.statement_sha256 or None,
        "policy_sha256": result.policy_sha256 or None,
        "time": moment_text(result.time),
        "recorded": False,
        "verdict": result.verdict.value,
        "status": int(result.exit),
        "authenticity": result.authenticity.value,
        "threshold": result.threshold,
        "lowest_tier": result.lowest_tier.value,
        "id": result.id,
        "product": result.product,
        "sequence": result.sequence,
        "advisories": list(result.advisories),
        "supersedes": list(result.supersedes),
        "expiry": result.expiry,
        "reverts": None if result.reverts is None else reverts_document(result.reverts),
        "signers": [_signer(signer) for signer in result.signers],
        "modules": [
            {
                "path": module.path,
                "installed": None if module.installed is None else str(module.installed),
                "state": None if module.state is None else module.state.value,
                "tier": None if module.tier is None else module.tier.value,
                "sha256": module.sha256 or None,
                "memory": None if module.memory is None else _memory(module.memory),
            }
            for module in result.modules
        ],
        "checks": [_check(check) for check in result.checks],
        "findings": [finding(item) for item in result.findings],
    }


def unreadable(path: str, item: Finding, sha256: str | None = None) -> Document:
    """A package that could not be read, or only its bytes, which have the digest ``sha256``; nothing was
    checked, so it failed."""
    return {
        "path": path,
        "sha256": sha256,
        "statement_sha256": None,
        "policy_sha256": None,
        "time": None,
        "recorded": False,
        "verdict": "failed",
        "status": int(item.code.exit),
        "authenticity": "untrusted",
        "threshold": 0,
        "lowest_tier": None,
        "id": "",
        "product": "",
        "sequence": 0,
        "advisories": [],
        "supersedes": [],
        "expiry": "",
        "reverts": None,
        "signers": [],
        "modules": [],
        "checks": [],
        "findings": [finding(item)],
    }


def _signer(signer: Signer) -> Document:
    time = signer.signing_time
    return {
        "spki_sha256": signer.spki_sha256,
        "algorithm": signer.algorithm,
        "key_hint": signer.key_hint,
        "outcome": signer.outcome,
        "trusted": signer.trusted,
        "role": signer.role,
        "name": signer.name,
        "certificate": signer.certificate,
        "signing_time": None if time is None else moment_text(time),
        "timestamp_authority": signer.timestamp_authority,
        "reason": None if signer.reason is None else finding(signer.reason),
        "remarks": [finding(item) for item in signer.remarks],
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
    parts += _signature_blocks(entry["signers"])
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


def _signature_blocks(signers: Sequence[Document]) -> list[Block]:
    """Who signed, in which role, and why a signature has no vote."""
    if not signers:
        return []
    columns = ("outcome", "vote", "key or identity", "signed at", "algorithm", "key (SPKI SHA-256)")
    rows = tuple(
        (
            signer["outcome"],
            signer["role"] if signer["trusted"] else "none",
            signer["name"] or (f"? ({signer['certificate']})" if signer["certificate"] else "-"),
            signer["signing_time"] or "-",
            signer["algorithm"] or "-",
            signer["spki_sha256"] or f"? ({signer['key_hint']})",
        )
        for signer in signers
    )
    parts: list[Block] = [Heading("signatures"), Table(columns, rows)]
    for signer in signers:
        if signer["certificate"] and signer["name"]:
            parts.append(Line(f"  {signer['name']}: certificate of {signer['certificate']}"))
        if signer["timestamp_authority"]:
            parts.append(Line(f"  {signer['signing_time']}: time stamp of {signer['timestamp_authority']}"))
        noted = [signer["reason"]] if signer["reason"] else []
        for item in (*noted, *signer["remarks"]):
            text = f"  {item['code']} {item['place']}: {item['title']}: {item['cause']}"
            parts.append(Line(text, Tone.WARN))
    return parts


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
        *_line(entry),
        ("product", str(entry["product"] or "-")),
        ("advisories", ", ".join(entry["advisories"]) or "-"),
        ("sha256", str(entry["sha256"])),
        ("origin", vouched[entry["authenticity"]]),
        ("judged at", str(entry["time"])),
        *((("policy", str(entry["policy_sha256"])),) if entry["policy_sha256"] else ()),
        *((("state", "recorded as accepted"),) if entry["recorded"] else ()),
    )


def _line(entry: Document) -> list[tuple[str, str]]:
    """What the package says about its release line, where it says something."""
    reverts = entry["reverts"]
    taken = f"{reverts['id']} (sequence {reverts['sequence']}): {reverts['reason']}" if reverts else ""
    rows = (
        ("supersedes", ", ".join(entry["supersedes"])), ("takes back", taken), ("expires", entry["expiry"]),
    )  # fmt: skip
    return [(name, text) for name, text in rows if text]


def _remark(check: Document, *, full: bool) -> str:
    if check["reason"]:
        return str(check["reason"])
    facts = ", ".join(f"{name}: {value}" for name, value in check["facts"].items())
    return facts if full or check["status"] != "passed" else ""
