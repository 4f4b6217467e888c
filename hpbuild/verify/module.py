"""One module against one installed image: checks V11 to V15 and the state that follows from them.

How the state is found. A file whose pin agrees (exact, authenticode, sections) is the baseline, and what
the manifest records about it must be there: anything else means that the package contradicts itself. A
file that agrees with the fixed build's pin needs no patch. Any other file is looked at as it would be
without redirections (windows set to their old bytes): when it then is the baseline, by its sections or at
least by every function and everything referred to, the windows decide between applied, conflict and
applicable; otherwise it is unknown. A file that says of itself that another package of the same line is in
effect in it, and whose bytes bear that out, is applied-older or applied-newer: never a success, since
nobody has vouched for that package here.

A file with the package written into it cannot have the baseline's file or Authenticode hash, so for
``applied`` the policy's lowest tier counts as ``sections`` at most; so it does for an image in memory, which
has neither hash, whatever its state.
"""

from collections.abc import Sequence

from hpbuild.codes.process import NOT_COMPARABLE
from hpbuild.codes.verify import (
    APPLIED_NEWER,
    APPLIED_OLDER,
    CONFLICT,
    FUNCTION_DIFFERS,
    NOT_NEEDED,
    PACKAGE_CONTRADICTS_BASELINE,
    PARTLY_APPLIED,
    PIN_MISMATCH,
    REFERENCE_DIFFERS,
    TIER_TOO_LOW,
    UNKNOWN_BASELINE,
    WINDOW_FOREIGN,
)
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import Finding
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.verify import checks
from hpbuild.verify.baseline import (
    Subject,
    TierMatch,
    function_findings,
    headers_stay,
    match_subject,
    patch_is_present,
    pin_contradictions,
    reference_findings,
    same_ids,
    same_layout,
    sections_agree,
)
from hpbuild.verify.checks import CheckResult, Fact, judged, not_run
from hpbuild.verify.lineage import OtherPackage, all_explained, find_other
from hpbuild.verify.pages import page_findings
from hpbuild.verify.states import ModuleState, Tier
from hpbuild.verify.windows import Window, WindowState, examine, with_old_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Outcome for one module: its state, the tier of the baseline's identity that was reached (None: not
    the baseline), and the results of V11 to V15 in order."""

    state: ModuleState
    tier: Tier | None
    checks: tuple[CheckResult, ...]


def compare(
    module: Module, subject: Subject, patch: Image | None, *, lowest: Tier, sequence: int
) -> Compared:
    """Compare ``module`` with the installed image. ``patch`` is the parsed patch image, None when the
    package's own is unusable; ``lowest`` the policy's lowest tier; ``sequence`` the package's. Pure."""
    if subject.in_memory:
        lowest = _at_most_sections(lowest)
    match = match_subject(module.baseline, subject)
    if match.tier is not None:
        return _known_baseline(module, subject, match.tier, lowest)
    fixed = match_subject(module.fixed, subject)
    if fixed.tier is not None and fixed.tier.reaches(lowest):
        return _not_needed(module, fixed.tier)
    windows = examine(subject.image, module.redirections)
    other = find_other(module.baseline, subject.image, sequence)
    if other is not None and all_explained(other, windows):
        under_other = _under_other(module, subject, windows, other, lowest, sequence)
        if under_other is not None:
            return under_other
    return _altered(module, subject, patch, lowest, match)


def _known_baseline(module: Module, subject: Subject, tier: Tier, lowest: Tier) -> Compared:
    """The pin agrees, so every recorded byte must be there."""
    code = PACKAGE_CONTRADICTS_BASELINE
    functions = [finding for _, finding in function_findings(module, subject, code)]
    references = reference_findings(module, subject, code)
    windows = examine(subject.image, module.redirections)
    wrong = [item for item in windows if item.state is not WindowState.OLD]
    foreign = [Finding(code, _place(module, item), item.describe()) for item in wrong]
    foreign += page_findings(module, subject)
    odd = [
        Finding(code, module.path, why) for why in pin_contradictions(module.baseline, subject.image, tier)
    ]
    pin_findings = (*_tier_findings(module, tier, lowest), *odd)
    contradicting = [finding for finding in references if finding.code is not NOT_COMPARABLE]
    if odd or functions or contradicting or foreign:
        state, why = ModuleState.CONFLICT, Finding(code, module.path, "see the checks V11 to V14")
    elif references:
        state, why = (
            ModuleState.UNKNOWN_BASELINE,
            _unknown(module, "the loader wrote over what is referred to"),
        )
    elif pin_findings:
        state, why = ModuleState.UNKNOWN_BASELINE, _unknown(module, f"only the tier {tier} matches")
    else:
        state, why = ModuleState.APPLICABLE, None
    return _compared(module, state, tier, pin_findings, functions, references, foreign, why)


