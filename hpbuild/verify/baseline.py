"""Whether an installed image is the build that the package was made for: tiers and recorded bytes."""

from dataclasses import dataclass, replace

from hpbuild.errors import Code, Finding, HpbuildError
from hpbuild.manifest.model import Module, Pin
from hpbuild.pe.access import BASERELOC, CERTIFICATE, EXCEPTION, IAT, LOAD_CONFIG, Words
from hpbuild.pe.authenticode import authenticode_digest
from hpbuild.pe.identity import masked_digest
from hpbuild.pe.image import Image, Section
from hpbuild.pe.relocations import relocation_sites
from hpbuild.values import Digest, Interval
from hpbuild.verify.states import Tier


@dataclass(frozen=True, slots=True)
class Subject:
    """An installed image and the sorted RVAs of its base-relocation fields."""

    image: Image
    sites: Words

    def with_image(self, image: Image) -> "Subject":
        """The same relocation fields over other mapped bytes."""
        return replace(self, image=image)


def subject_of(image: Image) -> Subject:
    """``image`` with its relocation fields. Raises HpbuildError as ``relocation_sites``."""
    return Subject(image, relocation_sites(image))


@dataclass(frozen=True, slots=True)
class TierMatch:
    """The strongest tier at which an image agrees with a pin, or None; ``note`` holds what a reader said
    while a tier was tried ('' normally)."""

    tier: Tier | None
    note: str = ""


def match_pin(pin: Pin, image: Image) -> TierMatch:
    """Compare ``image`` with ``pin``, strongest tier first; weaker tiers cost nothing once one matches."""
    if len(image.data) == pin.size and Digest.of(image.data) == pin.sha256:
        return TierMatch(Tier.EXACT)
    if not same_layout(pin, image):
        return TierMatch(None)
    note = ""
    if pin.authenticode is not None and pin.time_date_stamp == image.time_date_stamp:
        try:
            # The second implementation is asked only about a file that would be accepted.
            if authenticode_digest(image, cross_check=False) == pin.authenticode:
                authenticode_digest(image, cross_check=True)
                return TierMatch(Tier.AUTHENTICODE)
        except HpbuildError as error:
            note = str(error)
    if pin.size_of_image == image.size_of_image and len(pin.sections) == len(image.sections):
        return TierMatch(Tier.SECTIONS if sections_agree(pin, image) else None, note)
    return TierMatch(None, note)


def pin_contradictions(pin: Pin, image: Image, tier: Tier) -> tuple[str, ...]:
    """What else ``pin`` says that is not so of an image which it identified at ``tier``, in words. The
    place of the patch image and the native table rest on these fields. The checksum may differ but in the
    exact file; sections are compared without their digests, which the tier has covered."""
    sections = tuple((section.name, section.rva, section.raw_size) for section in image.sections)
    pinned = tuple((section.name, section.rva, section.size) for section in pin.sections)
    pairs = (
        ("machine", pin.machine, image.machine),
        ("image base", pin.image_base, image.image_base),
        ("SizeOfImage", pin.size_of_image, image.size_of_image),
        ("TimeDateStamp", pin.time_date_stamp, image.time_date_stamp if tier is not Tier.SECTIONS else None),
        ("CheckSum", pin.checksum, image.checksum if tier is Tier.EXACT else None),
    )
    wrong = [
        f"the pin's {what} is {wanted:#x}, the image's {found:#x}"
        for what, wanted, found in pairs
        if found is not None and wanted != found
    ]
    return (*wrong, *(() if sections == pinned else ("the pin's sections are not the image's",)))


def same_layout(pin: Pin, image: Image) -> bool:
    """True when machine and image base are the pin's and the image is at least as large."""
    return (
        pin.machine == image.machine
        and pin.image_base == image.image_base
        and pin.size_of_image <= image.size_of_image
    )


def same_ids(pin: Pin, image: Image) -> bool:
    """True when the ids that people know the build by agree too. They are easily forged: never a proof."""
    return same_layout(pin, image) and pin.time_date_stamp == image.time_date_stamp


