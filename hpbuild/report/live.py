"""The results of ``apply --pid``, ``revert --pid`` and ``status --pid``."""

from collections.abc import Sequence

from hpbuild.apply.live.journal import Journal, JournalPackage, Stops
from hpbuild.apply.live.protocol import Reply, Times
from hpbuild.apply.live.result import LiveModule, LiveResult
from hpbuild.apply.live.standing import Standing
from hpbuild.errors import ExitStatus
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, counted, finding, finding_blocks, start

TONES = {
    "applied": Tone.GOOD,
    "replaced": Tone.GOOD,
    "already-applied": Tone.GOOD,
    "reverted": Tone.GOOD,
    "old": Tone.PLAIN,
    "new": Tone.GOOD,
    "busy": Tone.WARN,
}


def document(command: str, path: str, result: LiveResult) -> Document:
    """The document of ``apply --pid`` or ``revert --pid`` of the package file ``path``."""
    before = result.before
    return {
        **start("live"),
        "command": command,
        "verdict": result.verdict.value,
        "status": int(result.status),
        "pid": result.pid,
        "windows_pid": result.windows_pid,
        "path": path,
        "sha256": None if before is None else before.sha256,
        "id": result.id,
        "product": result.product,
        "sequence": result.sequence,
        "authenticity": None if before is None else before.authenticity.value,
        "modules": [_module(module) for module in result.modules],
        "seconds": round(result.seconds, 6),
        **_stops(result.reply),
        "findings": [finding(item) for item in result.findings],
    }


def every_document(pid: int, windows_pid: int, journal: Journal, reply: Reply, seconds: float) -> Document:
    """The document of ``revert --all --pid``; ``journal`` is what was in effect before."""
    return {
        **start("live"),
        "command": "revert",
        "verdict": reply.result,
        "status": int(ExitStatus.YES),
        "pid": pid,
        "windows_pid": windows_pid,
        "path": None,
        "sha256": None,
        "id": ", ".join(item.id for item in journal.packages),
        "product": "",
        "sequence": 0,
        "authenticity": None,
        "modules": [],
        "seconds": round(seconds, 6),
        **_stops(reply),
        "findings": [],
    }


def _module(module: LiveModule) -> Document:
    here = module.loaded
    return {
        "path": module.path,
        "loaded": here is not None,
        "file": None if here is None or here.file is None else str(here.file),
        "base": None if here is None else f"{here.base:#x}",
        "before": module.before or None if here else "not-loaded",
        "after": module.after or None if here else "not-loaded",
        "block": f"{module.block:#x}" if module.block else None,
        "delta": module.delta,
        "redirections": module.redirections,
    }


def _stops(reply: Reply | None) -> Document:
    """Microseconds that threads of the program were kept; None when nothing was done."""
    if reply is None:
        return {"commit_us": None, "waits": None, "looks": None}
    return {"commit_us": micro(reply.commit_ns), "waits": times(reply.waits), "looks": times(reply.looks)}


def times(value: Times | Stops) -> Document:
    """Counts and microseconds. A median is known to about a tenth, so it may come out above the longest."""
    return {
        "count": value.count,
        "longest_us": micro(value.longest_ns),
        "median_us": micro(min(value.median_ns, value.longest_ns)),
    }


def micro(nanoseconds: int) -> float:
    """Microseconds, three digits behind the point."""
    return round(nanoseconds / 1000, 3)


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """The verdict, then module by module where the new code lies, and what the program noticed."""
    what = result["path"] or "every package"
    tone = TONES.get(result["verdict"], Tone.BAD)
    parts: list[Block] = [
        Line(f"{what}: {result['verdict']}", tone),
        Pairs(
            (
                ("process", f"{result['pid']} (Windows process id {result['windows_pid']})"),
                (
                    "package",
                    f"{result['id'] or '-'}"
                    + (f" (sequence {result['sequence']})" if result["path"] else ""),
                ),
                *_origin(result),
                *stop_rows(result),
            )
        ),
    ]
    if result["modules"]:
        columns = ("module", "before", "after", "base", "new code at", "redirected")
        rows = tuple(_row(module) for module in result["modules"])
        parts += [Heading("modules"), Table(columns, rows, frozenset({5}))]
    return parts + finding_blocks(result["findings"])


def _origin(result: Document) -> tuple[tuple[str, str], ...]:
    words = {
        "trusted": "signed by trusted keys",
        "waived": "NOT CHECKED: unsigned packages are allowed",
        "untrusted": "nobody who is trusted vouches for this package",
    }
    known = result["authenticity"]
    return (("origin", words[known]),) if known and result["command"] == "apply" else ()