def _not_needed(module: Module, tier: Tier) -> Compared:
    """The installed file is the fixed build; there is no baseline to look at."""
    path = module.path
    reason = "the installed file is the fixed build"
    why = Finding(NOT_NEEDED, path, f"the installed file agrees with the fixed build's pin ({tier})")
    facts: tuple[Fact, ...] = (("matches", "fixed"), ("tier", str(tier)))
    results = (
        judged(checks.PIN, (), facts, path),
        not_run(checks.FUNCTIONS, reason, path),
        not_run(checks.REFERENCES, reason, path),
        not_run(checks.WINDOWS, reason, path),
        judged(checks.STATE, (why,), (("state", str(ModuleState.NOT_NEEDED)),), path),
    )
    return Compared(state=ModuleState.NOT_NEEDED, tier=None, checks=results)


def _under_other(
    module: Module,
    subject: Subject,
    windows: Sequence[Window],
    other: OtherPackage,
    lowest: Tier,
    sequence: int,
) -> Compared | None:
    """The baseline with another package of the line in effect; None when more than that was changed."""
    path = module.path
    undone = subject.with_image(with_old_bytes(subject.image, windows))
    functions = [
        finding
        for index, finding in function_findings(module, undone, FUNCTION_DIFFERS)
        if not other.touches(module.functions[index].baseline)
    ]
    elsewhere = tuple(item for item in module.references if not other.touches((item.range,)))
    references = reference_findings(replace(module, references=elsewhere), undone, REFERENCE_DIFFERS)
    pages = page_findings(module, undone, other)
    differs = bool(functions or references or pages)
    tier = _tier_without_redirections(module, undone, differs=differs, written=True)
    if tier is None:
        return None
    newer = other.sequence > sequence
    state = ModuleState.APPLIED_NEWER if newer else ModuleState.APPLIED_OLDER
    cause = f"a package of sequence {other.sequence} is in effect, this one has {sequence}"
    why = Finding(APPLIED_NEWER if newer else APPLIED_OLDER, path, cause)
    pin = _tier_findings(module, tier, _at_most_sections(lowest))
    return _compared(module, state, tier, pin, functions, references, (why,), why)


def _altered(
    module: Module, subject: Subject, patch: Image | None, lowest: Tier, match: TierMatch
) -> Compared:
    """No pin agrees: the baseline with something written into it, or another build."""
    image = subject.image
    windows = examine(image, module.redirections)
    undone = subject.with_image(with_old_bytes(image, windows))
    functions = function_findings(module, undone, FUNCTION_DIFFERS)
    references = reference_findings(module, undone, REFERENCE_DIFFERS)
    written = any(item.state is WindowState.NEW for item in windows)
    tier = _tier_without_redirections(module, undone, differs=bool(functions or references), written=written)
    odd = _window_findings(module, windows, subject, patch)
    hooked = {item.redirection.function for item in windows if item.looks_hooked}
    only_hooks = (
        not references
        and same_ids(module.baseline, image)
        and bool(functions)
        and all(index in hooked for index, _ in functions)
    )
    if tier is None and not only_hooks:
        state = ModuleState.UNKNOWN_BASELINE
    elif odd or tier is None:
        state = ModuleState.CONFLICT
    elif written:
        state = ModuleState.APPLIED
        lowest = _at_most_sections(lowest)
    else:
        state = ModuleState.APPLICABLE
    pages = page_findings(module, undone)
    pin_findings = _tier_findings(module, tier, lowest, match.note)
    if (pin_findings or pages) and state in (ModuleState.APPLIED, ModuleState.APPLICABLE):
        state = ModuleState.UNKNOWN_BASELINE
    why = _reason(module, state, tier)
    listed = [finding for _, finding in functions]
    return _compared(module, state, tier, pin_findings, listed, references, (*odd, *pages), why)


def _at_most_sections(lowest: Tier) -> Tier:
    """The tier that counts for a file into which a package was written."""
    return lowest if Tier.SECTIONS.reaches(lowest) else Tier.SECTIONS


