"""Time stamps by ``openssl ts``; those that it would not make are assembled with ``openssl cms``."""

import hashlib
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rfc3161_client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hpbuild.codes import certificates as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign import asn1
from hpbuild.sign.certificates import Certificate, load_certificate
from hpbuild.sign.extension import MAX_TIMESTAMP
from hpbuild.sign.revocation import load_lists_pem
from hpbuild.sign.timestamps import Timestamp, check_timestamp, read_token
from tests.certificates import (
    CODE_SIGNING,
    FROM,
    TIME_STAMPING,
    Entity,
    Revoked,
    make_authority,
    make_crl,
    make_leaf,
    make_timestamp,
    openssl,
)

SIGNATURE = b"bytes of a signature"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Path:
    require_tool("openssl")
    return tmp_path_factory.mktemp("timestamps")


@pytest.fixture(scope="module")
def root(folder: Path) -> Entity:
    return make_authority(folder / "root", "Time Root", algorithm="rsa-2048")


@pytest.fixture(scope="module")
def issuing(folder: Path, root: Entity) -> Entity:
    return make_authority(folder / "issuing", "Time CA", issuer=root)


@pytest.fixture(scope="module")
def signer(folder: Path, issuing: Entity) -> Entity:
    return make_leaf(folder / "signer", issuing, "Time", usage=TIME_STAMPING)


@pytest.fixture(scope="module")
def token(folder: Path, signer: Entity) -> bytes:
    return make_timestamp(folder / "token", signer, SIGNATURE)


def read(*entities: Entity) -> list[Certificate]:
    return [load_certificate(item.der, item.name) for item in entities]


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


def check(token: bytes, *roots: Entity, signature: bytes = SIGNATURE, lists: bytes = b"") -> Timestamp:
    revocations = load_lists_pem(lists, "lists") if lists else ()
    return check_timestamp(token, signature, read(*roots), revocations)


def info(
    signature: bytes = SIGNATURE,
    time: bytes = b"20260601120000Z",
    version: int = 1,
    extensions: list[asn1.Extension] | None = None,
) -> bytes:
    """A TSTInfo of that time."""
    value = asn1.encode(
        asn1.TimestampInfo(
            version=version,
            policy=x509.ObjectIdentifier("1.2.3"),
            imprint=asn1.MessageImprint(
                algorithm=asn1.Algorithm(algorithm=asn1.SHA256), digest=hashlib.sha256(signature).digest()
            ),
            serial=7,
            time=asn1.time(datetime(2026, 6, 1, 12, tzinfo=UTC)),
            ordering=False,
            extensions=extensions,
        )
    )
    old = asn1.der(b"\x18", b"20260601120000Z")
    assert old in value
    body = value.replace(old, asn1.der(b"\x18", time))[2:]
    return asn1.der(b"\x30", body)


