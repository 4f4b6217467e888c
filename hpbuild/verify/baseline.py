"""Whether an installed image is the build that the package was made for: tiers and recorded bytes."""

from collections.abc import Mapping

import numpy as np

from hpbuild.codes.process import NOT_COMPARABLE
from hpbuild.dataclass import dataclass, field, replace
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
    """An installed image and the sorted RVAs of its base-relocation fields.

    ``in_memory``: it was taken from a process, so that only what is not writable can be compared, and of that
    not the places ``unknown`` (RVAs outside code), where ``image`` has what the file has. ``leads`` says in
    words where a jump at an entry goes, ``wrong`` what is wrong with the package's new code there.
    ``sha256`` is the digest of ``image.data`` where somebody has computed it already: files are large."""

    image: Image
    sites: Words
    in_memory: bool = False
    unknown: tuple[Interval, ...] = ()
    leads: Mapping[int, str] = field(default_factory=dict)
    wrong: str = ""
    sha256: Digest | None = None

    def with_image(self, image: Image) -> "Subject":
        """The same relocation fields over other mapped bytes."""
        same_file = image.data is self.image.data
        return replace(self, image=image, sha256=self.sha256 if same_file else None)

    def hides(self, wanted: Interval) -> bool:
        """True when nothing of ``wanted`` can be compared: every byte is unknown, but for relocated fields,
        which are never compared."""
        if not any(place.overlaps(wanted) for place in self.unknown):
            return False
        seen = np.ones(len(wanted), dtype=bool)
        first = int(np.searchsorted(self.sites, max(0, wanted.start - _FIELD + 1)))
        for site in self.sites[first : int(np.searchsorted(self.sites, wanted.end))].tolist():
            seen[max(0, site - wanted.start) : max(0, site + _FIELD - wanted.start)] = False
        if not seen.any():
            return False
        for place in self.unknown:
            seen[max(0, place.start - wanted.start) : max(0, place.end - wanted.start)] = False
        return not seen.any()


def subject_of(image: Image, sha256: Digest | None = None) -> Subject:
    """``image`` with its relocation fields, and the digest of its file if known. Raises HpbuildError as
    ``relocation_sites``."""
    return Subject(image, relocation_sites(image), sha256=sha256)


_FIELD = 8
"""Bytes of a relocated field."""


@dataclass(frozen=True, slots=True)
class TierMatch:
    """The strongest tier at which an image agrees with a pin, or None; ``note`` holds what a reader said
    while a tier was tried ('' normally)."""

    tier: Tier | None
    note: str = ""


def match_pin(pin: Pin, image: Image, sha256: Digest | None = None) -> TierMatch:
    """Compare ``image`` with ``pin``, strongest tier first; weaker tiers cost nothing once one matches.
    ``sha256`` is the digest of ``image.data``, None when it has yet to be computed."""
    if len(image.data) == pin.size and (sha256 or image.data.digest()) == pin.sha256:
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


def match_subject(pin: Pin, subject: Subject) -> TierMatch:
    """``match_pin`` for a file. Of an image in memory, which has neither a file's hash nor an Authenticode
    hash, the strongest tier is ``sections``: the ids that Windows pins, and every section that is not
    writable."""
    if not subject.in_memory:
        return match_pin(pin, subject.image, subject.sha256)
    image = subject.image
    if not same_ids(pin, image) or pin.size_of_image != image.size_of_image:
        return TierMatch(None)
    if len(pin.sections) != len(image.sections):
        return TierMatch(None)
    return TierMatch(Tier.SECTIONS if sections_agree(pin, image, in_memory=True) else None)


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


def sections_agree(pin: Pin, image: Image, *, in_memory: bool = False) -> bool:
    """True when every section of the pin is in ``image``, at its place, with the same mapped file bytes,
    and further sections, if any, lie above the pinned build's image. The content of writable sections is
    not the file's any more once it is ``in_memory``; code always has to be."""
    if len(image.sections) < len(pin.sections):
        return False
    if any(section.rva < pin.size_of_image for section in image.sections[len(pin.sections) :]):
        return False
    for wanted, section in zip(pin.sections, image.sections, strict=False):
        if (wanted.name, wanted.rva, wanted.size) != (section.name, section.rva, section.raw_size):
            return False
        own = in_memory and section.writable and not section.executable
        if not own and Digest.of(_raw_data(image, section, in_memory=in_memory)) != wanted.sha256:
            return False
    return True


def _raw_data(image: Image, section: Section, *, in_memory: bool) -> bytes:
    """The section's file bytes as they are mapped, and from the file, if there is one, what is not mapped."""
    mapped = image.memory[section.rva : section.rva + section.raw_size].tobytes()
    if in_memory:
        return mapped
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
        if reference.sha256 is not None and subject.hides(reference.range):
            found.append(Finding(NOT_COMPARABLE, place, "the loader or the program's start-up wrote there"))
            continue
        if reference.sha256 is not None:
            cause = _difference(subject, (reference.range,), reference.sha256)
            written = sum(1 for place in subject.unknown if place.overlaps(reference.range))
            if cause and written:
                cause += f"; the loader or the program's start-up wrote to {written} places in it"
        else:
            mutable = _is_mutable(subject.image, reference.range)
            cause = "" if mutable else "it has no digest, and the installed image does not let it change"
        if cause:
            found.append(Finding(code, place, cause))
    return tuple(found)


def patch_is_present(image: Image, patch: Image, *, in_memory: bool = False) -> bool:
    """True when ``image`` holds the content of every section of ``patch`` that code can reach, at its RVA.
    The content of writable sections changes once it is ``in_memory``."""
    for section in patch.sections:
        if section.name not in CONTENT_SECTIONS:
            continue
        if in_memory and section.writable and section.range.end <= image.size_of_image:
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