def _tier_without_redirections(
    module: Module, subject: Subject, *, differs: bool, written: bool
) -> Tier | None:
    """Tier at which the image without redirections is the baseline. ``written``: some of the windows held
    this package's bytes, so that the file may have further sections."""
    pin, undone = module.baseline, subject.image
    if subject.in_memory and not same_ids(pin, undone):
        return None
    has_room = written or undone.size_of_image <= module.image.range.start
    # New pointers into the baseline are made for the pinned image base; in another one they lead elsewhere.
    same_kind = (pin.machine, pin.image_base) == (undone.machine, undone.image_base)
    if differs or not same_kind or not has_room:
        return None
    if not written and len(pin.sections) != len(undone.sections):
        return Tier.FUNCTIONS
    same = same_layout(pin, undone) and headers_stay(pin, undone)
    same = same and sections_agree(pin, undone, in_memory=subject.in_memory)
    return Tier.SECTIONS if same else Tier.FUNCTIONS


def _window_findings(
    module: Module, windows: Sequence[Window], subject: Subject, patch: Image | None
) -> list[Finding]:
    """What keeps the windows from being all old or all ours."""
    odd = [
        Finding(
            WINDOW_FOREIGN,
            _place(module, item),
            item.describe() + subject.leads.get(item.redirection.entry, ""),
        )
        for item in windows
        if item.state in (WindowState.FOREIGN, WindowState.OUTSIDE)
    ]
    new = sum(1 for item in windows if item.state is WindowState.NEW)
    old = sum(1 for item in windows if item.state is WindowState.OLD)
    if new and old:
        cause = f"{new} of {len(windows)} entries lead to new code, {old} do not"
        odd.append(Finding(PARTLY_APPLIED, module.path, cause))
    present = patch is not None and patch_is_present(subject.image, patch, in_memory=subject.in_memory)
    if new and not present:
        aside = f": {subject.wrong}" if subject.wrong else ""
        cause = f"entries lead to new code, and the package's new code is not there{aside}"
        odd.append(Finding(PARTLY_APPLIED, module.path, cause))
    return odd


def _tier_findings(module: Module, tier: Tier | None, lowest: Tier, note: str = "") -> tuple[Finding, ...]:
    """What V11 has to say about the tier that was reached."""
    aside = f"; {note}" if note else ""
    if tier is None:
        pin = module.baseline
        cause = f"no tier agrees with {pin.file_name}, version {pin.version or 'unknown'}{aside}"
        return (Finding(PIN_MISMATCH, module.path, cause),)
    if not tier.reaches(lowest):
        cause = f"the tier {tier} was reached, the policy asks for {lowest}{aside}"
        return (Finding(TIER_TOO_LOW, module.path, cause),)
    return ()


def _reason(module: Module, state: ModuleState, tier: Tier | None) -> Finding | None:
    """The finding of V15; None for a state that is a success."""
    if state is ModuleState.CONFLICT:
        return Finding(CONFLICT, module.path, "it is the baseline but for entries that hold other bytes")
    if state is ModuleState.UNKNOWN_BASELINE:
        cause = f"only the tier {tier} matches" if tier else "it is neither the baseline nor the fixed build"
        return _unknown(module, cause)
    return None


def _unknown(module: Module, cause: str) -> Finding:
    return Finding(UNKNOWN_BASELINE, module.path, cause)


def _place(module: Module, window: Window) -> str:
    return f"{module.path}: {module.functions[window.redirection.function].name}"


def _compared(
    module: Module,
    state: ModuleState,
    tier: Tier | None,
    pin: Sequence[Finding],
    functions: Sequence[Finding],
    references: Sequence[Finding],
    windows: Sequence[Finding],
    why: Finding | None,
) -> Compared:
    """The five results from their findings."""
    path = module.path
    replaced = sum(1 for function in module.functions if function.baseline_sha256 is not None)
    matches = "baseline" if tier else "nothing"
    written_to = (("windows", len(module.redirections)), ("pages", len(module.pages)))
    results = (
        judged(checks.PIN, pin, (("matches", matches), ("tier", str(tier or ""))), path),
        judged(checks.FUNCTIONS, functions, (("functions", replaced),), path),
        judged(checks.REFERENCES, references, (("references", len(module.references)),), path),
        judged(checks.WINDOWS, windows, written_to, path),
        judged(checks.STATE, (why,) if why else (), (("state", str(state)),), path),
    )
    return Compared(state=state, tier=tier, checks=results)


def uncompared(module: Module, finding: Finding, reason: str) -> tuple[CheckResult, ...]:
    """The checks of a file that could not be read as an image, but V10: ``finding`` fails V11 and V15 says
    so."""
    path = module.path
    return (
        judged(checks.PIN, (finding,), (("matches", "nothing"), ("tier", "")), path),
        not_run(checks.FUNCTIONS, reason, path),
        not_run(checks.REFERENCES, reason, path),
        not_run(checks.WINDOWS, reason, path),
        judged(checks.STATE, (_unknown(module, reason),), (), path),
        not_run(checks.PUBLISHER, reason, path),
    )
