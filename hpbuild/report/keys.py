"""The result of ``keys generate``."""

from hpbuild.report.blocks import Block, Line, Pairs, Tone
from hpbuild.report.document import Document, start


def document(*, algorithm: str, private: str, public: str, spki_sha256: str, protected: bool) -> Document:
    """Where the pair was written; ``spki_sha256`` is the key's name in policies and reports."""
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
    rows = (
        ("algorithm", result["algorithm"]),
        ("private key", result["private"]),
        ("public key", result["public"]),
        ("key (SPKI SHA-256)", result["spki_sha256"]),
    )
    if result["protected"]:
        return [Pairs(rows)]
    return [
        Pairs(rows),
        Line("the private key has no passphrase: whoever reads the file can sign", Tone.WARN),
    ]
