"""What a closure proof gives, without what makes one."""

from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding
from hpbuild.manifest.left_out import LeftOut
from hpbuild.manifest.model import ByteClass
from hpbuild.prove.checks import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSummary:
    """Numbers of a proof. ``account`` are the bytes of the fixed image by class, ``delta`` the distance that
    the patch image was moved by, ``image_base`` the one it was placed under."""

    identical_fragments: int
    carried_functions: int
    carried_data: int
    instructions: int
    references: int
    account: tuple[ByteClass, ...]
    delta: int
    image_base: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Result for one module. ``ok`` is True only when no step failed and all that must run ran. ``only`` is
    the list of functions that the package is limited to; then ``left_out`` names all in which it is not the
    fixed build, and what is proved is proved but for these."""

    path: str
    ok: bool
    checks: tuple[Check, ...]
    summary: ProofSummary
    only: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that were kept, of all steps in order."""
        return tuple(finding for check in self.checks for finding in check.findings)