def sections_agree(pin: Pin, image: Image) -> bool:
    """True when every section of the pin is in ``image``, at its place, with the same mapped file bytes,
    and further sections, if any, lie above the pinned build's image."""
    if len(image.sections) < len(pin.sections):
        return False
    if any(section.rva < pin.size_of_image for section in image.sections[len(pin.sections) :]):
        return False
    for wanted, section in zip(pin.sections, image.sections, strict=False):
        if (wanted.name, wanted.rva, wanted.size) != (section.name, section.rva, section.raw_size):
            return False
        if Digest.of(_raw_data(image, section)) != wanted.sha256:
            return False
    return True


def _raw_data(image: Image, section: Section) -> bytes:
    """The section's file bytes as they are mapped, and from the file what is not mapped."""
    mapped = image.memory[section.rva : section.rva + section.raw_size].tobytes()
    return mapped + image.data[section.raw_offset + len(mapped) : section.raw_offset + section.raw_size]


def headers_stay(pin: Pin, image: Image) -> bool:
    """True when entry point and directories lie in the pinned build's own image, but for those that a
    written package extends: then the loader neither runs nor reads whatever else was added to the file."""
    extended = (EXCEPTION, CERTIFICATE, BASERELOC, LOAD_CONFIG)
    others = (extent for index, extent in enumerate(image.directories) if index not in extended)
    return image.entry_point < pin.size_of_image and all(extent.end <= pin.size_of_image for extent in others)


def function_findings(module: Module, subject: Subject, code: Code) -> tuple[tuple[int, Finding], ...]:
    """(index of the function, finding) for every replaced function whose bytes are not as recorded."""
    found = []
    for index, function in enumerate(module.functions):
        if function.baseline_sha256 is None:
            continue
        cause = _difference(subject, function.baseline, function.baseline_sha256)
        if cause:
            found.append((index, Finding(code, f"{module.path}: {function.name}", cause)))
    return tuple(found)


def reference_findings(module: Module, subject: Subject, code: Code) -> tuple[Finding, ...]:
    """A finding for everything the new code refers to that is not there as recorded. What the process or
    the loader writes has no digest: for it, only that it lies in such a place is checked."""
    found = []
    for reference in module.references:
        place = f"{module.path}: {reference.range}"
        if reference.sha256 is not None:
            cause = _difference(subject, (reference.range,), reference.sha256)
        else:
            mutable = _is_mutable(subject.image, reference.range)
            cause = "" if mutable else "it has no digest, and the installed image does not let it change"
        if cause:
            found.append(Finding(code, place, cause))
    return tuple(found)


def patch_is_present(image: Image, patch: Image) -> bool:
    """True when ``image`` holds the content of every section of ``patch`` that code can reach, at its RVA."""
    for section in patch.sections:
        if section.name not in CONTENT_SECTIONS:
            continue
        if section.range.end > image.size_of_image:
            return False
        host = image.section_at(section.rva)
        if host is None or host.executable != section.executable or host.writable != section.writable:
            return False
        start, end = section.range.start, section.range.end
        if image.memory[start:end].tobytes() != patch.memory[start:end].tobytes():
            return False
    return True


CONTENT_SECTIONS = frozenset({".text", ".rdata", ".xdata", ".data", ".bss"})
"""Sections of a patch image that its code uses; the others speak to the loader."""


def _difference(subject: Subject, ranges: tuple[Interval, ...], wanted: Digest) -> str:
    """What is wrong with the bytes of ``ranges``, in words; '' when they have the digest ``wanted``."""
    text = ", ".join(str(item) for item in ranges)
    if any(item.end > subject.image.size_of_image for item in ranges):
        return f"{text} leaves the installed image"
    found = masked_digest(subject.image, ranges, subject.sites)
    return "" if found == wanted else f"{text} has SHA-256 {found.hex}, recorded {wanted.hex}"


def _is_mutable(image: Image, wanted: Interval) -> bool:
    """True when ``wanted`` lies in a writable section or in the slots that the loader fills."""
    section = image.section_at(wanted.start)
    if section is None or not section.range.covers(wanted):
        return False
    return section.writable or image.directories[IAT].covers(wanted)
