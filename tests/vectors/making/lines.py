"""Cases about what was accepted before: rules L1 to L6."""

from collections.abc import Sequence
from typing import Any

from tests.vectors.making.base import PRODUCT, parts_of
from tests.vectors.making.model import NO_RECORD, STATE, Made, case, verify
from tests.vectors.making.policies import trusting
from tests.vectors.making.statements import revert

POLICY = trusting("release")
Package = tuple[str, bytes]


def cases() -> list[Made]:
    return [*_forward(), *_names(), *_reverts(), *_states()]


def _kb(number: int, name: str = "", product: str = PRODUCT, **predicate: Any) -> Package:
    """Name of a file and the package of that sequence."""
    parts = parts_of(name or f"KB-{number}", number, product)
    label = (name or f"kb-{number}").lower()
    return f"{label}{'' if product == PRODUCT else '-other'}.hpb", parts.package(**predicate)


def _line(
    name: str, why: str, rules: str, packages: Sequence[Package], refused: tuple[int, str] | None = None,
    policy: str = POLICY,
) -> Made:  # fmt: skip
    """The packages are offered one after the other, with one state."""
    status, codes = refused or (0, "")
    return Made(
        name=name + ("_fail" if status else ""),
        why=why,
        rules=tuple(rules.split()),
        files={**dict(packages), "policy.toml": policy.encode()},
        steps=tuple(verify(*STATE, package=f"{{case}}/{file}") for file, _ in packages),
        status=status,
        codes=tuple(codes.split()),
    )


def _forward() -> list[Made]:
    one, two, three = _kb(1), _kb(2), _kb(3)
    return [
        _line("line-forward", "Three packages of one product, in the order of their sequences.", "L1",
              [one, two, three]),
        _line("line-again", "The package that was accepted last is offered again.", "L1 L2", [one, two, two]),
        _line("lines-apart", "Sequence 3 of one product, then sequence 1 of another: each product has a "
              "line of its own.",
              "L1", [three, _kb(1, product="Other")]),
        _line("rollback", "Sequence 2 was accepted; sequence 1, genuine and signed, is offered in its "
              "place: the hole "
              "that 2 closes would be open again.", "L1", [two, one], (1, "HP8001")),
        _line("equivocation", "Two packages with sequence 2 by the same key: one of them is for somebody "
              "else.", "L2",
              [two, _kb(2, "KB-2b")], (1, "HP8002")),
        _line("sequence-jump", "A sequence 1,000 above the last one, which is the most that a policy allows "
              "when it says "
              "nothing.", "L3", [one, _kb(1001)]),
        _line("far-future-sequence", "A sequence 1,001 above the last one. Accepted, it would leave no "
              "room: no "
              "successor of the genuine line could follow.", "L3", [one, _kb(1002)], (1, "HP8003")),
        _line("highest-sequence", "The highest sequence that there is: nothing could ever follow.", "L3",
              [one, _kb(2**32 - 1)], (1, "HP8003")),
        _line("sequence-jump-allowed", "A sequence 2,000 above the last one, and a policy that allows it.",
              "L3",
              [one, _kb(2001)], policy=trusting("release", head="max_sequence_jump = 2000\n")),
    ]  # fmt: skip


def _names() -> list[Made]:
    two, five = _kb(2, supersedes=["KB-5"]), _kb(5)
    return [
        _line("id-again", "A new package with the id of one that was accepted.", "L2",
              [_kb(1), _renamed(2, "KB-1")],
              (1, "HP8004")),
        _line("superseded", "KB-2 was accepted and says that it supersedes KB-5, which is offered then with "
              "a higher "
              "sequence.", "L4", [two, five], (1, "HP8005")),
        _line("not-superseded", "KB-2 was accepted and supersedes KB-1, which was accepted before; KB-5 "
              "follows.", "L4",
              [_kb(1), _kb(2, supersedes=["KB-1"]), five]),
        _expired(),
        _line("supersedes-newer", "A package of a lower sequence says that it supersedes the one that was "
              "accepted.",
              "L1 L8", [_kb(3), _kb(2, supersedes=["KB-3"])], (1, "HP8001 HP8010")),
    ]  # fmt: skip


def _expired() -> Made:
    one, two = _kb(1), _kb(2, expiry="2026-07-01T00:00:00Z")
    steps = (
        verify(*STATE, package="{case}/" + one[0]),
        verify(*STATE, NO_RECORD, package="{case}/" + two[0]),
    )
    why = """A package is judged as of June 2026 and expires in July. The package before it was accepted
        by the machine's own clock, later than that: whoever chooses the time must not bring expired packages
        back."""
    return Made(
        name="expired-by-the-line_fail",
        why=why,
        rules=("L7",),
        files={**dict((one, two)), "policy.toml": POLICY.encode()},
        steps=steps,
        status=1,
        codes=("HP8014",),
    )


def _renamed(number: int, name: str) -> Package:
    return f"{name.lower()}-again.hpb", parts_of(name, number).package()


def _reverts() -> list[Made]:
    one = _kb(1)
    parts = parts_of("KB-1", 1)
    back = ("back.hpb", revert(parts))
    again = ("back-again.hpb", revert(parts, "KB-1-back-again", 3))
    twin = parts_of("KB-1", 1).package(expiry="2100-01-01T00:00:00Z")
    other = ("kb-7.hpb", parts_of("KB-7", 7).package())
    return [
        _line("replay-of-a-reverted-package", "A package was accepted and taken back by a signed revert "
              "package; now it is "
              "offered again.", "L1 L5", [one, back, one], (1, "HP8006")),
        _line("after-a-revert", "A package was taken back; its successor follows.", "L5 L6",
              [one, back, _kb(3)]),
        _line("revert-of-the-unknown", "A revert package for a package that was never accepted here.", "L6",
              [_kb(2, "KB-0"), ("back-3.hpb", revert(parts, sequence=3))], (3, "HP8007")),
        _line("revert-of-a-twin", "A revert package for a package of the same id and sequence as the "
              "accepted one, and "
              "with another statement.", "L6", [("kb-1-twin.hpb", twin), back], (1, "HP8008")),
        _line("revert-twice", "A second revert package for a package that was taken back.", "L6",
              [one, back, again],
              (3, "HP8009")),
        _line("rollback-by-a-revert", "A genuine old revert package is offered after a newer package: it "
              "may not take "
              "the line back.", "L1 L6", [one, other, back], (1, "HP8001")),
    ]  # fmt: skip


def _states() -> list[Made]:
    required = trusting("release", head='state = "required"\n')
    package = parts_of("KB-1", 1).package()
    nameless = parts_of("KB-1", 1, "").package()
    return [
        case("state-required", "The policy demands that accepted packages are remembered, and no state was "
             "given: every "
             "package would be the first one.", "L1", package, required, refused=(1, "HP8012")),
        _line("state-given", "The policy demands that accepted packages are remembered, and a state is "
              "given.", "L1",
              [("package.hpb", package)], policy=required),
        _line("line-without-a-name", "A package without a product: it belongs to no line, so nothing that "
              "was accepted "
              "could speak against it.", "L9", [("package.hpb", nameless)], (1, "HP8011")),
    ]  # fmt: skip
