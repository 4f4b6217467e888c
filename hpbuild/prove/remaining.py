"""Step 9: what a patch cannot deliver is equal in both images, or declared as an exclusion."""

from collections.abc import Iterable

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.manifest.model import Module
from hpbuild.pe.exports import Export, exports
from hpbuild.pe.image import Image
from hpbuild.pe.imports import imports
from hpbuild.pe.load_config import load_config
from hpbuild.pe.resources import resource_digest
from hpbuild.pe.tls import tls
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.claims import Claims
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.references import Use

_RESOURCE_CLASSES = ("resource", "version-resource")


def remaining(claims: Claims, module: Module, fixed: Image, baseline: Image, judge: Correspondence) -> Check:
    """Exports, imports, resources, entry point, thread-local storage, load configuration, excluded runs."""
    recorder = Recorder("P9", "everything else is equal or declared: items compared")
    scene = _Scene(recorder, module, judge)
    _exports(scene, fixed, baseline)
    _imports(scene, fixed, baseline)
    scene.examine()
    if resource_digest(fixed) != resource_digest(baseline):
        scene.undeclared(_RESOURCE_CLASSES, "resources", "they differ")
    scene.pair("metadata", "entry point", int(fixed.entry_point), int(baseline.entry_point))
    _tls(scene, fixed, baseline)
    _load_config(scene, fixed, baseline)
    for name in ("machine", "subsystem", "dll_characteristics"):
        scene.examine()
        if getattr(fixed, name) != getattr(baseline, name):
            cause = f"{getattr(baseline, name):#x} became {getattr(fixed, name):#x}"
            scene.undeclared(("metadata",), name, cause)
    if len(claims.excluded):
        scene.examine()
        if not module.exclusions:
            count = int((claims.excluded[:, 1] - claims.excluded[:, 0]).sum())
            scene.undeclared((), "excluded bytes", f"{count} bytes of the fixed image are left out")
    return recorder.done()


class _Scene:
    """Recorder, declared exclusions and judge of one run of the step."""

    def __init__(self, recorder: Recorder, module: Module, judge: Correspondence) -> None:
        self._recorder = recorder
        self._declared = {(item.klass, item.place) for item in module.exclusions}
        self._classes = {item.klass for item in module.exclusions}
        self._judge = judge

    def examine(self) -> None:
        """Count one item."""
        self._recorder.examined += 1

    def undeclared(self, classes: Iterable[str], place: str, cause: str, exact: bool = False) -> None:
        """Record a difference, unless an exclusion of one of ``classes`` declares it; with ``exact`` the
        exclusion has to name the same place."""
        for klass in classes:
            if (klass, place) in self._declared or (not exact and klass in self._classes):
                return
        self._recorder.fail(codes.UNDECLARED_DIFFERENCE, place, cause)

    def right(self, pairs: list[tuple[int, int]]) -> list[bool]:
        """For each pair of addresses, neither of them 0: are they counterparts?"""
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        here, there = np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
        uses = np.full(len(table), int(Use.ADDRESS), dtype=np.int64)
        found = self._judge.right(here, there, uses, carried=False) & (here != 0) & (there != 0)
        return [bool(same) for same in found.tolist()]

    def pair(self, klass: str, place: str, target: int, other: int) -> None:
        """Two addresses have to be counterparts; 0 is none."""
        self.examine()
        if target == other == 0:
            return
        here, there, use = (np.array([value], dtype=np.int64) for value in (target, other, Use.ADDRESS))
        if target == 0 or other == 0 or not self._judge.right(here, there, use, carried=False)[0]:
            cause = self._judge.explain(target, other, Use.ADDRESS, False)
            self.undeclared((klass,), place, cause, exact=klass == "export")


def _key(item: Export) -> str:
    return item.name or f"#{item.ordinal}"


def _exports(scene: _Scene, fixed: Image, baseline: Image) -> None:
    here = {_key(item): item for item in exports(fixed)}
    there = {_key(item): item for item in exports(baseline)}
    both = [(name, here[name], there[name]) for name in sorted(here.keys() & there.keys())]
    right = scene.right([(int(new.rva), int(old.rva)) for _, new, old in both])
    plain = {
        name
        for (name, new, old), same in zip(both, right, strict=True)
        if same and not new.forwarder and (old.forwarder, old.ordinal) == ("", new.ordinal)
    }
    for name in sorted(here.keys() | there.keys()):
        scene.examine()
        new, old = here.get(name), there.get(name)
        if new is None or old is None:
            cause = "it is new" if old is None else "it is gone"
            scene.undeclared(("export",), name, cause, exact=True)
        elif (new.forwarder, new.ordinal) != (old.forwarder, old.ordinal):
            cause = f"ordinal {old.ordinal} {old.forwarder} became {new.ordinal} {new.forwarder}"
            scene.undeclared(("export",), name, cause, exact=True)
        elif name in plain:
            scene.examine()
        elif not new.forwarder:
            scene.pair("export", name, int(new.rva), int(old.rva))


def _imports(scene: _Scene, fixed: Image, baseline: Image) -> None:
    here, there = (
        {(item.dll.lower(), item.name or f"#{item.ordinal}") for item in imports(image)}
        for image in (fixed, baseline)
    )
    for library, name in sorted(here ^ there):
        scene.examine()
        cause = "it is new" if (library, name) in here else "it is gone"
        scene.undeclared(("import",), f"{library}!{name}", cause, exact=True)


def _tls(scene: _Scene, fixed: Image, baseline: Image) -> None:
    scene.examine()
    here, there = tls(fixed), tls(baseline)
    if here is None or there is None:
        if here is not there:
            scene.undeclared(("thread-local",), "thread-local storage", "only one of the images has it")
        return
    shape = len(here.template), here.zero_fill, len(here.callbacks)
    shape_there = len(there.template), there.zero_fill, len(there.callbacks)
    if shape != shape_there:
        scene.undeclared(("thread-local",), "thread-local storage", f"sizes {shape_there} became {shape}")
        return
    if len(here.template):
        scene.pair("thread-local", "thread-local template", here.template.start, there.template.start)
    scene.pair("thread-local", "thread-local index", int(here.index), int(there.index))
    for number, (new, old) in enumerate(zip(here.callbacks, there.callbacks, strict=True)):
        scene.pair("thread-local", f"thread-local callback {number}", int(new), int(old))


def _load_config(scene: _Scene, fixed: Image, baseline: Image) -> None:
    scene.examine()
    here, there = load_config(fixed), load_config(baseline)
    if here is None or there is None:
        if here is not there:
            scene.undeclared(("metadata",), "load configuration", "only one of the images has it")
        return
    scene.pair("metadata", "security cookie", here.security_cookie or 0, there.security_cookie or 0)
    scene.pair("metadata", "guard check pointer", here.guard_check or 0, there.guard_check or 0)
    scene.pair("metadata", "guard dispatch pointer", here.guard_dispatch or 0, there.guard_dispatch or 0)
    if here.guard_flags != there.guard_flags:
        cause = f"guard flags {there.guard_flags:#x} became {here.guard_flags:#x}"
        scene.undeclared(("metadata",), "load configuration", cause)
