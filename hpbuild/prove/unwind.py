"""Step 6: unwind records of identical functions in the baseline, of carried ones in the patch image.

Source: Microsoft Learn, "x64 exception handling" (RUNTIME_FUNCTION, UNWIND_INFO, scope table of
__C_specific_handler).
"""

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.claims import Claims, Rows
from hpbuild.prove.compare import Runs, Side, claimed_fields, compare, pointers
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.cursor import only_filler
from hpbuild.prove.language import cookie_words, language_size, scope_words, words
from hpbuild.prove.records import Flags, read_record, read_records
from hpbuild.prove.references import Numbers, Use, ascending, distinct, join
from hpbuild.prove.space import Space
from hpbuild.prove.unwind_alike import Pair, alike

_MAX_CHAIN = 32
_CONSTANT_FILTERS = (0, 1)
Table = tuple[Numbers, Numbers, Numbers]
"""Rows of an exception directory sorted by begin: begin, end, unwind record."""


@dataclass(slots=True)
class _Pairs:
    """Pairs of addresses to be judged together at the end, and pairs of records already compared.
    ``behind`` are pairs of language data that are compared as they lie behind their records; ``records`` are
    the fixed image's: one that begins where language data would be means that there is none."""

    behind: set[tuple[int, int]]
    records: frozenset[int]
    target: list[int] = field(default_factory=list)
    other: list[int] = field(default_factory=list)
    use: list[int] = field(default_factory=list)
    place: list[int] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)

    def add(self, target: int, other: int, use: Use, place: int) -> None:
        """One pair; ``place`` is the RVA of the fixed image's record."""
        self.target.append(target)
        self.other.append(other)
        self.use.append(use)
        self.place.append(place)


@dataclass(frozen=True, slots=True)
class Scene:
    """One comparison: ``runs`` of code, the table of the fixed image, the table and the spaces where the
    counterparts run. ``others`` are searched in order for a record. ``numbers`` are those handlers of the
    fixed image that take the place of a stack cookie."""

    runs: Runs
    here: Table
    there: Table
    fixed: Space
    others: tuple[Space, ...]
    judge: Correspondence
    carried: bool
    numbers: frozenset[int]


def unwind(scenes: tuple[Scene, ...], language: Runs, claims: Claims) -> Check:
    """Step 6 over the identical code (first scene) and the carried code (second). ``language`` is what
    ``carried_language`` says of the second."""
    recorder = Recorder("P6", "unwind records: functions compared")
    behind = set(zip(language.start.tolist(), (language.start + language.shift).tolist(), strict=True))
    for scene in scenes:
        _scene(recorder, scene, behind, claims.opaque)
        if scene.carried:
            side = Side(
                fixed=scene.fixed,
                other=scene.others[0],
                judge=scene.judge,
                carried=True,
                differs=codes.UNWIND_DIFFERS,
                refers=codes.UNWIND_REFERENCE,
                relocated=codes.RELOCATIONS_DIFFER,
            )
            fields = [pointers(language, scene.fixed.relocated), claimed_fields(language, claims.fields)]
            compare(recorder, side, language, join(fields))
    return recorder.done()


def carried_language(scene: Scene, data: Runs) -> Runs:
    """Runs of language data of the fixed image that the patch image has behind its unwind records.

    ``scene`` is that of the carried code; ``data`` are the carried data, which are compared elsewhere.
    """
    rows: dict[tuple[int, int], tuple[int, int, int, str]] = {}
    patch, records = scene.others[0], frozenset(scene.here[2].tolist())
    ordered = distinct(scene.here[2])
    _, run, row_here, row_there = _matched(scene)
    both = np.flatnonzero((row_here >= 0) & (row_there >= 0))
    known = read_records(scene.fixed, scene.here[2][row_here[both]])
    both = both[~known.sound | (known.data != 0)]  # surely no others have language data
    for number, row, other in zip(
        *(column[both].tolist() for column in (run, row_here, row_there)), strict=True
    ):
        here = read_record(scene.fixed, int(scene.here[2][row]))
        there = read_record(patch, int(scene.there[2][other]))
        if here is None or there is None or not here.data or here.data in records:
            continue
        after = int(np.searchsorted(ordered, here.data, side="right"))
        following = int(ordered[after]) if after < len(ordered) else 0
        size = language_size(scene.fixed, here.data, following, here.handler in scene.numbers)
        place = np.array([here.data], dtype=np.int64)
        if size and data.holding(place, 1)[0] < 0:
            key = here.data, there.data
            rows[key] = here.data, here.data + size, there.data, f"language data of {scene.runs.name(number)}"
    return Runs.of(list(rows.values()))


