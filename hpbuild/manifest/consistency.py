"""Does a manifest contradict itself? Pure checks over the values, without any image.

``decode`` has checked types and bounds; here fields are compared with each other. Every check returns
findings with the path of the entry; one does not keep the next from running.
"""

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise

from hpbuild.codes import manifest as codes
from hpbuild.errors import Code, Finding
from hpbuild.manifest.check_lines import line_findings
from hpbuild.manifest.check_pages import page_findings
from hpbuild.manifest.check_redirections import redirection_findings
from hpbuild.manifest.check_selection import selection_findings
from hpbuild.manifest.model import Datum, Fixups, Function, Manifest, Module, Pin
from hpbuild.manifest.paths import IMAGES, fold, member_defect, path_defect
from hpbuild.manifest.ranges import overlaps, range_defect
from hpbuild.values import Interval

DOCUMENT = "manifest.json"
PAGE = 0x1000
MAX_ADDRESS = 2**64
MAX_FINDINGS = 1000
_WIDTHS = {"addr64": 8, "rel32": 4, "addr32nb": 4}


def check(manifest: Manifest) -> tuple[Finding, ...]:
    """Contradictions in ``manifest`` (HP4110 to HP4127), empty when it is consistent.

    At most ``MAX_FINDINGS``, since a hostile manifest can contradict itself a million times.
    """
    return tuple(islice(_findings(manifest), MAX_FINDINGS))


def _findings(manifest: Manifest) -> Iterator[Finding]:
    yield from _path_findings(manifest)
    yield from _member_findings(manifest)
    if manifest.left_out and not all(module.only for module in manifest.modules):
        cause = "files are left out, but the package is not limited to a list"
        yield Finding(codes.BAD_SELECTION, f"{DOCUMENT}: left_out", cause)
    if not manifest.modules:
        yield Finding(codes.EMPTY, f"{DOCUMENT}: modules", "the package has no module")
    for index, module in enumerate(manifest.modules):
        yield from _module_findings(module, f"{DOCUMENT}: modules[{index}]")


def _path_findings(manifest: Manifest) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    lists = (
        ("modules", ".path", tuple(module.path for module in manifest.modules)),
        ("unchanged", "", manifest.unchanged),
        ("left_out", "", manifest.left_out),
    )
    for name, field, paths in lists:
        for index, path in enumerate(paths):
            place = f"{DOCUMENT}: {name}[{index}]{field}"
            if defect := path_defect(path):
                yield Finding(codes.BAD_PATH, place, f"{path[:200]!r}: {defect}")
            if fold(path) in seen:
                yield Finding(
                    codes.PATH_TWIN, place, f"{path[:200]!r} is {seen[fold(path)][:200]!r} to Windows"
                )
            seen[fold(path)] = path
        if any(left > right for left, right in pairwise(paths)):
            yield Finding(codes.NOT_SORTED, f"{DOCUMENT}: {name}", "paths are not in ascending order")


def _member_findings(manifest: Manifest) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, module in enumerate(manifest.modules):
        place = f"{DOCUMENT}: modules[{index}].image.member"
        name = module.image.member
        if defect := member_defect(name) or ("" if name.startswith(IMAGES) else f"not under {IMAGES}"):
            yield Finding(codes.BAD_MEMBER, place, f"{name[:200]!r}: {defect}")
        if name in seen:
            yield Finding(codes.BAD_MEMBER, place, f"{name[:200]!r} is the patch image of another module")
        seen.add(name)


def _module_findings(module: Module, place: str) -> Iterator[Finding]:
    if not module.functions:
        yield Finding(codes.EMPTY, f"{place}.functions", "the module replaces no function")
    yield from _pin_findings(module, place)
    yield from _image_findings(module, place)
    for index, function in enumerate(module.functions):
        yield from _function_findings(function, module, f"{place}.functions[{index}]")
    for index, datum in enumerate(module.data):
        yield from _datum_findings(datum, module, f"{place}.data[{index}]")
    yield from _patch_overlaps(module, place)
    yield from redirection_findings(module, place)
    yield from page_findings(module, place)
    yield from selection_findings(module, place)
    yield from line_findings(module, place)
    yield from _fixup_findings(module.fixups, module.image.range, f"{place}.fixups")
    yield from _reference_findings(module, f"{place}.references")
    for index, finding in enumerate(module.findings):
        if finding.severity == "refuse":
            yield Finding(
                codes.REFUSING_FINDING, f"{place}.findings[{index}]", f"{finding.code} {finding.cause[:200]}"
            )
    classes = [item.klass for item in module.account]
    if len(set(classes)) != len(classes):
        yield Finding(codes.OVERLAP, f"{place}.account", "a class of bytes is counted twice")


def _pin_findings(module: Module, place: str) -> Iterator[Finding]:
    if module.baseline.sha256 == module.fixed.sha256:
        yield Finding(codes.PIN_MISMATCH, f"{place}.fixed.sha256", "baseline and fixed are the same file")
    if module.baseline.machine != module.fixed.machine:
        cause = f"machine {module.fixed.machine:#x}, the baseline has {module.baseline.machine:#x}"
        yield Finding(codes.PIN_MISMATCH, f"{place}.fixed.machine", cause)
    for name, pin in (("baseline", module.baseline), ("fixed", module.fixed)):
        yield from _section_findings(pin, f"{place}.{name}.sections")


