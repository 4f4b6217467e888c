"""Cases about roles and the hybrid rule: T1 to T3, and policies that say two things."""

from tests.policies import HEAD
from tests.vectors.making.base import Parts, parts_of
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import pem, trusting
from tests.vectors.making.sealing import vote

HYBRID = "hybrid = true\n"


def cases() -> list[Made]:
    parts = parts_of()
    return [*_roles(parts), *_hybrid(parts), *_policies(parts)]


def _signed(parts: Parts, *keys: str) -> bytes:
    payload = parts.statement()
    return parts.package([vote(key, payload) for key in keys])


def _roles(parts: Parts) -> list[Made]:
    policy = trusting("release", "security", roles={"build": ["release"], "review": ["security"]})
    several = trusting(
        "release", "p256", "security", roles={"build": ["release", "p256"], "review": ["security"]}
    )
    return [
        case("two-roles", "Two roles, each met by a key of its own.", "T1", _signed(parts, "release",
                                                                                    "security"), policy),
        case("role-not-met", "Two roles; nobody signed for the second one.", "T1", _signed(parts, "release"),
             policy,
             refused=(1, "HP6003")),
        case("role-met-twice", "Two keys of the first role signed, and none of the second: votes are not "
             "carried over.",
             "T1 T2", _signed(parts, "release", "p256"), several, refused=(1, "HP6003")),
    ]  # fmt: skip


def _hybrid(parts: Parts) -> list[Made]:
    policy = trusting("release", "mldsa65", head=HYBRID)
    larger = trusting("release", "p256", "mldsa65", "mldsa87", threshold=2, head=HYBRID)
    return [
        case("hybrid-both", "A classical and an ML-DSA key signed, as the hybrid rule demands.", "T3",
             _signed(parts, "release", "mldsa65"), policy),
        case("hybrid-classical-alone", "Only the classical key signed: whoever breaks classical signatures "
             "could have "
             "done it, and taken the other signature away.", "T3", _signed(parts, "release"), policy,
             refused=(1, "HP6131")),
        case("hybrid-post-quantum-alone", "Only the ML-DSA key signed.", "T3", _signed(parts, "mldsa65"),
             policy,
             refused=(1, "HP6131")),
        case("hybrid-threshold", "A threshold of two with the hybrid rule: two classical votes and one by "
             "ML-DSA.", "T3",
             _signed(parts, "release", "p256", "mldsa65"), larger, refused=(1, "HP6131")),
    ]  # fmt: skip


def _policies(parts: Parts) -> list[Made]:
    """Policies that a verifier refuses, with a package that a sound one would accept."""
    package = _signed(parts, "release", "security")
    good = trusting("release", "security", threshold=2)
    alias = f'[[keys]]\nname = "alias"\npublic = """{pem("release")}"""\n'
    roles = '[[roles]]\nname = "more"\nkeys = ["release"]\n'

    def bad(name: str, why: str, rules: str, text: str, status: int, code: str) -> Made:
        return case(f"policy-{name}", why, rules, package, text, refused=(status, code))

    return [
        bad("key-under-two-names", "A policy that names one key twice, so that it could vote twice.", "T2 E6",
            good + alias, 2, "HP6105"),
        bad("key-in-two-roles", "A policy that lists a key in two roles.", "T2", good + roles, 2, "HP6105"),
        bad("unknown-entry", "A policy with an entry that the format does not know: skipped, a rule that "
            "its author "
            "relies on would not be there.", "T1", good.replace(HEAD, HEAD + "requires_timestamps = true\n"),
            4,
            "HP6102"),
        bad("entry-twice", "A policy with an entry twice.", "T1",
            good.replace(HEAD, HEAD + 'lowest_tier = "exact"\nlowest_tier = "functions"\n'), 4, "HP6101"),
        bad("without-roles", "A policy that trusts nobody.", "T1", HEAD, 2, "HP6106"),
        bad("threshold-zero", "A policy whose role needs no vote.", "T1", good.replace("threshold = 2",
                                                                                       "threshold = 0"), 4,
            "HP6102"),
        bad("threshold-too-high", "A policy whose role needs more votes than it has keys.", "T1",
            good.replace("threshold = 2", "threshold = 3"), 2, "HP6020"),
        bad("override-of-integrity", "A policy that overrides the finding that a member is not as signed.",
            "T8",
            good + _override("HP4302"), 2, "HP6108"),
        bad("override-of-signatures", "A policy that overrides the finding that signatures are missing.",
            "T8",
            good + _override("HP6003"), 2, "HP6108"),
    ]  # fmt: skip


def _override(code: str) -> str:
    return (
        f'[[overrides]]\ncode = "{code}"\npackage = "KB-1"\nreason = "we know"\nby = "A. Example"\n'
        "expires = 2030-01-01T00:00:00Z\n"
    )
