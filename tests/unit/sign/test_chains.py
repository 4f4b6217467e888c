"""Certification paths of certificates that the openssl command makes: each reason to refuse by its code."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hpbuild.codes import certificates as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.certificates import Certificate, load_certificate
from hpbuild.sign.chains import MAX_BELOW_ROOT, MAX_SIGNATURE_CHECKS, Chain, Purpose, build_chain
from hpbuild.sign.revocation import load_list, load_lists_pem
from tests.certificates import (
    CODE_SIGNING,
    FROM,
    TIME_STAMPING,
    TO,
    Entity,
    Revoked,
    make_authority,
    make_crl,
    make_leaf,
)

AT = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Path:
    require_tool("openssl")
    return tmp_path_factory.mktemp("chains")


@pytest.fixture(scope="module")
def root(folder: Path) -> Entity:
    return make_authority(folder / "root", "Root")


@pytest.fixture(scope="module")
def issuing(folder: Path, root: Entity) -> Entity:
    return make_authority(folder / "issuing", "Issuing", issuer=root)


@pytest.fixture(scope="module")
def leaf(folder: Path, issuing: Entity) -> Entity:
    return make_leaf(folder / "leaf", issuing, extra=["subjectAltName=URI:https://example.com/release"])


def read(*entities: Entity) -> list[Certificate]:
    return [load_certificate(item.der, item.name) for item in entities]


def chain(
    leaf: Entity,
    others: Sequence[Entity],
    roots: Sequence[Entity],
    at: datetime = AT,
    purpose: Purpose = Purpose.CODE_SIGNING,
    lists: bytes = b"",
    now: datetime | None = None,
    accept_outdated: bool = False,
) -> Chain:
    return build_chain(
        read(leaf)[0],
        read(*others),
        read(*roots),
        at=at,
        purpose=purpose,
        revocations=load_lists_pem(lists, "lists") if lists else (),
        now=now,
        accept_outdated=accept_outdated,
    )


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


def test_leaf_intermediate_root(root: Entity, issuing: Entity, leaf: Entity) -> None:
    found = chain(leaf, [issuing], [root])
    assert list(found.certificates) == read(leaf, issuing, root)
    assert found.leaf == read(leaf)[0]
    assert found.root == read(root)[0]


def test_order_and_strangers_do_not_matter(folder: Path, root: Entity, issuing: Entity, leaf: Entity) -> None:
    stranger = make_authority(folder / "stranger", "Stranger")
    found = chain(leaf, [stranger, root, issuing, leaf], [stranger, root])
    assert list(found.certificates) == read(leaf, issuing, root)


def test_an_authority_below_a_root_can_be_trusted(issuing: Entity, leaf: Entity) -> None:
    assert list(chain(leaf, [], [issuing]).certificates) == read(leaf, issuing)


@pytest.mark.parametrize(
    ("algorithm", "pss"),
    [("ecdsa-p384", False), ("ed25519", False), ("rsa-3072", False), ("rsa-3072", True)],
)
def test_every_algorithm(tmp_path: Path, folder: Path, algorithm: str, pss: bool) -> None:
    top = make_authority(tmp_path / "root", "Root", algorithm=algorithm, pss=pss)
    signer = make_leaf(tmp_path / "leaf", top, algorithm=algorithm, pss=pss)
    assert list(chain(signer, [], [top]).certificates) == read(signer, top)


def test_post_quantum_chain() -> None:
    """ML-DSA certificates, which the openssl command of today's systems cannot make."""
    keys = [mldsa.MLDSA87PrivateKey.generate(), mldsa.MLDSA65PrivateKey.generate()]

    def made(subject: str, key: int, authority: bool) -> Certificate:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject, "PQ root")]
        usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
        builder = (
            x509.CertificateBuilder(names[1], names[0], keys[key].public_key(), 7, FROM, TO)
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(usage, True)
        )
        if not authority:
            purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
            builder = builder.add_extension(purposes, False)
        return load_certificate(builder.sign(keys[0], None).public_bytes(Encoding.DER), subject)

    top, signer = made("PQ root", 0, True), made("PQ release", 1, False)
    found = build_chain(signer, [], [top], at=AT, purpose=Purpose.CODE_SIGNING)
    assert found.certificates == (signer, top)
    other = made("PQ root", 1, True)
    with pytest.raises(HpbuildError) as caught:
        build_chain(signer, [], [other], at=AT, purpose=Purpose.CODE_SIGNING)
    assert caught.value.code is codes.BAD_CERTIFICATE_SIGNATURE


