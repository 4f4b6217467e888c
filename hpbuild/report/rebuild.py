"""The result of ``rebuild --check``: whether a package can be made again, bit for bit."""

from collections.abc import Mapping

from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, start
from hpbuild.values import Digest


def document(
    path: str, baseline: str, fixed: str, given: Mapping[str, bytes], made: Mapping[str, bytes]
) -> Document:
    """Member by member; both mappings are without the signatures, which no rebuild can make."""
    members = [_member(name, given.get(name), made.get(name)) for name in sorted(given.keys() | made.keys())]
    same = bool(members) and all(member["same"] for member in members)
    return {
        **start("rebuild"),
        "verdict": "reproduced" if same else "different",
        "path": path,
        "baseline": baseline,
        "fixed": fixed,
        "members": members,
    }


def _member(name: str, given: bytes | None, made: bytes | None) -> Document:
    first = None
    if given is not None and made is not None and given != made:
        pairs = enumerate(zip(given, made, strict=False))
        first = next((index for index, (a, b) in pairs if a != b), min(len(given), len(made)))
    return {
        "name": name,
        "same": given == made,
        "given_sha256": None if given is None else Digest.of(given).hex,
        "made_sha256": None if made is None else Digest.of(made).hex,
        "first_difference": first,
    }


def blocks(result: Document) -> list[Block]:
    """The verdict and the members."""
    same = result["verdict"] == "reproduced"
    rows = tuple((member["name"], _outcome(member)) for member in result["members"])
    text = "reproduced: the two builds give this package, bit for bit" if same else "NOT reproduced (HP9009)"
    return [
        Line(text, Tone.GOOD if same else Tone.BAD),
        Pairs((("package", result["path"]), ("baseline", result["baseline"]), ("fixed", result["fixed"]))),
        Heading("members, without the signatures"),
        Table(("member", "outcome"), rows),
    ]


def _outcome(member: Document) -> str:
    if member["same"]:
        return "same"
    if member["given_sha256"] is None:
        return "missing in the package"
    if member["made_sha256"] is None:
        return "not made by the rebuild"
    return f"differs from byte {member['first_difference']}"
