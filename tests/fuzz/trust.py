"""Readers of what proves who signed and when: certificates, revocation lists, time stamps, PKCS #7."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from hpbuild.errors import HpbuildError
from hpbuild.sign.certificates import Certificate, certificate_key, load_certificate, load_certificates_pem
from hpbuild.sign.chains import Purpose, build_chain
from hpbuild.sign.revocation import find_revocation, load_list, load_lists_pem
from hpbuild.sign.timestamps import check_timestamp, read_token
from hpbuild.verify.authenticode import read_signature

INPUTS = Path(__file__).parent / "inputs"
"""Made once with OpenSSL and osslsigncode: an authority, a certificate for code signing and a revocation list
that it issued, a time stamp over SIGNED, an Authenticode signature."""
SIGNED = b"signature"
_AT = datetime(2030, 1, 1, tzinfo=UTC)


def read_trust(data: bytes) -> None:
    """Every reader; what one of them accepts was issued by the authority and says what it said then."""
    with suppress(HpbuildError):
        _judge_certificate(load_certificate(data, "certificate"))
    with suppress(HpbuildError):
        found = load_list(data, "list")
        revoked = find_revocation(_known("code"), _known("root"), (found,), now=_AT)
        assert revoked is None or data == _input("crl"), "a forged revocation list"
    with suppress(HpbuildError):
        read_token(data)
        stamp = check_timestamp(data, SIGNED, (_known("root"),))
        assert stamp == check_timestamp(_input("token"), SIGNED, (_known("root"),)), "a forged time stamp"
    with suppress(HpbuildError):
        assert read_signature(data, "file").digest == read_signature(_input("pkcs7"), "file").digest
    for reader in (load_certificates_pem, load_lists_pem):
        with suppress(HpbuildError):
            reader(data, "pem")


def _judge_certificate(certificate: Certificate) -> None:
    with suppress(HpbuildError):
        certificate_key(certificate)
    with suppress(HpbuildError):
        chain = build_chain(certificate, (), (_known("root"),), at=_AT, purpose=Purpose.CODE_SIGNING)
        assert chain.leaf.der == _input("code"), "a forged certificate"
    with suppress(HpbuildError):
        build_chain(_known("code"), (certificate,), (certificate,), at=_AT, purpose=Purpose.CODE_SIGNING)


@cache
def _input(name: str) -> bytes:
    return (INPUTS / f"{name}.der").read_bytes()


@cache
def _known(name: str) -> Certificate:
    return load_certificate(_input(name), name)
