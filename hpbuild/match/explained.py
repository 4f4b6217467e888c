"""What ``explanation`` says about one function. Values only."""

from hpbuild.dataclass import dataclass
from hpbuild.match.model import Change
from hpbuild.values import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an address leads to. ``kind`` is 'function', 'data', 'import', 'loader' or 'nothing'; ``name`` a
    symbol, export or import, '' when there is none; ``offset`` the distance from its start; ``content`` the
    begin of data, as text in quotes or as hexadecimal bytes."""

    rva: int
    section: str
    kind: str
    name: str
    offset: int
    content: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of code: RVA, bytes in hexadecimal, text; ``differs`` marks the first difference."""

    rva: int
    content: str
    text: str
    differs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A contiguous run of the function: where it lies on both sides, the level that paired it ('' when it is
    unpaired) and what came out: 'identical', 'code differs', 'reference differs', 'unwind information
    differs' or 'no counterpart'."""

    fixed: Interval
    baseline: Interval | None
    level: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two references in the same place whose targets are no counterparts. ``kind`` is that of the reference:
    'branch', 'call', 'lea', 'memory', 'absolute', 'image_base' or 'unwind'; the sites are RVAs of the fields.
    ``testimony`` says what speaks against the two, in words."""

    kind: str
    fixed_site: int
    baseline_site: int
    fixed: Place
    baseline: Place
    testimony: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything about one function. ``name`` is the fixed image's name (the baseline's when it is removed),
    ``asked`` what was asked for. ``line_only`` is True for a function that is called changed though nothing
    but line numbers differ in it. ``evidence`` says in words what ``level`` means, ``witnesses`` are
    functions that are the same in both images and refer to the two alike, ``witness_count`` how many there
    are. ``fixed_code`` and ``baseline_code`` show the first difference with its surroundings, empty when
    there is none. ``disagreement`` is the first reference whose ends are no counterparts. ``references``
    counts those of the fixed side."""

    asked: str
    name: str
    baseline_name: str
    change: Change
    line_only: bool
    fixed: tuple[Interval, ...]
    baseline: tuple[Interval, ...]
    level: str
    evidence: str
    reason: str
    parts: tuple[Part, ...]
    witnesses: tuple[str, ...]
    witness_count: int
    references: int
    fixed_code: tuple[Instruction, ...]
    baseline_code: tuple[Instruction, ...]
    disagreement: Disagreement | None
