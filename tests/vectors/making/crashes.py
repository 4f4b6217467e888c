"""Installed files that once made a reader fail with something else than an answer: the fuzzer found them."""

from pathlib import Path

from tests.vectors.making.base import parts_of
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting

FOUND = Path(__file__).resolve().parents[2] / "fuzz" / "crashes" / "pe"
FILE = "installed.dll"
WHY = (
    "A fuzzer made this PE file, and a reader of hpbuild failed on it with an exception instead of a refusal "
    "({what}). Whoever can place a file where it is compared can place this one. A verifier that looks into "
    "such a table may not fall over: the file is not the baseline, and that is the answer."
)
WHAT = {
    "empty-resource-outside-the-image": "its version resource is empty and lies outside the image",
    "slots-outside-the-image": "the slots of its imports lie outside the image",
}


def cases() -> list[Made]:
    package, policy = parts_of().package(), trusting("release")
    return [
        case(
            f"found-by-the-fuzzer-{path.name}",
            WHY.format(what=WHAT[path.name]),
            "I1 I2",
            package,
            policy,
            more=("--installed", "{case}/" + FILE),
            files={FILE: path.read_bytes()},
            refused=(3, "HP6042"),
        )
        for path in sorted(FOUND.iterdir())
    ]