def assembled(folder: Path, signer: Entity, content: bytes, *more: str) -> bytes:
    """A TimeStampResp around ``content``, signed as CMS signs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "content").write_bytes(content)
    chain = folder / "chain.pem"
    chain.write_bytes(b"".join(item.pem for item in signer.chain[1:]) or signer.pem)
    cms = openssl(
        "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-cades", "-outform", "DER", "-md", "sha256",
        "-econtent_type", "1.2.840.113549.1.9.16.1.4", "-in", folder / "content",
        "-signer", signer.certificate, "-inkey", signer.key, *more,
    )  # fmt: skip
    return asn1.der(b"\x30", asn1.der(b"\x30", b"\x02\x01\x00") + cms)


def test_the_time_of_a_real_authority(token: bytes, root: Entity, issuing: Entity) -> None:
    found = check(token, root)
    assert abs(found.time - datetime.now(UTC)) < timedelta(hours=1)
    assert found.time.utcoffset() == timedelta(0)
    assert found.authority == "CN=Time"
    assert check(token, issuing) == found


@pytest.mark.parametrize("algorithm", ["rsa-2048", "ecdsa-p384"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_algorithms(tmp_path: Path, folder: Path, algorithm: str, digest: str) -> None:
    top = make_authority(tmp_path / "root", "Root", algorithm=algorithm)
    signer = make_leaf(tmp_path / "signer", top, usage=TIME_STAMPING, algorithm=algorithm)
    assert check(make_timestamp(tmp_path, signer, SIGNATURE, digest=digest, imprint=digest), top)


@pytest.mark.parametrize(
    "settings",
    [
        ["tsa_name=yes", "ordering=yes"],
        ["accuracy=secs:1,millisecs:500,microsecs:100"],
        ["ess_cert_id_chain=yes"],
        ["ess_cert_id_alg=sha1"],
        ["ess_cert_id_alg=sha512"],
        ["clock_precision_digits=6"],
    ],
)
def test_settings_of_authorities(
    tmp_path: Path, signer: Entity, root: Entity, settings: Sequence[str]
) -> None:
    """Optional fields, the older attribute that names the certificate by SHA-1, and parts of a second."""
    token = make_timestamp(tmp_path, signer, SIGNATURE, settings=settings)
    assert abs(check(token, root).time - datetime.now(UTC)) < timedelta(hours=1)


def test_rsa_pss(tmp_path: Path, folder: Path) -> None:
    top = make_authority(tmp_path / "root", "Root", algorithm="rsa-2048")
    signer = make_leaf(tmp_path / "signer", top, usage=TIME_STAMPING, algorithm="rsa-2048")
    padding = ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:32")
    made = assembled(tmp_path, signer, info(), *padding)
    assert check(made, top) == Timestamp(datetime(2026, 6, 1, 12, tzinfo=UTC), "CN=Release", 7)


def test_fraction_of_a_second(tmp_path: Path, root: Entity, signer: Entity, issuing: Entity) -> None:
    made = assembled(tmp_path, signer, info(time=b"20260601120000.25Z"))
    assert check(made, issuing).time == datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def test_openssl_agrees(tmp_path: Path, token: bytes, root: Entity) -> None:
    (tmp_path / "token").write_bytes(token)
    (tmp_path / "signature").write_bytes(SIGNATURE)
    output = openssl(
        "ts",
        "-verify",
        "-data",
        tmp_path / "signature",
        "-in",
        tmp_path / "token",
        "-CAfile",
        root.certificate,
    )
    assert b"Verification: OK" in output


def test_rfc3161_client_agrees(tmp_path: Path, folder: Path) -> None:
    """One certificate: that library wants the certificates sorted, and openssl does not sort them."""
    top = make_authority(tmp_path / "root", "Root")
    signer = make_leaf(tmp_path / "signer", top, usage=TIME_STAMPING)
    token = make_timestamp(tmp_path, signer, SIGNATURE)
    response = rfc3161_client.decode_timestamp_response(token)
    roots = [x509.load_der_x509_certificate(top.der)]
    assert rfc3161_client.VerifierBuilder(roots=roots).build().verify_message(response, SIGNATURE)
    assert check(token, top).time == response.tst_info.gen_time
    assert check(token, top).serial == response.tst_info.serial_number


def test_no_flipped_bit_and_no_shorter_token_counts(token: bytes, root: Entity) -> None:
    roots = read(root)
    for position in range(len(token)):
        for bit in range(8):
            data = bytearray(token)
            data[position] ^= 1 << bit
            assert_refused(bytes(data), roots)
        assert_refused(token[:position], roots)
    assert_refused(token + b"\0", roots)


def assert_refused(token: bytes, roots: list[Certificate]) -> None:
    with pytest.raises(HpbuildError) as caught:
        check_timestamp(token, SIGNATURE, roots)
    assert caught.value.code.id.startswith(("HP53", "HP54"))


def test_malformed(token: bytes, root: Entity) -> None:
    for data in (b"", b"\x30\0", token[:-1], bytes(MAX_TIMESTAMP + 1)):
        assert refusal(lambda data=data: check(data, root)) is codes.BAD_TIMESTAMP


def test_other_content(tmp_path: Path, signer: Entity, issuing: Entity) -> None:
    for content in (b"no time", info(version=2), info(time=b"20260601120000+0100")):
        made = assembled(tmp_path, signer, content)
        assert refusal(lambda made=made: check(made, issuing)) is codes.BAD_TIMESTAMP


def test_extensions(tmp_path: Path, signer: Entity, issuing: Entity) -> None:
    for critical in (False, True):
        extension = asn1.Extension(type=x509.ObjectIdentifier("1.2.3"), critical=critical, value=b"x")
        made = assembled(tmp_path, signer, info(extensions=[extension]))
        if critical:
            assert refusal(lambda made=made: check(made, issuing)) is codes.BAD_TIMESTAMP
        else:
            assert check(made, issuing)


def resigned(token: bytes, signer: Entity, change: Callable[[list[asn1.Attribute]], None]) -> bytes:
    """The token with other signed attributes, signed by the authority's own key."""
    key = serialization.load_pem_private_key(signer.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    response = asn1.decode(asn1.TimestampResponse, token)
    assert response.token is not None
    one = response.token.content.signers.as_list()[0]
    assert one.signed_attributes is not None
    attributes = [asn1.decode(asn1.Attribute, asn1.tlv(item)) for item in one.signed_attributes.as_list()]
    change(attributes)
    encoded = sorted(asn1.encode(item) for item in attributes)
    message = asn1.der(asn1.SET_TAG, b"".join(encoded))
    one.signed_attributes = asn1.set_of([asn1.element(item) for item in encoded])
    one.signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
    response.token.content.signers = asn1.set_of([one])
    return asn1.encode(response)


def test_signed_attributes(token: bytes, signer: Entity, root: Entity) -> None:
    """What the authority signed must be a time stamp, and say each thing once."""

    def other_type(attributes: list[asn1.Attribute]) -> None:
        (one,) = (item for item in attributes if item.type == asn1.CONTENT_TYPE)
        one.values = asn1.set_of([asn1.element(asn1.oid(asn1.DATA))])

    def twice(attributes: list[asn1.Attribute]) -> None:
        attributes += [item for item in attributes if item.type == asn1.MESSAGE_DIGEST]

    def two_values(attributes: list[asn1.Attribute]) -> None:
        for item in attributes:
            if item.type == asn1.MESSAGE_DIGEST:
                item.values = asn1.set_of([*item.values.as_list(), asn1.element(b"\x04\x01x")])

    assert check(resigned(token, signer, lambda _: None), root) == check(token, root)
    for change in (other_type, twice, two_values):
        made = resigned(token, signer, change)
        assert refusal(lambda made=made: check(made, root)) is codes.BAD_TIMESTAMP


@pytest.mark.parametrize(
    ("algorithm", "oid"),
    [
        ("ecdsa-p256", "1.2.840.10045.4.3.3"),
        ("rsa-2048", "1.2.840.113549.1.1.12"),
        ("rsa-2048", "1.2.840.113549.1.1.5"),
    ],
)
def test_algorithms_that_do_not_fit(tmp_path: Path, root: Entity, algorithm: str, oid: str) -> None:
    """A signature algorithm with another hash than that of the signature; the field is not signed."""
    signer = make_leaf(tmp_path / "signer", root, usage=TIME_STAMPING, algorithm=algorithm)
    response = asn1.decode(asn1.TimestampResponse, make_timestamp(tmp_path, signer, SIGNATURE))
    assert response.token is not None
    (one,) = response.token.content.signers.as_list()
    assert check(asn1.encode(response), root)
    one.signature_algorithm.algorithm = x509.ObjectIdentifier(oid)
    response.token.content.signers = asn1.set_of([one])
    assert refusal(lambda: check(asn1.encode(response), root)) is codes.TIMESTAMP_WEAK


def test_without_the_certificate_of_the_signer(tmp_path: Path, signer: Entity, issuing: Entity) -> None:
    bare = assembled(tmp_path, signer, info(), "-nocerts")
    assert refusal(lambda: check(bare, issuing)) is codes.BAD_TIMESTAMP
    other = assembled(tmp_path, signer, info(), "-nocerts", "-certfile", str(issuing.certificate))
    assert refusal(lambda: check(other, issuing)) is codes.BAD_TIMESTAMP


def test_two_signers(tmp_path: Path, signer: Entity, issuing: Entity) -> None:
    second = make_leaf(tmp_path / "second", issuing, "Second", usage=TIME_STAMPING)
    made = assembled(tmp_path, signer, info(), "-signer", str(second.certificate), "-inkey", str(second.key))
    assert refusal(lambda: check(made, issuing)) is codes.BAD_TIMESTAMP


def test_without_the_attribute_that_names_the_certificate(
    tmp_path: Path, signer: Entity, issuing: Entity
) -> None:
    (tmp_path / "content").write_bytes(info())
    cms = openssl(
        "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-md", "sha256",
        "-econtent_type", "1.2.840.113549.1.9.16.1.4", "-in", tmp_path / "content",
        "-signer", signer.certificate, "-inkey", signer.key,
    )  # fmt: skip
    made = asn1.der(b"\x30", asn1.der(b"\x30", b"\x02\x01\x00") + cms)
    assert refusal(lambda: check(made, issuing)) is codes.BAD_TIMESTAMP


def test_certificate_exchanged_for_one_of_the_same_key(
    tmp_path: Path, signer: Entity, issuing: Entity, token: bytes
) -> None:
    """The token names its certificate by hash: another one with the same key, name and number is not it."""
    old = x509.load_der_x509_certificate(signer.der)
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), old.serial_number, FROM, old.not_valid_after_utc
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    key = serialization.load_pem_private_key(issuing.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    twin = builder.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.DER)
    response = asn1.decode(asn1.TimestampResponse, token)
    assert response.token is not None
    response.token.content.certificates = [asn1.element(twin)]
    made = asn1.encode(response)
    assert refusal(lambda: check(made, issuing)) is codes.TIMESTAMP_BAD_SIGNATURE