def _matched(scene: Scene) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Columns: address, run, row of the fixed image or -1, row of its counterpart or -1, for every row that
    begins in a run, and for each run's first byte."""
    starts, runs = scene.here[0], scene.runs
    held = runs.holding(starts, 1)
    at = np.concatenate([starts[held >= 0], runs.start])
    run = np.concatenate([held[held >= 0], np.arange(len(runs))])
    return at, run, _row_at(scene.here, at), _row_at(scene.there, at + runs.shift[run])


def _scene(recorder: Recorder, scene: Scene, behind: set[tuple[int, int]], opaque: Rows) -> None:
    pairs = _Pairs(behind, frozenset(scene.here[2].tolist()))
    at, run, row, other = _matched(scene)
    recorder.examined += len(at)
    holes = opaque[:, 0].astype(np.int64), opaque[:, 1].astype(np.int64)
    first, again = _once(at, run)  # most runs begin where a row does
    told = np.flatnonzero(~_agree(scene, run[first], row[first], other[first])[again])
    for index in told.tolist():
        _compare_rows(
            recorder,
            scene,
            pairs,
            holes,
            (int(at[index]), int(run[index]), int(row[index]), int(other[index])),
        )
    _judge(recorder, scene, pairs)


def _once(at: Numbers, run: Numbers) -> tuple[Numbers, Numbers]:
    """Indices of the pairs of both, of equal ones mostly one; and for every pair which of these it is."""
    order = ascending(at)
    at, run = at[order], run[order]
    new = np.append(True, (at[1:] != at[:-1]) | (run[1:] != run[:-1]))[: len(at)]
    again = np.empty_like(order)
    again[order] = np.cumsum(new) - 1
    return order[new], again


def _agree(scene: Scene, run: Numbers, row: Numbers, other: Numbers) -> Flags:
    """Which of the matched rows have no difference: neither side has a row, or both have the same, with
    records of which nothing has to be told. The others are compared one by one; so are those with a record
    that is not in the first of the other spaces, where it is looked for first."""
    result: Flags = (row < 0) & (other < 0)
    both = np.flatnonzero((row >= 0) & (other >= 0))
    begin, end, record = (column[row[both]] for column in scene.here)
    begin2, end2, record2 = (column[other[both]] for column in scene.there)
    shift = scene.runs.shift[run[both]]
    same = (begin + shift == begin2) & (end + shift == end2)
    both, record, record2 = both[same], record[same], record2[same]
    pair = Pair(
        fixed=scene.fixed,
        other=scene.others[0],
        judge=scene.judge,
        carried=scene.carried,
        numbers=scene.numbers,
        records=distinct(scene.here[2]),
    )
    result[both] = alike(pair, record, record2)
    return result


def _compare_rows(
    recorder: Recorder,
    scene: Scene,
    pairs: _Pairs,
    holes: tuple[Numbers, Numbers],
    matched: tuple[int, int, int, int],
) -> None:
    """One matched pair of rows of the exception directories, of which one may be missing."""
    address, number, row, other = matched
    if row < 0 and other < 0:
        return
    name, shift = scene.runs.name(number), int(scene.runs.shift[number])
    if row < 0 or other < 0:
        has = "no record in the fixed image, but" if row < 0 else "a record in the fixed image, but not"
        recorder.fail(codes.UNWIND_MISSING, name, f"{address:#x} has {has} at {address + shift:#x}")
        return
    begin, end, record = (int(column[row]) for column in scene.here)
    begin2, end2, record2 = (int(column[other]) for column in scene.there)
    if end2 == scene.runs.end[number] + shift and _only_data(holes, int(scene.runs.end[number]), end):
        end = end2 - shift
    filled = (begin + shift, end + shift) != (begin2, end2) and _behind_filler(
        scene, number, (begin, begin2), (record, record2)
    )
    if end + shift != end2 or (begin + shift != begin2 and not filled):
        cause = f"[{begin:#x}, {end:#x}) became [{begin2:#x}, {end2:#x})"
        recorder.fail(codes.UNWIND_DIFFERS, name, cause)
        return
    _compare_records(recorder, scene, pairs, (record, record2), 0)


def _behind_filler(scene: Scene, number: int, begins: tuple[int, int], records: tuple[int, int]) -> bool:
    """Do both rows begin with filler, in front of the run and of its counterpart? It may have another length
    on the other side when the record holds no place that counts from the row's begin."""
    start, shift = int(scene.runs.start[number]), int(scene.runs.shift[number])
    if scene.carried or not (begins[0] <= start and begins[1] <= start + shift):
        return False
    spaces = scene.fixed, scene.others[0]
    for space, begin, end in zip(spaces, begins, (start, start + shift), strict=True):
        if not only_filler(space.memory, begin - space.start, end - space.start):
            return False
    found = [read_record(space, rva) for space, rva in zip(spaces, records, strict=True)]
    return all(one is not None and not one.head[1] and not one.head[2] for one in found)


