"""Modules in a running process or in a dump, made comparable with what a package records of a file."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType

import numpy as np

from hpbuild.codes.process import FILE_BEHIND_OTHER, MODULE_AMBIGUOUS
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding, HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.pe.mapped import header_bytes, image_from_memory, with_names
from hpbuild.pe.processes import Dump, LoadedModule, Memory, Process, module_at, open_dump, open_process
from hpbuild.pe.reader import parse_image
from hpbuild.verify.baseline import Subject, match_pin
from hpbuild.verify.blocks import Settled, settle_other, settle_own
from hpbuild.verify.leads import describe_lead, jump_target
from hpbuild.verify.lineage import find_other
from hpbuild.verify.locate import read_installed
from hpbuild.verify.request import InMemory
from hpbuild.verify.states import Tier
from hpbuild.verify.windows import WindowState, examine

_IMAGE_BASE_OFFSET = 24 + 24
"""Of the field in the optional header, counted from the PE signature."""
_MOST_ENTRIES = 1 << 16


@dataclass(frozen=True, slots=True)
class Target:
    """An open process or dump. ``name`` is what to call it."""

    name: str
    opened: Process | Dump

    @property
    def memory(self) -> Memory:
        """Its memory."""
        return self.opened.memory

    @property
    def modules(self) -> tuple[LoadedModule, ...]:
        """What it has loaded."""
        return self.opened.modules

    def __enter__(self) -> "Target":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.close()


def open_target(pid: int | None, dump: Path | None) -> Target:
    """The process or dump, of which one is given. Raises HpbuildError as ``open_process``, ``open_dump``."""
    if pid is not None:
        return Target(f"process {pid}", open_process(pid))
    if dump is None:
        raise ValueError("neither a process nor a dump is given")
    return Target(f"dump {dump}", open_dump(dump))


@dataclass(frozen=True, slots=True)
class Found:
    """A module of a package and its counterpart in a process: None when it is not loaded, or when
    ``finding`` says why it cannot be told."""

    module: Module
    loaded: LoadedModule | None
    finding: Finding | None = None


def find_loaded(modules: Sequence[Module], loaded: Sequence[LoadedModule]) -> tuple[Found, ...]:
    """The loaded counterpart of every module, by file name, letter case ignored. Of several with a name, the
    one whose folders agree best with the module's path is meant; two modules never share a counterpart."""
    found = [_counterpart(module, loaded) for module in modules]
    return tuple(Found(item.module, None) if _loses(item, found) else item for item in found)


def _loses(item: Found, found: Sequence[Found]) -> bool:
    """True when another module has an equal or better claim to the counterpart of ``item``."""
    if item.loaded is None:
        return False
    path = item.loaded.path
    rivals = [other for other in found if other.loaded is item.loaded and other is not item]
    own = agreement(item.module.path, path)
    return any(agreement(other.module.path, path) >= own for other in rivals)


def agreement(path: str, loaded: str) -> int:
    """How many last parts the module path ``path`` shares with the Windows path ``loaded``."""
    ours = [part.casefold() for part in PurePosixPath(path).parts]
    theirs = loaded.casefold().replace("/", "\\").split("\\")
    pairs = enumerate(zip(reversed(ours), reversed(theirs), strict=False))
    return next((index for index, (left, right) in pairs if left != right), min(len(ours), len(theirs)))