def stop_rows(result: Document) -> tuple[tuple[str, str], ...]:
    """Rows about what threads of the program noticed."""
    if result["waits"] is None:
        return ()
    rows = [("waits of threads", described(result["waits"]))]
    if result["looks"]["count"]:
        rows.append(("looks at threads", described(result["looks"])))
    return (("written in", f"{result['commit_us']:,.0f} µs"), *rows) if "commit_us" in result else tuple(rows)


def described(value: Document) -> str:
    """Counts and times in words."""
    if not value["count"]:
        return "none"
    return f"{value['count']:,}, longest {value['longest_us']:,.1f} µs, median {value['median_us']:,.1f} µs"


def _row(module: Document) -> tuple[str, ...]:
    count = f"{module['redirections']:,}" if module["redirections"] else "-"
    return (
        module["path"],
        module["before"] or "-",
        module["after"] or "-",
        module["base"] or "-",
        module["block"] or "-",
        count,
    )


def status_document(standing: Standing, path: str | None) -> Document:
    """The document of ``status --pid``; ``path`` is the package that was asked about."""
    journal, verification = standing.journal, standing.verification
    return {
        **start("status"),
        "verdict": standing.verdict.value,
        "status": int(standing.status),
        "pid": standing.pid,
        "windows_pid": standing.windows_pid,
        "program": standing.program,
        "path": path,
        "id": None if verification is None else verification.id,
        "agent": None if journal is None else _agent(journal),
        "packages": [] if journal is None else [_package(item) for item in journal.packages],
        "modules": [{"path": name, "state": state} for name, state in standing.modules],
        "findings": [finding(item) for item in standing.findings],
    }


def _agent(journal: Journal) -> Document:
    last = journal.last_error
    return {
        "protocol": journal.protocol,
        "settled": journal.settled,
        "phase": journal.phase,
        "at_work": journal.pending or None,
        "commands": journal.commands,
        "waits": times(journal.waits),
        "looks": times(journal.looks),
        "last_error": {
            "error": last.slug,
            "module": last.module,
            "function": last.function,
            "detail": last.detail,
        }
        if last.slug
        else None,
    }


def _package(item: JournalPackage) -> Document:
    return {
        "id": item.id,
        "product": item.product,
        "sequence": item.sequence,
        "sha256": item.bundle_sha256,
        "modules": [
            {
                "name": module.name,
                "base": f"{module.base:#x}",
                "block": f"{module.block:#x}",
                "size": module.block_size,
                "delta": module.delta,
                "redirections": module.redirections,
            }
            for module in item.modules
        ],
    }


def status_blocks(result: Document) -> list[Block]:
    """What is in effect, and what the agent remembers."""
    agent = result["agent"]
    rows = [
        ("process", f"{result['pid']} (Windows process id {result['windows_pid']})"),
        ("program", result["program"]),
        ("agent", "not in the process" if agent is None else _agent_words(agent)),
    ]
    if agent is not None:
        rows += [
            ("waits of threads", described(agent["waits"])),
            ("looks at threads", described(agent["looks"])),
        ]
        if agent["last_error"]:
            error = agent["last_error"]
            rows.append(("last failure", " ".join(part for part in error.values() if part)))
    line = Line(
        f"process {result['pid']}: {WORDS[result['verdict']]}", TONES.get(result["verdict"], Tone.WARN)
    )
    parts: list[Block] = [line, Pairs(tuple(rows)), *_package_blocks(result["packages"])]
    if result["modules"]:
        states = tuple((module["path"], module["state"]) for module in result["modules"])
        parts += [Heading(f"package {result['id']}"), Table(("module", "state"), states)]
    return parts + finding_blocks(result["findings"])


WORDS = {
    "old": "no package is in effect",
    "new": "patched",
    "busy": "a command is at work",
    "other": "another package of the product is in effect",
    "conflict": "it does not hold what its journal or the package says",
    "not-loaded": "none of the package's modules is loaded",
}


def _agent_words(agent: Document) -> str:
    doing = f"{agent['phase']} {agent['at_work'] or ''}".strip()
    return f"{doing}, {counted(agent['commands'], 'command')} so far"


def _package_blocks(packages: Sequence[Document]) -> list[Block]:
    rows = tuple(
        (
            f"{item['id']} (sequence {item['sequence']})",
            module["name"],
            module["base"],
            module["block"],
            f"{module['redirections']:,}",
        )
        for item in packages
        for module in item["modules"]
    )
    columns = ("package", "module", "base", "new code at", "redirected")
    return [Heading("in effect"), Table(columns, rows, frozenset({4}))] if rows else []
