"""What the proof reads of both images by itself, before anything is claimed of them."""

import numpy as np

from hpbuild.dataclass import dataclass, replace
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.pe.metadata import MetadataRuns, metadata_runs
from hpbuild.pe.relocations import relocation_sites
from hpbuild.prove.checks import Check
from hpbuild.prove.claims import Claims
from hpbuild.prove.code import Read, decoded_ahead, identical_code
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.decode import Known
from hpbuild.prove.left_out import left_out
from hpbuild.prove.line_numbers import line_numbers
from hpbuild.prove.ownership import Slots, import_slots, ownership
from hpbuild.prove.references import Numbers
from hpbuild.prove.remaining import remaining
from hpbuild.prove.space import Space, image_space


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Both images as the proof sees them: ``here`` is the space of the fixed image, ``there`` that of the
    baseline; the loader's ``tables`` and import ``slots`` of both; ``code`` is what was decoded already of
    the fixed image."""

    fixed: Image
    baseline: Image
    here: Space
    there: Space
    tables: tuple[MetadataRuns, MetadataRuns]
    slots: Slots
    code: Known | None = None

    @classmethod
    def of(cls, fixed: Image, baseline: Image) -> "Ahead":
        """Read them. Raises HpbuildError HP1xxx for tables that cannot be read."""
        here, there = (
            image_space(image, relocation_sites(image).astype(np.int64)) for image in (fixed, baseline)
        )
        return cls(
            fixed=fixed,
            baseline=baseline,
            here=here,
            there=there,
            tables=(metadata_runs(fixed), metadata_runs(baseline)),
            slots=import_slots(fixed, baseline),
        )

    def decoded(self, begin: Numbers, end: Numbers) -> "Ahead":
        """The same, with fragments ``[begin, end)`` of the fixed image decoded."""
        return replace(self, code=decoded_ahead(self.fixed, self.here, begin, end))

    def judge(self, claims: Claims, module: Module, delta: int) -> Correspondence:
        """Who decides which addresses are counterparts, for a patch image that lies ``delta`` bytes above its
        nominal place."""
        return Correspondence(ownership(claims, module, self.fixed, self.tables, delta), self.slots)

    def unpatched(self, claims: Claims, module: Module, delta: int) -> "Unpatched":
        """The steps that do not look into the patch image; the parameters as in ``judge``."""
        judge = self.judge(claims, module, delta)
        lines = line_numbers(module, claims, self.here, self.there)
        identical, read = identical_code(
            claims, self.fixed, self.here, self.there, judge, lines.sites, self.code
        )
        limited = bool(module.only or module.left_out)
        return Unpatched(
            identical=identical,
            read=read,
            remaining=remaining(claims, module, self.fixed, self.baseline, judge),
            left_out=left_out(claims, module, self.fixed, self.baseline) if limited else None,
            lines=lines.check if module.line_only else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpatched:
    """Steps 3, 9, 10 and 11, of the last two those that the module asks for, and how much step 3 read."""

    identical: Check
    read: Read
    remaining: Check
    left_out: Check | None
    lines: Check | None
