"""The closure proof of one module: all steps in order, and the document they make."""

from collections.abc import Callable
from functools import partial

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.pe.unwind import runtime_functions
from hpbuild.prove.ahead import Ahead, Unpatched
from hpbuild.prove.aside import aside
from hpbuild.prove.checks import Check, State, not_run
from hpbuild.prove.claims import Claims, check_claims
from hpbuild.prove.code import Read, carried_code
from hpbuild.prove.compare import Runs
from hpbuild.prove.cookies import number_handlers
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.coverage import account, coverage
from hpbuild.prove.data import data
from hpbuild.prove.native import native_table
from hpbuild.prove.patch import Placed, nothing_else, placement
from hpbuild.prove.references import Numbers, ascending
from hpbuild.prove.result import Proof as Proof
from hpbuild.prove.result import ProofSummary
from hpbuild.prove.unwind import Scene, Table, carried_language, unwind
from hpbuild.values import Interval

Progress = Callable[[str, str, int, int], None]
"""(stage, subject, done, total)."""

Elsewhere = Callable[[Claims, Module, int], Callable[[], Unpatched]]
"""Begins with ``Ahead.unpatched`` in another process; gives a function for its result, to be called once."""
_STEPS = 9
_LARGE = 4 << 20
"""File bytes from which on what needs no patch image is worth a process of its own."""


def prove_module(
    claims: Claims,
    module: Module,
    patch: bytes,
    baseline: Image,
    fixed: Image,
    progress: Progress,
    *,
    pinned: bool = False,
    elsewhere: Elsewhere | None = None,
) -> Proof:
    """Show that ``baseline`` with the patch image ``patch`` (file bytes) is ``fixed``, as ``module`` says.
    ``pinned``: the digests of both files in ``module`` were computed of these images just now. ``elsewhere``
    does the steps that need no patch image;
    without it a process of its own does when it is worth one.

    Failed steps are in the result. Raises HpbuildError: WRONG_IMAGES when the images are not those of the
    manifest, MALFORMED_CLAIMS, and HP1xxx for images whose tables cannot be read.
    """
    for what, image, pin in (("baseline", baseline, module.baseline), ("fixed", fixed, module.fixed)):
        if not pinned and image.data.digest() != pin.sha256:
            raise HpbuildError(
                codes.WRONG_IMAGES, f"{module.path}, {what}", f"its SHA-256 is not {pin.sha256.hex}"
            )
    check_claims(claims, fixed, baseline)
    progress("prove", module.path, 0, _STEPS)
    first, placed = placement(module, patch, baseline)
    if placed is None:
        return _unplaced(claims, module, first)
    if elsewhere is not None:
        unpatched = elsewhere(claims, module, placed.delta)
        return _steps(claims, module, placed, Ahead.of(fixed, baseline), first, progress, unpatched)
    known = Ahead.of(fixed, baseline)
    begin = partial(known.unpatched, claims, module, placed.delta)
    with aside(begin, min(len(fixed.data), len(baseline.data)) >= _LARGE) as unpatched:
        return _steps(claims, module, placed, known, first, progress, unpatched)


def _steps(
    claims: Claims,
    module: Module,
    placed: Placed,
    known: Ahead,
    first: Check,
    progress: Progress,
    unpatched: Callable[[], Unpatched],
) -> Proof:
    fixed, baseline, here, there = known.fixed, known.baseline, known.here, known.there
    judge = known.judge(claims, module, placed.delta)
    done: list[Check] = []

    def step(check: Check) -> None:
        done.append(check)
        progress("prove", module.path, 1 + len(done), _STEPS)

    scenes = _scenes(claims, module, placed, known, judge)
    data_runs = Runs.of([(d.fixed.start, d.fixed.end, 0, d.name) for d in module.data])
    language = carried_language(scenes[1], data_runs)
    rows = list(zip(language.start.tolist(), language.end.tolist(), language.shift.tolist(), strict=True))
    copies = [
        Interval(start + shift - placed.delta, end + shift - placed.delta) for start, end, shift in rows
    ]
    step(coverage(claims, module, fixed, known.tables[0], [Interval(start, end) for start, end, _ in rows]))
    carried, more = carried_code(claims, module, fixed, here, placed.space, placed.delta, judge)
    step(carried)
    step(data(claims, module, (fixed, baseline), (here, there, placed.space), placed.delta, judge))
    step(unwind(scenes, language, claims))
    step(nothing_else(module, placed, (fixed, baseline), _in_use(claims, module), copies))
    step(native_table(module, placed.image, baseline))
    found = unpatched()
    others = [check for check in (found.remaining, found.left_out, found.lines) if check is not None]
    for check in (found.identical, *others):
        step(check)
    checks = [first, done[0], found.identical, *done[1:6], *others]
    read = found.read
    total = Read(read.instructions + more.instructions, read.references + more.references)
    summary = _summary(claims, module, placed, total)
    return Proof(
        path=module.path,
        ok=_ok(checks),
        checks=tuple(checks),
        summary=summary,
        only=module.only,
        left_out=module.left_out,
    )


