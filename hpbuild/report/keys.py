"""The results of ``keys``."""

from hpbuild.report.blocks import Block, Line, Pairs, Tone
from hpbuild.report.document import Document, start


def document(
    *,
    algorithm: str,
    spki_sha256: str,
    private: str | None = None,
    public: str | None = None,
    protected: bool | None = None,
) -> Document:
    """Where the pair was written; ``spki_sha256`` is the key's name in policies and reports. None is what
    this run did not write."""
    return {
        **start("keys"),
        "algorithm": algorithm,
        "private": private,
        "public": public,
        "spki_sha256": spki_sha256,
        "protected": protected,
    }


def blocks(result: Document) -> list[Block]:
    """The files and the key's name."""
    named = (
        ("algorithm", result["algorithm"]),
        ("private key", result["private"]),
        ("public key", result["public"]),
        ("key (SPKI SHA-256)", result["spki_sha256"]),
    )
    rows = tuple((name, value) for name, value in named if value is not None)
    if result["protected"] is not False:
        return [Pairs(rows)]
    return [
        Pairs(rows),
        Line("the private key has no passphrase: whoever reads the file can sign", Tone.WARN),
    ]