def _section_findings(pin: Pin, place: str) -> Iterator[Finding]:
    previous = 0
    for index, section in enumerate(pin.sections):
        interval = Interval(section.rva, section.rva + section.size)
        if section.rva < previous:
            yield Finding(codes.OVERLAP, f"{place}[{index}]", "begins before the section in front of it ends")
        if interval.end > pin.size_of_image:
            yield Finding(codes.BAD_RANGE, f"{place}[{index}]", f"{interval} leaves the image")
        previous = interval.end


def _image_findings(module: Module, place: str) -> Iterator[Finding]:
    place += ".image.range"
    interval = module.image.range
    if defect := range_defect(interval, Interval(module.baseline.size_of_image, 2**31)):
        yield Finding(codes.BAD_RANGE, place, f"{defect} above the baseline and below 2 GiB")
    if interval.start % PAGE:
        yield Finding(codes.BAD_RANGE, place, f"{interval} does not begin at a page")
    if module.baseline.image_base + interval.end > MAX_ADDRESS:
        yield Finding(codes.BAD_RANGE, place, f"{interval} leaves the address space at this image base")


def _function_findings(function: Function, module: Module, place: str) -> Iterator[Finding]:
    baseline_image = Interval(0, module.baseline.size_of_image)
    fixed_image = Interval(0, module.fixed.size_of_image)
    yield from _ranges(function.baseline, baseline_image, f"{place}.baseline")
    yield from _ranges(function.fixed, fixed_image, f"{place}.fixed")
    yield from _ranges(function.patch, module.image.range, f"{place}.patch")
    added = function.reason in ("added", "handler")
    if added != (not function.baseline) or added != (function.baseline_sha256 is None):
        cause = f"reason {function.reason!r} with {len(function.baseline)} baseline ranges and " + (
            "no digest" if function.baseline_sha256 is None else "a digest"
        )
        yield Finding(codes.BAD_FUNCTION, f"{place}.baseline", cause)
    if not function.fixed:
        yield Finding(codes.BAD_FUNCTION, f"{place}.fixed", "a carried function has at least one range")
    if [len(item) for item in function.fixed] != [len(item) for item in function.patch]:
        yield Finding(
            codes.BAD_FUNCTION, f"{place}.patch", "ranges are not as long as those of the fixed image"
        )


def _datum_findings(datum: Datum, module: Module, place: str) -> Iterator[Finding]:
    yield from _ranges(
        (datum.fixed,), Interval(0, module.fixed.size_of_image), f"{place}.fixed", plural=False
    )
    yield from _ranges((datum.patch,), module.image.range, f"{place}.patch", plural=False)
    if datum.baseline is not None:
        image = Interval(0, module.baseline.size_of_image)
        yield from _ranges((datum.baseline,), image, f"{place}.baseline", plural=False)
    if (datum.reason == "added") != (datum.baseline is None):
        here = "no" if datum.baseline is None else "a"
        yield Finding(
            codes.BAD_DATUM, f"{place}.baseline", f"reason {datum.reason!r} with {here} place in the baseline"
        )
    if len(datum.fixed) != len(datum.patch):
        cause = f"{len(datum.patch)} bytes, {len(datum.fixed)} in the fixed image"
        yield Finding(codes.BAD_DATUM, f"{place}.patch", cause)


def _ranges(
    intervals: tuple[Interval, ...], image: Interval, place: str, *, plural: bool = True
) -> Iterator[Finding]:
    """Each interval is inside ``image`` and not empty, and no two overlap."""
    for index, interval in enumerate(intervals):
        if defect := range_defect(interval, image):
            yield Finding(codes.BAD_RANGE, f"{place}[{index}]" if plural else place, defect)
    yield from _overlap_findings(intervals, codes.OVERLAP, place)


def _patch_overlaps(module: Module, place: str) -> Iterator[Finding]:
    """Functions may share a whole range of code; everything else in the patch image lies apart."""
    code = {interval for function in module.functions for interval in function.patch}
    yield from _overlap_findings(
        [*code, *(datum.patch for datum in module.data)], codes.OVERLAP, f"{place}.image"
    )


def _overlap_findings(intervals: Iterable[Interval], code: Code, place: str) -> Iterator[Finding]:
    for left, right in overlaps(intervals):
        yield Finding(code, place, f"{left} and {right} overlap")


def _fixup_findings(fixups: Fixups, image: Interval, place: str) -> Iterator[Finding]:
    fields: list[Interval] = []
    for name, sites in (("addr64", fixups.addr64), ("rel32", fixups.rel32), ("addr32nb", fixups.addr32nb)):
        width = _WIDTHS[name]
        for index, (left, right) in enumerate(pairwise(sites)):
            if left >= right:
                yield Finding(
                    codes.NOT_SORTED, f"{place}.{name}[{index + 1}]", f"{right:#x} comes after {left:#x}"
                )
                break
        for index, site in enumerate(sites):
            if not (image.start <= site and site + width <= image.end):
                cause = f"{width} bytes at {site:#x} leave the patch image {image}"
                yield Finding(codes.BAD_FIXUP, f"{place}.{name}[{index}]", cause)
        fields += (Interval(site, site + width) for site in sites)
    yield from _overlap_findings(fields, codes.BAD_FIXUP, place)


def _reference_findings(module: Module, place: str) -> Iterator[Finding]:
    image = Interval(0, module.baseline.size_of_image)
    for index, reference in enumerate(module.references):
        if defect := range_defect(reference.range, image):
            yield Finding(codes.BAD_RANGE, f"{place}[{index}]", defect)
    for index, (left, right) in enumerate(pairwise(module.references)):
        if left.range >= right.range:
            cause = f"{right.range} comes after {left.range}"
            yield Finding(codes.NOT_SORTED, f"{place}[{index + 1}]", cause)
            break