@pytest.mark.parametrize("what", ["leaf", "issuing", "root"])
def test_validity(tmp_path: Path, folder: Path, what: str) -> None:
    """Both ends are included; outside, each certificate of the path has the last word."""
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)
    span = {name: (start, end) if name == what else (FROM, TO) for name in ("leaf", "issuing", "root")}
    top = make_authority(tmp_path / "root", "Root", valid=span["root"])
    middle = make_authority(tmp_path / "issuing", "Issuing", issuer=top, valid=span["issuing"])
    signer = make_leaf(tmp_path / "leaf", middle, valid=span["leaf"])
    second = timedelta(seconds=1)
    for good in (start, AT, end):
        assert chain(signer, [middle], [top], good)
    assert refusal(lambda: chain(signer, [middle], [top], end + second)) is codes.EXPIRED
    assert refusal(lambda: chain(signer, [middle], [top], start - second)) is codes.NOT_YET_VALID


@pytest.mark.parametrize(
    ("usage", "key_usage"),
    [
        ("", "critical,digitalSignature"),
        ("extendedKeyUsage=serverAuth,clientAuth", "critical,digitalSignature"),
        ("extendedKeyUsage=anyExtendedKeyUsage", "critical,digitalSignature"),
        (TIME_STAMPING, "critical,digitalSignature"),
        (CODE_SIGNING, ""),
        (CODE_SIGNING, "critical,keyEncipherment"),
    ],
)
def test_wrong_purpose(tmp_path: Path, root: Entity, usage: str, key_usage: str) -> None:
    signer = make_leaf(tmp_path, root, usage=usage, key_usage=key_usage)
    assert refusal(lambda: chain(signer, [], [root])) is codes.WRONG_PURPOSE


@pytest.mark.parametrize(
    "usage",
    ["", CODE_SIGNING, "extendedKeyUsage=timeStamping", "extendedKeyUsage=critical,timeStamping,codeSigning"],
)
def test_wrong_purpose_for_time(tmp_path: Path, root: Entity, usage: str) -> None:
    signer = make_leaf(tmp_path, root, usage=usage)
    refused = refusal(lambda: chain(signer, [], [root], purpose=Purpose.TIME_STAMPING))
    assert refused is codes.WRONG_PURPOSE


def test_an_authority_does_not_sign_packages(tmp_path: Path, root: Entity) -> None:
    signer = make_authority(
        tmp_path, "CA", issuer=root, key_usage="critical,digitalSignature,keyCertSign", extra=[CODE_SIGNING]
    )
    assert refusal(lambda: chain(signer, [], [root])) is codes.WRONG_PURPOSE


def test_self_signed(tmp_path: Path, root: Entity) -> None:
    signer = make_leaf(tmp_path, None)
    assert refusal(lambda: chain(signer, [], [root])) is codes.SELF_SIGNED
    assert refusal(lambda: chain(signer, [signer], [root])) is codes.SELF_SIGNED
    assert refusal(lambda: chain(signer, [], [signer])) is codes.SELF_SIGNED


def test_untrusted(tmp_path: Path, issuing: Entity, leaf: Entity) -> None:
    other = make_authority(tmp_path, "Other")
    assert refusal(lambda: chain(leaf, [issuing], [other])) is codes.UNTRUSTED
    assert refusal(lambda: chain(leaf, [], [other])) is codes.UNTRUSTED
    assert refusal(lambda: chain(leaf, [issuing], [])) is codes.UNTRUSTED


def test_root_of_the_same_name(tmp_path: Path, issuing: Entity, leaf: Entity, root: Entity) -> None:
    twin = make_authority(tmp_path, "Root")
    assert refusal(lambda: chain(leaf, [issuing], [twin])) is codes.BAD_CERTIFICATE_SIGNATURE
    assert chain(leaf, [issuing], [twin, root]).root == read(root)[0]


def test_changed_certificate(root: Entity, issuing: Entity, leaf: Entity) -> None:
    der = leaf.der.replace(b"/release", b"/Release")
    changed = load_certificate(der, "x")
    with pytest.raises(HpbuildError) as caught:
        build_chain(changed, read(issuing), read(root), at=AT, purpose=Purpose.CODE_SIGNING)
    assert caught.value.code is codes.BAD_CERTIFICATE_SIGNATURE


def test_longest_chain_and_one_more(tmp_path: Path, folder: Path) -> None:
    line = [make_authority(tmp_path / "0", "A0")]
    for number in range(1, MAX_BELOW_ROOT + 1):
        line.append(make_authority(tmp_path / str(number), f"A{number}", issuer=line[-1]))
    good = make_leaf(tmp_path / "good", line[-2])
    assert len(chain(good, line, line[:1]).certificates) == MAX_BELOW_ROOT + 1
    long = make_leaf(tmp_path / "long", line[-1])
    assert refusal(lambda: chain(long, line, line[:1])) is codes.CHAIN_TOO_LONG
    assert chain(long, line, line[1:2])


