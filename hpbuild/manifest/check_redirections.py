"""Redirections of a module: one for each replaced function, writing its jump and nothing else.

The two kinds are those of the design (section 6); the instructions are Intel's ``JMP rel32`` (E9) and
``JMP rel8`` (EB), Intel 64 manual, volume 2. The bytes are fixed, so no decoder is needed.
"""

from collections import Counter
from collections.abc import Iterator

from hpbuild.codes import manifest as codes
from hpbuild.errors import Finding
from hpbuild.manifest.model import Module, Redirection
from hpbuild.manifest.ranges import overlaps, range_defect
from hpbuild.values import Interval

NEAR_JUMP = 5
SHORT_JUMP_BACK = b"\xeb\xf9"
"""From the entry to the near jump that ends there: 2 - 7 = -5."""


def redirection_findings(module: Module, place: str) -> Iterator[Finding]:
    """Contradictions among the redirections of ``module``, at ``place`` (HP4115, HP4120 to HP4122)."""
    for index, redirection in enumerate(module.redirections):
        yield from _one(redirection, module, f"{place}.redirections[{index}]")
    for left, right in overlaps(redirection.window for redirection in module.redirections):
        yield Finding(codes.OVERLAP, f"{place}.redirections", f"the windows {left} and {right} overlap")
    counts = Counter(redirection.function for redirection in module.redirections)
    for index, function in enumerate(module.functions):
        wanted = 0 if function.reason in ("added", "handler") else 1
        if counts[index] != wanted:
            name = f"{function.name[:200]!r} ({function.reason})"
            cause = f"{counts[index]} redirections of {name}, {wanted} is needed"
            yield Finding(codes.REDIRECTION_COUNT, f"{place}.functions[{index}]", cause)


def written(redirection: Redirection) -> Interval:
    """RVAs of the bytes that the jump of ``redirection`` occupies; ValueError when they precede RVA 0."""
    if redirection.kind == "pad-jump":
        return Interval(redirection.entry - NEAR_JUMP, redirection.entry + len(SHORT_JUMP_BACK))
    return Interval(redirection.entry, redirection.entry + NEAR_JUMP)


def jump_bytes(redirection: Redirection, target: int) -> bytes | None:
    """The bytes at ``written`` that lead to RVA ``target``; None when a near jump does not reach it."""
    begin = redirection.entry - NEAR_JUMP if redirection.kind == "pad-jump" else redirection.entry
    distance = target - (begin + NEAR_JUMP)
    if not -(2**31) <= distance < 2**31:
        return None
    jump = b"\xe9" + distance.to_bytes(4, "little", signed=True)
    return jump + SHORT_JUMP_BACK if redirection.kind == "pad-jump" else jump


def _one(redirection: Redirection, module: Module, place: str) -> Iterator[Finding]:
    window = redirection.window
    if defect := range_defect(window, Interval(0, module.baseline.size_of_image)):
        yield Finding(codes.BAD_RANGE, f"{place}.window", defect)
    if redirection.function >= len(module.functions):
        cause = f"there is no function {redirection.function}"
        yield Finding(codes.BAD_REDIRECTION, f"{place}.function", cause)
        return
    function = module.functions[redirection.function]
    if not function.baseline or not function.patch or redirection.entry != function.baseline[0].start:
        cause = f"{redirection.entry:#x} is not the entry of {function.name[:200]!r} in the baseline"
        yield Finding(codes.BAD_REDIRECTION, f"{place}.entry", cause)
        return
    if redirection.entry < NEAR_JUMP or window.start != written(redirection).start:
        yield Finding(codes.BAD_WINDOW, f"{place}.window", f"{window} does not begin where the jump does")
        return
    if not window.covers(written(redirection)):
        cause = f"{window} does not hold the jump {written(redirection)}"
        yield Finding(codes.BAD_WINDOW, f"{place}.window", cause)
        return
    yield from _bytes(redirection, function.patch[0].start, place)


def _bytes(redirection: Redirection, target: int, place: str) -> Iterator[Finding]:
    size = len(redirection.window)
    for name, content in (("old", redirection.old), ("new", redirection.new)):
        if len(content) != size:
            yield Finding(codes.BAD_WINDOW, f"{place}.{name}", f"{len(content)} bytes for a window of {size}")
            return
    jump = jump_bytes(redirection, target)
    length = len(written(redirection))
    if jump is None or redirection.new[:length] != jump:
        cause = f"{redirection.new[:length].hex()} is not the {redirection.kind} to {target:#x}"
        yield Finding(codes.BAD_REDIRECTION, f"{place}.new", cause)
    if redirection.new[length:] != redirection.old[length:]:
        yield Finding(codes.BAD_WINDOW, f"{place}.new", "bytes after the jump differ from the old ones")
    if redirection.new == redirection.old:
        yield Finding(codes.BAD_WINDOW, f"{place}.old", "the baseline is already redirected")