@pytest.mark.usefixtures("token")  # whose making leaves the authority's configuration
def test_not_granted(folder: Path, root: Entity) -> None:
    """A real refusal: the request asks for a hash that the authority does not take."""
    query = openssl("ts", "-query", "-digest", "00" * 28, "-sha224", "-cert")
    config = folder / "token" / "ts.cnf"
    (folder / "refused.tsq").write_bytes(query)
    signer = ("-signer", folder / "signer" / "certificate.pem", "-inkey", folder / "signer" / "key.pem")
    done = subprocess.run(
        ["openssl", "ts", "-reply", "-config", config, "-queryfile", folder / "refused.tsq", *signer],
        capture_output=True, check=False,
    )  # fmt: skip
    assert refusal(lambda: check(done.stdout, root)) is codes.TIMESTAMP_NOT_GRANTED


def test_other_data(token: bytes, root: Entity) -> None:
    refused = refusal(lambda: check(token, root, signature=SIGNATURE + b"."))
    assert refused is codes.TIMESTAMP_OF_OTHER_DATA


def test_untrusted(tmp_path: Path, token: bytes, root: Entity) -> None:
    for name in ("Other", "Time Root"):
        other = make_authority(tmp_path / name, name)
        assert refusal(lambda other=other: check(token, other)) is codes.TIMESTAMP_UNTRUSTED
    assert refusal(lambda: check(token)) is codes.TIMESTAMP_UNTRUSTED


