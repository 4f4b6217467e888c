"""The words of a verification: states of a check, of a module, tiers of identity. Values only."""

from enum import StrEnum


class CheckStatus(StrEnum):
    """Outcome of one numbered check. ``NOT_RUN`` is never counted as a success."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"


class ModuleState(StrEnum):
    """How an installed file stands to the package (design, section 8)."""

    APPLICABLE = "applicable"
    """It is the baseline, and every byte that the package relies on is as recorded."""
    APPLIED = "applied"
    """It is the baseline with this package written into it."""
    APPLIED_OLDER = "applied-older"
    """It is the baseline, and by its own table a package of the same line with a lower sequence is in it."""
    APPLIED_NEWER = "applied-newer"
    """The same with a higher sequence."""
    NOT_NEEDED = "not-needed"
    """It is the fixed build."""
    CONFLICT = "conflict"
    """It is the baseline but for redirected entries that hold somebody else's bytes, or only part of ours."""
    UNKNOWN_BASELINE = "unknown-baseline"
    """It is none of the builds that the package names, or no file that could be read as one."""
    NOT_LOADED = "not-loaded"
    """The process has not loaded the module, so nothing of it was compared. Never a success of its own."""


SUCCESSFUL_STATES = frozenset({ModuleState.APPLICABLE, ModuleState.APPLIED})


class Tier(StrEnum):
    """Identity of a build, strongest first (design, section 3)."""

    EXACT = "exact"
    AUTHENTICODE = "authenticode"
    SECTIONS = "sections"
    FUNCTIONS = "functions"

    @property
    def rank(self) -> int:
        """0 for the strongest tier."""
        return tuple(Tier).index(self)

    def reaches(self, lowest: "Tier") -> bool:
        """True when this tier is at least as strong as ``lowest``."""
        return self.rank <= lowest.rank


class Verdict(StrEnum):
    """The verdict on the whole run."""

    VERIFIED = "verified"
    FAILED = "failed"
    NOT_APPLICABLE = "not-applicable"


class Authenticity(StrEnum):
    """What the signatures said. ``WAIVED``: the policy asked for none, so nobody vouches for the package."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"
    WAIVED = "waived"
