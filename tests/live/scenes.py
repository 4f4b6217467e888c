"""What the example libraries are asked to do: commands of `host.exe` and what they answer."""

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.live.wine import Host

Scene = tuple[str, ...]

STAGE: dict[str, Scene] = {
    "a C++ exception thrown and caught in a new function": (
        "call i thrown_in 4",
        "call i thrown_in 7",
    ),
    "a C++ exception of a type that is new to the function, thrown and caught in it": (
        "call i thrown_new 8",
        "call i thrown_new 7",
        "call i thrown_new 9",
        "call i number_thrown 91",
    ),
    "a C++ exception through a new function, which has scopes to leave": (
        "call i thrown_through 4",
        "call i thrown_through 10",
        "call i thrown_through 12",
        "call i scopes_left",
    ),
    "a C++ exception out of a new function into an old one": (
        "call i caught_outside 2",
        "call i caught_outside 3",
        "call i caught_whatever 3",
        "call i scopes_left",
    ),
    "a C++ exception of a type that is new to the function, out of it": (
        "call i caught_whatever 4",
        "call i caught_outside 4",
        "call i scopes_left",
    ),
    "a C++ exception out of the library": (
        "call i thrown_out 2",
        "call i thrown_out 3",
        "call i thrown_out 4",
        "call i thrown_out 9",
    ),
    "a C++ exception thrown again out of a new handler": (
        "call i thrown_again 5",
        "call i thrown_again 12",
        "call i scopes_left",
    ),
    "__except and __finally of a new function, with its filter": (
        "call i guarded &identity 1",
        "call i guarded &raise 0xe0000001",
        "call i guarded &raise 0xe0000002",
        "call i guarded &raise 0xe0000003",
        "call i finals_seen",
    ),
    "the processor's exception out of a new function": (
        "call i divided 10 5",
        "call i divided 10 0",
    ),
    "a switch with a jump table": tuple(f"call i switched {number}" for number in range(-1, 10)),
    "a switch with a table of RVAs": tuple(f"call u routed {number}" for number in range(6)),
    "a table of new constants": tuple(f"call s name_of {number}" for number in range(-1, 6)),
    "a constant table that changed, for functions that did not": (
        *(f"call u weight_of {number}" for number in range(8)),
        *(f"call u weight_of_all {number}" for number in range(8)),
    ),
    "new variables, with and without a value at the start": (
        *(f"call i counted {number}" for number in range(12)),
    ),
    "recursion": (
        "call q descended 8 &identity",
        "call q descended 2 &identity",
    ),
    "functions called through pointers that the library holds": (
        "call i operated 0 1 2",
        "call i operated 1 1 2",
        "call i operated_as_chosen 1 2",
    ),
    "a function pointer compared with a replaced function": (
        "take 0 added",
        "call u is_usual @0",
        "take 1 doubled",
        "call u is_usual @1",
        "call v usual",
        "keep 2",
        "call u is_usual @2",
        "call i @2 5 6",
    ),
    "a virtual function": ("call i square 5", "call i square -3"),
    "arguments on the stack": ("call q gathered 1 2 3 4 5 6",),
}
"""Scenes of `stage`: in each the fixed version gives another answer somewhere."""