def _only_data(holes: tuple[Numbers, Numbers], start: int, end: int) -> bool:
    """Whether the runs of data in code fill ``[start, end)``: jump tables that MSVC puts behind the code of a
    function, within its row. The copy has them elsewhere."""
    low, high = holes
    at, row = start, int(np.searchsorted(high, start, side="right"))
    while at < end and row < len(low) and low[row] <= at:
        at, row = int(high[row]), row + 1
    return start < end <= at


def _row_at(table: Table, addresses: Numbers) -> Numbers:
    if not len(table[0]):
        return np.full(len(addresses), -1, dtype=np.int64)
    row = np.searchsorted(table[0], addresses, side="right") - 1
    return np.where((row >= 0) & (addresses < table[1][row]), row, -1)


def _compare_records(
    recorder: Recorder, scene: Scene, pairs: _Pairs, records: tuple[int, int], depth: int
) -> None:
    if records in pairs.seen:
        return
    pairs.seen.add(records)
    place = f"unwind record {records[0]:#x}"
    here = read_record(scene.fixed, records[0])
    there = next(filter(None, (read_record(space, records[1]) for space in scene.others)), None)
    if here is None or there is None or depth > _MAX_CHAIN:
        recorder.fail(codes.UNWIND_DIFFERS, place, f"cannot be read, here or at {records[1]:#x}")
        return
    if (here.head, here.codes) != (there.head, there.codes):
        cause = (
            f"{(here.head + here.codes).hex()} became {(there.head + there.codes).hex()} at {records[1]:#x}"
        )
        recorder.fail(codes.UNWIND_DIFFERS, place, cause)
        return
    if here.chained is not None and there.chained is not None:
        (begin, end, parent), (begin2, end2, parent2) = here.chained, there.chained
        pairs.add(begin, begin2, Use.BRANCH, records[0])
        if end - begin != end2 - begin2:
            recorder.fail(codes.UNWIND_DIFFERS, place, "the chained row has another length")
        _compare_records(recorder, scene, pairs, (parent, parent2), depth + 1)
    elif here.handler:
        pairs.add(here.handler, there.handler, Use.UNWIND, records[0])
        if here.data in pairs.records:
            return
        if here.handler in scene.numbers:
            _compare_cookies(recorder, scene, place, here.data, there.data)
        if (here.data, there.data) not in pairs.behind:
            pairs.add(here.data, there.data, Use.ACCESS, records[0])
        _compare_scopes(scene, pairs, here.data, there.data)


def _compare_cookies(recorder: Recorder, scene: Scene, place: str, data: int, other: int) -> None:
    """The place of a stack cookie is the same everywhere, whatever the claims say of its words."""
    space = next((space for space in scene.others if space.start <= other < space.end), scene.fixed)
    mine = cookie_words(scene.fixed, data)
    found = space.slice(other, len(mine)).tobytes()
    if mine != found:
        recorder.fail(
            codes.UNWIND_DIFFERS, place, f"the stack cookie's place {mine.hex()} became {found.hex()}"
        )


def _compare_scopes(scene: Scene, pairs: _Pairs, data: int, other: int) -> None:
    """Add the addresses of a scope table of __C_specific_handler, if the language data is one: the claims
    need not have named its fields."""
    scopes = scope_words(scene.fixed, data)
    space = next((space for space in scene.others if space.start <= other < space.end), scene.fixed)
    found = words(space, other + 4, len(scopes))
    for index, (value, value2) in enumerate(zip(scopes, found, strict=False)):
        if not (index % 4 >= 2 and value in _CONSTANT_FILTERS and value == value2):
            behind = index % 4 == 1
            pairs.add(value - behind, value2 - behind, Use.ACCESS if index % 4 < 2 else Use.UNWIND, data)


def _judge(recorder: Recorder, scene: Scene, pairs: _Pairs) -> None:
    target, other = np.array(pairs.target, dtype=np.int64), np.array(pairs.other, dtype=np.int64)
    use = np.array(pairs.use, dtype=np.int64)
    for index in np.flatnonzero(~scene.judge.right(target, other, use, scene.carried)).tolist():
        cause = scene.judge.explain(pairs.target[index], pairs.other[index], pairs.use[index], scene.carried)
        recorder.fail(codes.UNWIND_REFERENCE, f"unwind record {pairs.place[index]:#x}", cause)