def _ok(checks: list[Check]) -> bool:
    """Nothing failed; the patch image, the coverage and the account of the patch image were examined."""
    ran = all(check.state is State.PASSED for check in checks if check.id in ("P1", "P2", "P7", "P9"))
    return ran and all(check.state is not State.FAILED for check in checks)


def _scenes(
    claims: Claims, module: Module, placed: Placed, known: Ahead, judge: Correspondence
) -> tuple[Scene, ...]:
    spaces = known.here, known.there
    here, there = _table(known.fixed), _table(known.baseline)
    copies = [
        (part.start, part.end, copy.start + placed.delta, function.name)
        for function in module.functions
        for part, copy in zip(function.fixed, function.patch, strict=False)
        if part.end <= known.fixed.size_of_image
    ]
    claimed, carried = Runs.claimed(claims.code, "code at"), Runs.of(copies)
    numbers = number_handlers(spaces[0], here[2])
    table, both = placed.runtime_functions(), (placed.space, spaces[1])
    return (
        Scene(claimed, here, there, spaces[0], (spaces[1],), judge, False, numbers),
        Scene(carried, here, table, spaces[0], both, judge, True, numbers),
    )


def _table(image: Image) -> Table:
    rows = runtime_functions(image)
    return rows.begin.astype(np.int64), rows.end.astype(np.int64), rows.unwind.astype(np.int64)


def _in_use(claims: Claims, module: Module) -> Numbers:
    """(start, end) in the baseline of all code and data that stays, by start."""
    rows = np.concatenate([claims.code, claims.data]).astype(np.int64)
    kept = [number for item in module.left_out for number in item.baseline]
    runs = np.column_stack((rows[:, 2], rows[:, 2] + rows[:, 1] - rows[:, 0]))
    runs = np.concatenate([runs, np.array(kept, dtype=np.int64).reshape(-1, 2)])
    return runs[ascending(runs[:, 0])]


def _unplaced(claims: Claims, module: Module, first: Check) -> Proof:
    why = "the patch image could not be placed"
    rest = (
        ("P2", "every byte of the fixed image has a class: bytes"),
        ("P3", "identical code: fragments and references checked"),
        ("P4", "carried code: fragments and references checked"),
        ("P5", "identical and carried data: runs compared"),
        ("P6", "unwind records: functions compared"),
        ("P7", "nothing else in the patch image, redirections: bytes accounted"),
        ("P8", "native hotpatch table agrees with the manifest: records compared"),
        ("P9", "everything else is equal or declared: items compared"),
    )
    checks = (first, *(not_run(identifier, title, why) for identifier, title in rest))
    return Proof(
        path=module.path,
        ok=False,
        checks=checks,
        summary=_summary(claims, module, None, Read(0, 0)),
        only=module.only,
        left_out=module.left_out,
    )


def _summary(claims: Claims, module: Module, placed: Placed | None, read: Read) -> ProofSummary:
    return ProofSummary(
        identical_fragments=len(claims.code),
        carried_functions=len(module.functions),
        carried_data=len(module.data),
        instructions=read.instructions,
        references=read.references,
        account=account(claims, module),
        delta=placed.delta if placed else 0,
        image_base=placed.space.image_base if placed else 0,
    )