@pytest.mark.parametrize(
    "usage",
    ["", CODE_SIGNING, "extendedKeyUsage=timeStamping", "extendedKeyUsage=critical,timeStamping,codeSigning"],
)
def test_wrong_purpose(tmp_path: Path, root: Entity, usage: str) -> None:
    signer = make_leaf(tmp_path / "signer", root, usage=usage)
    made = assembled(tmp_path, signer, info())
    assert refusal(lambda: check(made, root)) is codes.TIMESTAMP_WRONG_PURPOSE


def test_outside_validity(tmp_path: Path, root: Entity) -> None:
    for span in (
        (FROM, datetime(2026, 6, 1, 11, tzinfo=UTC)),
        (datetime(2026, 6, 1, 13, tzinfo=UTC), datetime(2045, 1, 1, tzinfo=UTC)),
    ):
        signer = make_leaf(tmp_path / "signer", root, usage=TIME_STAMPING, valid=span)
        made = assembled(tmp_path, signer, info())
        assert refusal(lambda made=made: check(made, root)) is codes.TIMESTAMP_OUTSIDE_VALIDITY


def test_weak_hashes(tmp_path: Path, signer: Entity, root: Entity) -> None:
    for how in ({"digest": "sha1"}, {"imprint": "sha1"}):
        made = make_timestamp(tmp_path, signer, SIGNATURE, **how)
        assert refusal(lambda made=made: check(made, root)) is codes.TIMESTAMP_WEAK


def test_weak_key(tmp_path: Path, root: Entity) -> None:
    signer = make_leaf(tmp_path / "signer", root, usage=TIME_STAMPING, algorithm="rsa-1024")
    assert refusal(lambda: check(assembled(tmp_path, signer, info()), root)) is codes.TIMESTAMP_WEAK


def test_signed_by_another_key(token: bytes, root: Entity) -> None:
    response = asn1.decode(asn1.TimestampResponse, token)
    assert response.token is not None
    signer = response.token.content.signers.as_list()[0]
    signer.signature = signer.signature[:-1] + bytes([signer.signature[-1] ^ 1])
    made = asn1.encode(response)
    assert refusal(lambda: check(made, root)) is codes.TIMESTAMP_BAD_SIGNATURE


def test_changed_time(folder: Path, token: bytes, root: Entity) -> None:
    """The time is what the signed digest is about."""
    stated = read_token(token).time
    old, new = (f"{time:%Y%m%d%H%M%SZ}".encode() for time in (stated, stated - timedelta(days=365)))
    assert refusal(lambda: check(token.replace(old, new), root)) is codes.TIMESTAMP_BAD_SIGNATURE


def test_revoked_authority(signer: Entity, issuing: Entity, root: Entity, token: bytes) -> None:
    stated = read_token(token).time
    before = make_crl(issuing, [Revoked(signer, stated - timedelta(days=1))])
    assert refusal(lambda: check(token, root, lists=before)) is codes.TIMESTAMP_REVOKED
    after = make_crl(issuing, [Revoked(signer, stated + timedelta(days=1))])
    assert check(token, root, lists=after)


def test_outdated_list(issuing: Entity, root: Entity, token: bytes) -> None:
    lists = make_crl(issuing, valid=(FROM, datetime(2016, 1, 1, tzinfo=UTC)))
    assert refusal(lambda: check(token, root, lists=lists)) is codes.LIST_OUTDATED
    revocations = load_lists_pem(lists, "x")
    assert check_timestamp(token, SIGNATURE, read(root), revocations, accept_outdated=True)