def test_many_certificates_of_one_name_cost_little(tmp_path: Path, folder: Path) -> None:
    """Twelve twins that all fit by name and key: refused after a bounded number of steps."""
    top = make_authority(tmp_path / "root", "Root")
    twins = [make_authority(tmp_path / "0", "Twin")]
    for number in range(1, 12):
        twins.append(make_authority(tmp_path / str(number), "Twin", key=twins[0].key))
    signer = make_leaf(tmp_path / "leaf", twins[0])
    with pytest.raises(HpbuildError, match=f"more than {MAX_SIGNATURE_CHECKS} ") as caught:
        chain(signer, twins, [top])
    assert caught.value.code is codes.CHAIN_TOO_LONG


@pytest.mark.parametrize("digest", ["md5", "sha1"])
@pytest.mark.parametrize("level", ["leaf", "issuing"])
def test_weak_signature(tmp_path: Path, folder: Path, digest: str, level: str) -> None:
    top = make_authority(tmp_path / "root", "Root", algorithm="rsa-2048", digest="sha1")
    digests = {"leaf": "sha256", "issuing": "sha256", level: digest}
    middle = make_authority(
        tmp_path / "issuing", "Issuing", issuer=top, algorithm="rsa-2048", digest=digests["issuing"]
    )
    signer = make_leaf(tmp_path / "leaf", middle, digest=digests["leaf"])
    assert refusal(lambda: chain(signer, [middle], [top])) is codes.WEAK_CERTIFICATE_SIGNATURE


def test_the_signature_of_a_root_does_not_matter(tmp_path: Path, folder: Path) -> None:
    top = make_authority(tmp_path / "root", "Root", algorithm="rsa-2048", digest="sha1")
    assert chain(make_leaf(tmp_path / "leaf", top), [], [top])


@pytest.mark.parametrize("algorithm", ["rsa-1024", "ecdsa-secp256k1"])
def test_weak_keys(tmp_path: Path, root: Entity, algorithm: str) -> None:
    signer = make_leaf(tmp_path / "leaf", root, algorithm=algorithm)
    assert refusal(lambda: chain(signer, [], [root])) is codes.WEAK_CERTIFICATE_KEY
    top = make_authority(tmp_path / "root", "Weak", algorithm=algorithm)
    below = make_leaf(tmp_path / "below", top)
    assert refusal(lambda: chain(below, [], [top])) is codes.WEAK_CERTIFICATE_KEY


@pytest.mark.parametrize(
    ("basic", "key_usage", "extra"),
    [
        ("critical,CA:FALSE", "critical,keyCertSign", []),
        ("", "critical,keyCertSign", []),
        ("critical,CA:TRUE", "", []),
        ("critical,CA:TRUE", "critical,digitalSignature", []),
        ("critical,CA:TRUE", "critical,keyCertSign", ["extendedKeyUsage=serverAuth"]),
    ],
)
def test_not_an_authority(
    tmp_path: Path, root: Entity, basic: str, key_usage: str, extra: Sequence[str]
) -> None:
    middle = make_authority(tmp_path / "ca", "CA", issuer=root, basic=basic, key_usage=key_usage, extra=extra)
    signer = make_leaf(tmp_path / "leaf", middle)
    assert refusal(lambda: chain(signer, [middle], [root])) is codes.NOT_AN_AUTHORITY


def test_path_length(tmp_path: Path, folder: Path) -> None:
    top = make_authority(tmp_path / "root", "Root", basic="critical,CA:TRUE,pathlen:0")
    middle = make_authority(tmp_path / "ca", "CA", issuer=top)
    assert chain(make_leaf(tmp_path / "near", top), [], [top])
    far = make_leaf(tmp_path / "far", middle)
    assert refusal(lambda: chain(far, [middle], [top])) is codes.NOT_AN_AUTHORITY


@pytest.mark.parametrize(
    "line",
    [
        "1.2.3.4=critical,ASN1:NULL",
        "nameConstraints=critical,permitted;DNS:example.com",
        "nameConstraints=permitted;DNS:example.com",
        "policyConstraints=requireExplicitPolicy:0",
    ],
)
@pytest.mark.parametrize("level", ["leaf", "issuing"])
def test_constraint_that_is_not_understood(tmp_path: Path, root: Entity, line: str, level: str) -> None:
    middle = make_authority(tmp_path / "ca", "CA", issuer=root, extra=[line] if level == "issuing" else [])
    signer = make_leaf(tmp_path / "leaf", middle, extra=[line] if level == "leaf" else [])
    assert refusal(lambda: chain(signer, [middle], [root])) is codes.UNSUPPORTED_CONSTRAINT


