"""Cases about who signed the installed file: rule I5."""

import tempfile
from pathlib import Path

from tests.certificates import FROM, Revoked, make_crl
from tests.policies import authority
from tests.vectors.making.authorities import day, lists
from tests.vectors.making.base import parts_of
from tests.vectors.making.installed import (
    FILE,
    HERE,
    Signer,
    baseline,
    fixed,
    stuffed,
    table_of,
    with_table,
)
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting

RULE = (
    '[publisher]\nauthorities = ["vendor"]\nsubject = { common_name = "Release", organization = "Example" }\n'
)


def cases() -> list[Made]:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as elsewhere:
        return _cases(Signer(Path(folder)), Signer(Path(elsewhere)))


def _cases(signer: Signer, stranger: Signer) -> list[Made]:
    package, data = parts_of().package(), baseline()
    leaf = signer.world.leaf("Release")
    signed = signer.signed(data, leaf)
    trusted = authority("vendor", signer.world.root.pem) + RULE
    entry = Revoked(leaf, day("2026-02-01"), "superseded")
    expired = signer.signed(data, signer.world.leaf("Ended", valid=(FROM, day("2026-05-01"))))
    server = signer.signed(data, signer.world.leaf("Server", usage="extendedKeyUsage=serverAuth"))

    def made(name: str, why: str, file: bytes, code: str = "", more: str = "") -> Made:
        return case(f"publisher{name}", why, "I5", package, trusting("release", tail=trusted + more),
                    more=HERE,
                    files={FILE: file}, refused=(3, code) if code else None)  # fmt: skip

    return [
        made("", "The policy says who signs the baseline, and the installed file is signed so.", signed),
        made("-other", "The installed file is signed by another holder of a certificate of the right "
             "authority.",
             signer.signed(data, signer.world.leaf("Canteen", subject="/O=Example/CN=Canteen")), "HP6216"),
        made("-other-authority", "The installed file is signed with a certificate of the right subject by "
             "an authority "
             "that the policy does not name.", signer.signed(data, signer.world.leaf("Strange",
                                                                                     signer.world.other)),
             "HP5315"),
        made("-other-authority-of-that-name", "The same, by authorities that call themselves as the genuine "
             "ones do.",
             stranger.signed(data), "HP5317"),
        made("-unsigned", "The installed file is the baseline as it was built, and nobody signed it.", data,
             "HP6211"),
        made("-of-another-file", "The signature of another file by the same publisher was put onto the "
             "baseline.",
             _grafted(signer.signed(fixed(), leaf), data), "HP6213"),
        made("-stuffed", "Bytes were put behind the signature inside its entry: nobody signed them.",
             stuffed(signed),
             "HP6212"),
        made("-expired", "The publisher's certificate ended before the verification, and no time stamp says "
             "that the "
             "signature is older.", expired, "HP5311"),
        made("-wrong-purpose", "The publisher signed with the certificate of a web server.", server,
             "HP5313"),
        made("-revoked", "The publisher's certificate was revoked.", signed, "HP5331",
             lists(make_crl(signer.world.issuing, [entry]))),
    ]  # fmt: skip


def _grafted(signed: bytes, data: bytes) -> bytes:
    """``data`` with the certificate table of ``signed``."""
    start, size = table_of(signed)
    filled = data + bytes(-len(data) % 8)
    return with_table(filled, signed[start : start + size])