def quoted(data: bytes) -> str:
    """Bytes as a text of the host's commands; a zero ends it there."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


def _put(buffer: int, data: bytes) -> str:
    return f"poke ${buffer} {data.hex()}"


def codec() -> Iterator[str]:
    """Coding there and back, with every codec, and what is said about it."""
    chance = random.Random(20)
    for name in ("runlength", "base64", "hex", "rot13"):
        for _ in range(12):
            plain = bytes(chance.choices(b"ab\0\x07xyz09=", k=chance.randrange(1, 24)))
            room = chance.randrange(48)
            yield _put(1, plain + bytes(24))
            for function in ("codec_encode", "codec_decode"):
                yield _put(2, b"." * 64)
                yield f'call i {function} "{name}" $1 {len(plain)} $2 {room}'
                yield "peek $2 64"
    for text in ("aGVsbG8=", "aGVsbG8", "aGVsbA==", "aGVs*", "a", "aGU", "aGVsbG8gd29ybGQ"):
        for room in (0, 3, 5, 40):
            yield _put(2, b"." * 64)
            yield f'call i codec_decode "base64" "{text}" {len(text)} $2 {room}'
            yield "peek $2 64"
    for runs in (b"\x08x", b"\x40y\x21z", b"\xffq", b"\x03a\x02", b"\x03"):
        for room in (0, 8, 64, 256):
            yield f'call i codec_decode "runlength" {quoted(runs)} {len(runs)} $2 {room}'
            yield "peek $2 256"
    for _ in range(60):
        program = bytes(chance.choice((chance.randrange(13), 3)) for _ in range(chance.randrange(1, 9)))
        yield _put(1, program)
        yield f"call u codec_transform $1 {len(program)} 1000003"
    for status in (0, 5, -1, -2, -3, -4, -5, -(1 << 31)):
        yield f"call s codec_status_text {status}"


def gadget() -> Iterator[str]:
    """Numbers in, numbers out; nothing that depends on the thread."""
    chance = random.Random(21)
    for threshold in (40, -3, 1000):
        yield f"call v gadget_set_threshold {threshold}"
        for _ in range(8):
            yield _put(1, chance.randbytes(48))
            yield f"call u gadget_weigh $1 {chance.randrange(48)}"
            rows = (struct.pack("<Ii", chance.randrange(9), chance.randrange(-50, 99)) for _ in range(6))
            yield _put(1, b"".join(rows))
            yield f"call i gadget_measure $1 {chance.randrange(4)}"
            value = chance.randrange(-60, 60)
            for name in ("gadget_lower_left", "gadget_lower_right", "gadget_enter"):
                yield f"call i {name} {value}"
        yield "call i gadget_lower_right -5"
        yield "call i gadget_depth"
        yield "call i gadget_threshold"


def throwing() -> Iterator[str]:
    """Exceptions of both kinds, and the tables of a library made for Microsoft's runtime."""
    for text in (
        "0",
        "42",
        "429496728",
        "4294967290",
        "4294967299",
        "42949672950",
        "9999999999999",
        "12x",
        "x",
        "",
    ):
        yield _put(2, b"." * 4)
        yield f'call i number_or_status "{text}" $2'
        yield "peek $2 4"
    for address in ("$3", "1", "2", "16", "4660"):
        for otherwise in (99, -1):
            yield f"call i read_or {address} {otherwise}"
    yield _put(4, bytes(range(64)))
    yield "call i copy_counted $5 $4 5"
    yield "peek $5 32"
    yield "call i copy_counted $5 16 5"
    for number in range(4):
        yield f"call s severity_name {number}"
    yield "call i area_of 0"
    yield "call i area_of 1"
    yield "call i scopes"
    yield "call u largest_number"


def snare() -> Iterator[str]:
    """What does not depend on the ids of process and thread, nor on how many threads have come and gone."""
    yield "call v snare_reset 1"
    yield "call u snare_gauge 100000"
    yield "call u snare_gauge 95000"
    for value in (0, 1, 5, 700):
        yield f"call u snare_outer {value}"
        yield f"call u snare_inner {value}"
    yield "call u snare_fail 5"
    yield "call u snare_visit"
    yield "call u snare_fail 1"
    for value in (1, 7):
        yield f"call v snare_reset {value}"
        yield "call u snare_limit"
        yield f"call u snare_go {value}"
    yield "call v snare_turn"
    yield "call u snare_go 0"


def twisted() -> Iterator[str]:
    """A new function whose address is taken; the old one gives a number that depends on the thread."""
    yield "call u snare_mix 0"


@dataclass(frozen=True, slots=True)
class Example:
    """A pair of example binaries below `testdata/bin`: where, which DLL, what it is asked.
    ``unseen``: the fixed version answers as the baseline does. ``steady``: another process with the same DLL
    gives the same answers."""

    folder: str
    library: str
    calls: Scene
    symbols: str = "auto"
    unseen: bool = False
    steady: bool = True

    def file(self, binaries: Path, side: str) -> Path:
        """The DLL of `baseline` or `fixed`."""
        return binaries / self.folder / side / f"{self.library}.dll"


_GADGET, _SNARE = tuple(gadget()), tuple(snare())
EXAMPLES = (
    Example(".", "codec", tuple(codec())),
    Example(".", "throwing", tuple(throwing())),
    Example("scenes", "stage", tuple(command for scene in STAGE.values() for command in scene)),
    *(
        Example(f"variants/{name}", "gadget", _GADGET, "none" if name == "type_layout" else "auto")
        for name in ("constant_table", "pad_jump", "removed", "static_var", "type_layout")
    ),
    *(
        Example(f"traps/{name}", "snare", _SNARE)
        for name in ("constant_object", "exports", "load_too", "mitigations", "thread_use")
    ),
    Example("traps/taken", "snare", tuple(twisted()), steady=False),
    *(Example(f"traps/{name}", "snare", _SNARE, unseen=True) for name in ("ending", "endless", "load_only")),
)
"""Every pair that gives a package. With its PDBs `type_layout` is refused; here no object outlives a call.
What `ending`, `endless` and `load_only` change is seen by a thread without end, or while the DLL loads."""


def with_symbols(examples: Sequence[Example]) -> Iterator[Example]:
    """Each example with the evidence it names and, where that is not the same, with none."""
    for example in examples:
        yield example
        if example.symbols != "none":
            yield replace(example, symbols="none")


def answers(host: Host, commands: Sequence[str]) -> list[str]:
    """What the host says to each command; addresses, which `take` and `keep` tell, are left out."""
    said = [host.ask(command) for command in commands]
    pairs = zip(commands, said, strict=True)
    return ["ok" if command.startswith(("take", "keep")) else answer for command, answer in pairs]