def _counterpart(module: Module, loaded: Sequence[LoadedModule]) -> Found:
    name = PurePosixPath(module.path).name.casefold()
    named = [item for item in loaded if item.name.casefold() == name]
    if not named:
        return Found(module, None)
    ranks = [agreement(module.path, item.path) for item in named]
    best = [item for item, rank in zip(named, ranks, strict=True) if rank == max(ranks)]
    if len(best) > 1:
        cause = ", ".join(item.path for item in best)
        return Found(module, None, Finding(MODULE_AMBIGUOUS, module.path, cause))
    return Found(module, best[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess:
    """A module as it is in memory: comparable, and where it was found. ``file`` is the file behind it, read
    once, when it is a build that the package knows and has the headers in memory; ``remarks`` say what is
    wrong with it and refuse nothing."""

    subject: Subject
    where: InMemory
    file: Image | None
    remarks: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class OwnPackage:
    """What of the package itself is needed to find it: its patch image, None when that is unusable, and its
    sequence."""

    patch: Image | None
    sequence: int


@dataclass(frozen=True, slots=True)
class _Behind:
    """The file behind a module: the image when it is a build that the package knows and the one in memory,
    and the tier at which it is the baseline."""

    image: Image | None
    tier: Tier | None
    remarks: tuple[Finding, ...] = ()


def take_from(
    target: Target, loaded: LoadedModule, module: Module, package: OwnPackage, limit: int
) -> InProcess:
    """The module ``loaded`` of ``target`` as ``module.baseline`` would be compared with it. ``limit`` is the
    largest file that is read, in bytes.

    Raises HpbuildError as ``image_from_memory``."""
    pin = module.baseline
    behind = _file_behind(loaded, module, limit)
    file = behind.image
    if file is not None and not _same_headers(header_bytes(target.memory, loaded), file):
        cause = f"{loaded.file} has other headers than the image in memory"
        behind, file = _Behind(None, behind.tier, (Finding(FILE_BEHIND_OTHER, module.path, cause),)), None
    preferred = pin.image_base if file is None else file.image_base
    mapped = image_from_memory(target.memory, loaded, preferred=preferred, file=file)
    image = with_names(mapped.image, tuple(section.name for section in pin.sections))
    settled = settle_own(target.memory, loaded.base, image, module, package.patch)
    if settled.block is None or settled.wrong:
        other = _settle_other(target, loaded, image, module, file)
        # Only a table of another sequence is another package; a spoilt block of this one stays that.
        if other.block is not None and find_other(pin, other.image, package.sequence) is not None:
            settled = other
    subject = Subject(
        settled.image,
        mapped.sites,
        in_memory=True,
        unknown=mapped.unknown,
        leads=_leads(target, loaded, settled.image, module),
        wrong=settled.wrong,
    )
    where = InMemory(
        source=target.name,
        path=loaded.path,
        base=loaded.base,
        moved=mapped.moved,
        file=loaded.file,
        file_tier=behind.tier,
        unknown=mapped.unknown,
        writable=sum(len(extent) for extent in mapped.writable),
        block=settled.block,
    )
    return InProcess(subject=subject, where=where, file=file, remarks=behind.remarks)


def _file_behind(loaded: LoadedModule, module: Module, limit: int) -> _Behind:
    if loaded.file is None:
        return _Behind(None, None)
    try:
        image = parse_image(read_installed(loaded.file, module.path, limit), loaded.file.name)
    except HpbuildError as error:
        return _Behind(None, None, (Finding(FILE_BEHIND_OTHER, module.path, str(error)),))
    tier = match_pin(module.baseline, image).tier
    if tier is not None or match_pin(module.fixed, image).tier is not None:
        return _Behind(image, tier)
    cause = f"{loaded.file} is neither the baseline nor the fixed build"
    return _Behind(None, None, (Finding(FILE_BEHIND_OTHER, module.path, cause),))


def _same_headers(memory: bytes, file: Image) -> bool:
    """True when the headers in memory are the file's, but for the image base, which Windows writes there."""
    size = file.size_of_headers
    pairs = []
    for data in (memory, file.data[:size]):
        headers = bytearray(data[:size])
        at = int.from_bytes(headers[0x3C:0x40], "little") + _IMAGE_BASE_OFFSET
        headers[at : at + 8] = bytes(8)
        pairs.append(bytes(headers))
    return len(memory) >= size and pairs[0] == pairs[1]


def _settle_other(
    target: Target,
    loaded: LoadedModule,
    image: Image,
    module: Module,
    file: Image | None,
) -> Settled:
    """Look for another package behind the jumps out of changed windows and, when the file is known, out of
    all code that is not the file's."""
    entries = {
        int(item.redirection.entry)
        for item in examine(image, module.redirections)
        if item.state in (WindowState.FOREIGN, WindowState.NEW)
    }
    if file is not None:
        entries |= _changed_code(image, file)
    targets = []
    for entry in sorted(entries)[:_MOST_ENTRIES]:
        at: int | None = loaded.base + entry
        for _ in range(2):
            at = None if at is None else jump_target(target.memory, at)
            if at is not None and at not in loaded:
                break
        if at is not None and at > loaded.base and module_at(target.modules, at) is None:
            targets.append(at)
    return settle_other(target.memory, loaded.base, image, targets)


def _changed_code(image: Image, file: Image) -> set[int]:
    """RVAs in code at which bytes that are not the file's begin."""
    found: set[int] = set()
    for section in file.sections:
        if section.executable:
            part = slice(section.rva, min(section.range.end, image.size_of_image))
            differs = image.memory[part] != file.memory[part]
            starts = np.flatnonzero(differs & ~np.concatenate(([False], differs[:-1])))
            found |= {section.rva + int(start) for start in starts[:_MOST_ENTRIES]}
    return found


def _leads(target: Target, loaded: LoadedModule, image: Image, module: Module) -> dict[int, str]:
    return {
        int(item.redirection.entry): describe_lead(
            target.memory, target.modules, loaded.base + item.redirection.entry
        )
        for item in examine(image, module.redirections)
        if item.state is WindowState.FOREIGN
    }
