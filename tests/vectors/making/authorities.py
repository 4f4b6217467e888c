"""Certificates, lists and time stamps of the cases, made by openssl, with times of our choosing."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cryptography import x509

from hpbuild.sign import asn1
from tests.certificates import TIME_STAMPING, Entity, make_authority, make_leaf, openssl
from tests.policies import authority, identity
from tests.vectors.making.keys import KEYS, private

SUBJECT = "/O=Example/CN=Release"
GENERALIZED_TIME, SEQUENCE = b"\x18", b"\x30"
TST_INFO = "1.2.840.113549.1.9.16.1.4"


def day(text: str) -> datetime:
    """Midnight of an ISO day, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """The authorities, made in ``folder`` when they are asked for. The key of every signer's certificate is
    the suite's ``holder``."""

    folder: Path

    @cached_property
    def root(self) -> Entity:
        return make_authority(self.folder / "root", "Example Root")

    @cached_property
    def issuing(self) -> Entity:
        return make_authority(self.folder / "issuing", "Example Issuing", issuer=self.root)

    @cached_property
    def other(self) -> Entity:
        return make_authority(self.folder / "other", "Other Root")

    @cached_property
    def time_root(self) -> Entity:
        return make_authority(self.folder / "time-root", "Example Time Root")

    @cached_property
    def clock(self) -> Entity:
        return self.stamper("clock", self.time_root)

    def leaf(
        self, name: str, issuer: Entity | None = None, *, subject: str = SUBJECT, **how: object
    ) -> Entity:
        """A signer's certificate of the key ``holder``, by the issuing authority unless another is given."""
        private("holder")
        key = KEYS / "holder.key.pem"
        place = self.folder / f"leaf-{name}"
        return make_leaf(place, issuer or self.issuing, name, key=key, subject=subject, **how)  # type: ignore[arg-type]

    def stamper(self, name: str, issuer: Entity, usage: str = TIME_STAMPING, **how: object) -> Entity:
        """The certificate of a time-stamp authority, with a key of its own."""
        return make_leaf(self.folder / f"stamper-{name}", issuer, f"Time {name}", usage=usage, **how)  # type: ignore[arg-type]

    def stamp(self, signature: bytes, time: str, signer: Entity | None = None, *more: str) -> bytes:
        """A TimeStampResp about ``signature`` of the moment ``time`` (digits as in ASN.1), by the usual
        authority unless another is given; ``more`` are options of ``openssl cms``."""
        return assembled(self.folder / "stamp", signer or self.clock, info(signature, time), *more)


def identity_of(root: Entity, *, name: str = "corp", common_name: str = "Release") -> str:
    """The tables of a policy that accept certificates of ``root`` with the usual subject."""
    return authority(name, root.pem) + identity(
        "signer", [name], common_name=common_name, organization="Example"
    )


def stampers(*roots: Entity) -> str:
    """The tables of a policy that trust these roots for time stamps."""
    return "".join(
        authority(f"time-{number}", root.pem, "timestamp_authorities") for number, root in enumerate(roots)
    )


def lists(*pems: bytes, outdated: str = "") -> str:
    """The table of a policy with revocation lists."""
    texts = ", ".join(f'"""{pem.decode()}"""' for pem in pems)
    return f"[revoked]\n{outdated}certificates = [{texts}]\n"


def info(signature: bytes, time: str, digest: str = "sha256") -> bytes:
    """The TSTInfo (RFC 3161, section 2.4.2) about ``signature`` at ``time``, such as 20260301000000Z."""
    algorithm = asn1.SHA256 if digest == "sha256" else x509.ObjectIdentifier("1.3.14.3.2.26")
    value = asn1.encode(
        asn1.TimestampInfo(
            version=1,
            policy=x509.ObjectIdentifier("1.2.3.4.1"),
            imprint=asn1.MessageImprint(
                algorithm=asn1.Algorithm(algorithm=algorithm),
                digest=hashlib.new(digest, signature, usedforsecurity=False).digest(),
            ),
            serial=7,
            time=asn1.time(datetime.strptime(time, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)),
            ordering=False,
            extensions=None,
        )
    )
    if asn1.der(GENERALIZED_TIME, time.encode()) not in value:
        raise ValueError(f"{time} is not in the token")
    return value


def assembled(folder: Path, signer: Entity, content: bytes, *more: str) -> bytes:
    """A TimeStampResp around the TSTInfo ``content``, signed by ``signer``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "content").write_bytes(content)
    cms = openssl(
        "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-cades", "-outform", "DER", "-md", "sha256",
        "-econtent_type", TST_INFO, "-in", folder / "content",
        "-signer", signer.certificate, "-inkey", signer.key, *more,
    )  # fmt: skip
    return asn1.der(SEQUENCE, asn1.der(SEQUENCE, b"\x02\x01\x00") + cms)


def chain(entities: Sequence[Entity]) -> list[bytes]:
    """DER certificates in this order."""
    return [item.der for item in entities]
