"""What the courier answers: one JSON object a line. ``agent/README.md`` lists the fields.

The answer is made inside the process that is patched, so it is read like anything else that comes from
outside: bounded, typed, and nothing in it is believed to be true of the process but what it says.
"""

import json
from collections.abc import Mapping
from typing import Final

from hpbuild.codes import live as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding, HpbuildError

PROTOCOL: Final = 1
MAX_LINE: Final = 1 << 20
"""Bytes of one answer."""
RESULTS: Final = ("hello", "status", "applied", "already-applied", "replaced", "reverted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long threads were kept, in nanoseconds; 0 where nobody was."""

    count: int = 0
    longest_ns: int = 0
    median_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageState:
    """A package that the command was about, or that is active."""

    id: str
    product: str
    sequence: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleState:
    """Where the new code of one module lies. ``package`` indexes the reply's packages."""

    name: str
    package: int
    base: int
    block: int
    size: int
    delta: int
    redirections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. ``ok`` false: ``error`` is a slug of ``codes.live.SLUGS``, ``module``, ``function`` and
    ``detail`` say where and why, '' where that says nothing. ``waits`` are threads that came to a page while
    it was being written, ``looks`` threads that were stopped for a look at their instruction pointer;
    ``flips`` counts pages made writable and back; ``commit_ns`` is the time from the first byte written to
    the last, ``total_ns`` that of the whole command. ``resident``: the agent lies in the process."""

    ok: bool
    result: str = ""
    error: str = ""
    module: str = ""
    function: str = ""
    detail: str = ""
    resident: bool = False
    phase: str = ""
    packages: tuple[PackageState, ...] = ()
    modules: tuple[ModuleState, ...] = ()
    waits: Times = Times()
    looks: Times = Times()
    flips: int = 0
    commit_ns: int = 0
    total_ns: int = 0
    commands: int = 0
    protocol: int = 0

    def finding(self, place: str) -> Finding:
        """The refusal this reply stands for; ``place`` when it names no module. ValueError when ``ok``."""
        if self.ok:
            raise ValueError("the command succeeded")
        where = self.module or place
        return Finding(
            codes.SLUGS[self.error], f"{where}, {self.function}" if self.function else where, self.detail
        )


def parse_reply(line: bytes) -> Reply:
    """The answer on ``line``. Raises HpbuildError HP7330 for anything that is not one."""
    if len(line) > MAX_LINE:
        raise _bad(f"{len(line)} bytes on one line")
    try:
        document = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _bad("it is no JSON text") from None
    fields = _Fields(document)
    reply = Reply(
        ok=fields.flag("ok", needed=True),
        result=fields.text("result"),
        error=fields.text("error"),
        module=fields.text("module"),
        function=fields.text("function"),
        detail=fields.text("detail"),
        resident=fields.flag("resident"),
        phase=fields.text("phase"),
        packages=tuple(_package(item) for item in fields.items("packages")),
        modules=tuple(_module_state(item) for item in fields.items("modules")),
        waits=_times(fields, "waits"),
        looks=_times(fields, "looks"),
        flips=fields.number("flips"),
        commit_ns=fields.number("commit_ns"),
        total_ns=fields.number("total_ns"),
        commands=fields.number("commands"),
        protocol=fields.number("protocol"),
    )
    _check(reply)
    return reply


def _check(reply: Reply) -> None:
    if reply.ok and reply.result not in RESULTS:
        raise _bad(f"success as {reply.result[:64]!r}")
    if not reply.ok and reply.error not in codes.SLUGS:
        raise _bad(f"failure as {reply.error[:64]!r}")
    if any(module.package >= len(reply.packages) for module in reply.modules):
        raise _bad("a module of no package")


class _Fields:
    """An object of the answer, its fields read by type."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise _bad("an object is missing")
        self._fields: Mapping[str, object] = value

    def flag(self, name: str, *, needed: bool = False) -> bool:
        value = self._fields.get(name, None if needed else False)
        if not isinstance(value, bool):
            raise _bad(f"{name} is not true or false")
        return value

    def text(self, name: str) -> str:
        value = self._fields.get(name, "")
        if not isinstance(value, str):
            raise _bad(f"{name} is no text")
        return value

    def number(self, name: str) -> int:
        value = self._fields.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
            raise _bad(f"{name} is no number")
        return value

    def address(self, name: str) -> int:
        text = self.text(name)
        if not text.startswith("0x") or not 3 <= len(text) <= 18 or set(text[2:]) - set("0123456789abcdef"):
            raise _bad(f"{name} is no address")
        return int(text, 16)

    def items(self, name: str) -> list[object]:
        value = self._fields.get(name, [])
        if not isinstance(value, list):
            raise _bad(f"{name} is no list")
        return value

    def inner(self, name: str) -> "_Fields":
        return _Fields(self._fields.get(name, {}))


def _package(item: object) -> PackageState:
    fields = _Fields(item)
    return PackageState(
        id=fields.text("id"),
        product=fields.text("product"),
        sequence=fields.number("sequence"),
        sha256=fields.text("sha256"),
    )


def _module_state(item: object) -> ModuleState:
    fields = _Fields(item)
    return ModuleState(
        name=fields.text("name"),
        package=fields.number("package"),
        base=fields.address("base"),
        block=fields.address("block"),
        size=fields.number("size"),
        delta=fields.number("delta"),
        redirections=fields.number("redirections"),
    )


def _times(fields: _Fields, name: str) -> Times:
    inner = fields.inner(name)
    return Times(
        count=inner.number("count"),
        longest_ns=inner.number("longest_ns"),
        median_ns=inner.number("median_ns"),
    )


def _bad(cause: str) -> HpbuildError:
    return HpbuildError(codes.BAD_REPLY, "the agent's answer", cause)
