"""The result of ``sign``."""

from collections.abc import Iterable

from hpbuild.dataclass import dataclass
from hpbuild.report.blocks import Block, Heading, Pairs, Table
from hpbuild.report.document import Document, start


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureMade:
    """A signature that this run added, and how many certificates and time stamps went along."""

    algorithm: str
    spki_sha256: str
    certificates: int = 0
    timestamps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Bytes that were written to be signed elsewhere. ``hash`` and ``digest`` are for tools that sign a
    digest; both are '' for the algorithms that sign the bytes themselves."""

    path: str
    size: int
    sha256: str
    algorithm: str
    spki_sha256: str
    hash: str
    digest: str


def document(path: str, sha256: str, signatures: Iterable[SignatureMade]) -> Document:
    """``path`` is the signed package, ``sha256`` its digest."""
    made = [
        {
            "algorithm": item.algorithm,
            "spki_sha256": item.spki_sha256,
            "certificates": item.certificates,
            "timestamps": item.timestamps,
        }
        for item in signatures
    ]
    return {**start("sign"), "path": path, "sha256": sha256, "signatures": made, "request": None}


def prepared(path: str, sha256: str, request: Request) -> Document:
    """``path`` is the package, which stayed as it was, ``sha256`` its digest."""
    fields = {
        "path": request.path,
        "size": request.size,
        "sha256": request.sha256,
        "algorithm": request.algorithm,
        "spki_sha256": request.spki_sha256,
        "hash": request.hash,
        "digest": request.digest,
    }
    return {**start("sign"), "path": path, "sha256": sha256, "signatures": [], "request": fields}


def blocks(result: Document) -> list[Block]:
    """The written file and who signed it, or has to."""
    request = result["request"]
    if request is not None:
        pairs = [
            ("bytes to sign", f"{request['path']} ({request['size']} bytes)"),
            ("sha256", request["sha256"]),
            ("algorithm", request["algorithm"]),
            ("key", request["spki_sha256"]),
        ]
        if request["hash"]:
            pairs.append((f"digest to sign ({request['hash']})", request["digest"]))
        return [Pairs(tuple(pairs))]
    rows = tuple(
        (entry["algorithm"], entry["spki_sha256"], str(entry["certificates"]), str(entry["timestamps"]))
        for entry in result["signatures"]
    )
    return [
        Pairs((("written", result["path"]), ("sha256", result["sha256"]))),
        Heading("signed by"),
        Table(("algorithm", "key (SPKI SHA-256)", "certificates", "time stamps"), rows),
    ]
