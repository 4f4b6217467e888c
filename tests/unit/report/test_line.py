"""What ``line show`` says."""

from datetime import UTC, datetime

from hpbuild.bundle.statement import Reverts
from hpbuild.manifest.schema import validate
from hpbuild.report import plain
from hpbuild.report.line import blocks, document
from hpbuild.values import Digest
from hpbuild.verify.line import Accepted, AcceptedLines


def package(name: str, sequence: int, *supersedes: str, back: str = "") -> Accepted:
    reverts = None
    if back:
        reverts = Reverts(id=back, sequence=1, statement=Digest.of(back.encode()), reason="it crashes")
    return Accepted(
        id=name, sequence=sequence, statement=Digest.of(name.encode()).hex, supersedes=supersedes,
        reverts=reverts, time=datetime(2026, 1, 31, 12, tzinfo=UTC),
    )  # fmt: skip


LINES = (
    AcceptedLines()
    .having("Codec", package("KB-1", 1))
    .having("Codec", package("KB-2", 2, "KB-1"))
    .having("Codec", package("KB-3", 3))
    .having("Codec", package("KB-4", 4, back="KB-3"))
    .having("Other", package("O-1", 1))
)


def test_document() -> None:
    made = document("state", LINES)
    validate(made, made["schema"], "line")
    codec, other = made["lines"]
    assert [item["standing"] for item in codec["packages"]] == [
        "superseded", "in-effect", "taken-back", "revert",
    ]  # fmt: skip
    assert (codec["highest"], codec["in_effect"], other["in_effect"]) == (4, ["KB-2"], ["O-1"])


def test_nothing_accepted() -> None:
    made = document("state", AcceptedLines())
    validate(made, made["schema"], "line")
    assert "0 product lines" in plain.render(blocks(made))


def test_text() -> None:
    text = plain.render(blocks(document("state", LINES)))
    for part in ("product Codec", "product Other", "supersedes KB-1", "takes KB-3 back: it crashes", "KB-2"):
        assert part in text