def test_other_extensions_do_not_matter(tmp_path: Path, root: Entity) -> None:
    extra = ["1.2.3.4=ASN1:NULL", "certificatePolicies=1.2.3.4", "extendedKeyUsage=critical,codeSigning"]
    assert chain(make_leaf(tmp_path, root, usage="", extra=extra), [], [root])


REVOKED_AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_revoked_before_and_after(root: Entity, issuing: Entity, leaf: Entity) -> None:
    """What a time stamp is for: a signature from before the revocation still counts."""
    lists = make_crl(issuing, [Revoked(leaf, REVOKED_AT, "superseded")])
    second = timedelta(seconds=1)
    assert chain(leaf, [issuing], [root], REVOKED_AT - second, lists=lists, now=AT)
    for at in (REVOKED_AT, AT):
        assert refusal(lambda at=at: chain(leaf, [issuing], [root], at, lists=lists, now=AT)) is codes.REVOKED


def test_a_compromised_key_counts_for_no_time(root: Entity, issuing: Entity, leaf: Entity) -> None:
    early = datetime(2016, 1, 1, tzinfo=UTC)
    for reason in ("keyCompromise", "CACompromise"):
        lists = make_crl(issuing, [Revoked(leaf, REVOKED_AT, reason, datetime(2026, 2, 1, tzinfo=UTC))])
        assert (
            refusal(lambda lists=lists: chain(leaf, [issuing], [root], early, lists=lists)) is codes.REVOKED
        )


def test_revoked_authority(root: Entity, issuing: Entity, leaf: Entity) -> None:
    lists = make_crl(root, [Revoked(issuing, REVOKED_AT)]) + make_crl(issuing)
    assert refusal(lambda: chain(leaf, [issuing], [root], lists=lists)) is codes.REVOKED
    assert chain(leaf, [], [issuing], lists=lists)


def test_lists_of_others_do_not_matter(tmp_path: Path, root: Entity, issuing: Entity, leaf: Entity) -> None:
    other = make_authority(tmp_path / "other", "Other")
    same_name = make_authority(tmp_path / "same", "Issuing")
    for authority in (other, same_name):
        lists = make_crl(authority, [Revoked(leaf, REVOKED_AT)])
        assert chain(leaf, [issuing], [root], lists=lists)


def test_list_by_another_key(tmp_path: Path, root: Entity, issuing: Entity, leaf: Entity) -> None:
    data = bytearray(make_crl(issuing, [Revoked(leaf, REVOKED_AT)]))
    der = bytearray(load_lists_pem(bytes(data), "x")[0].der)
    der[-1] ^= 1
    with pytest.raises(HpbuildError) as caught:
        build_chain(
            *read(leaf), read(issuing), read(root), at=AT, purpose=Purpose.CODE_SIGNING,
            revocations=[load_list(bytes(der), "x")],
        )  # fmt: skip
    assert caught.value.code is codes.LIST_NOT_BY_ISSUER


def test_list_of_an_authority_that_may_not_sign_lists(tmp_path: Path, root: Entity) -> None:
    middle = make_authority(tmp_path / "ca", "CA", issuer=root, key_usage="critical,keyCertSign")
    signer = make_leaf(tmp_path / "leaf", middle)
    lists = make_crl(middle)
    assert refusal(lambda: chain(signer, [middle], [root], lists=lists)) is codes.LIST_NOT_BY_ISSUER


def test_outdated_list(root: Entity, issuing: Entity, leaf: Entity) -> None:
    span = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
    lists = make_crl(issuing, valid=span)
    second = timedelta(seconds=1)
    for now in span:
        assert chain(leaf, [issuing], [root], lists=lists, now=now)
    for now in (span[0] - second, span[1] + second):
        assert (
            refusal(lambda now=now: chain(leaf, [issuing], [root], lists=lists, now=now))
            is codes.LIST_OUTDATED
        )
        assert chain(leaf, [issuing], [root], lists=lists, now=now, accept_outdated=True)


def test_an_outdated_list_still_revokes(root: Entity, issuing: Entity, leaf: Entity) -> None:
    span = (datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    lists = make_crl(issuing, [Revoked(leaf, REVOKED_AT)], valid=span)
    assert refusal(lambda: chain(leaf, [issuing], [root], lists=lists, accept_outdated=True)) is codes.REVOKED
