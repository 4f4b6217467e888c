from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from hpbuild.codes import certificates as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.certificates import load_certificate
from hpbuild.sign.revocation import (
    MAX_LIST,
    MAX_LISTS,
    Revocation,
    RevocationList,
    find_revocation,
    load_list,
    load_lists_pem,
)
from tests.certificates import FROM, TO, Entity, Revoked, make_authority, make_crl, make_leaf

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TIME = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Entity:
    require_tool("openssl")
    return make_authority(tmp_path_factory.mktemp("revocation") / "root", "Root")


@pytest.fixture(scope="module")
def leaf(root: Entity) -> Entity:
    return make_leaf(root.folder.parent / "leaf", root)


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


def entry(leaf: Entity, root: Entity, lists: tuple[RevocationList, ...]) -> Revocation | None:
    pair = [load_certificate(item.der, "x") for item in (leaf, root)]
    return find_revocation(pair[0], pair[1], lists, now=NOW)


def made(
    root: Entity,
    *extensions: tuple[x509.ExtensionType, bool],
    entry: tuple[x509.ExtensionType, bool] | None = None,
    serial: int = 5,
    digest: hashes.HashAlgorithm | None = None,
) -> bytes:
    """A list with extensions that the openssl command does not write."""
    key = load_pem_private_key(root.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.load_der_x509_certificate(root.der).subject
    builder = x509.CertificateRevocationListBuilder(name, FROM, TO)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    if entry is not None:
        one = x509.RevokedCertificateBuilder(serial, TIME).add_extension(*entry)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(key, digest or hashes.SHA256()).public_bytes(Encoding.DER)


def test_time_reason_and_compromise(root: Entity, leaf: Entity) -> None:
    def listed(reason: str, since: datetime | None = None) -> Revocation | None:
        return entry(leaf, root, load_lists_pem(make_crl(root, [Revoked(leaf, TIME, reason, since)]), "x"))

    assert listed("unspecified") == Revocation(TIME, "unspecified", False)
    assert listed("superseded") == Revocation(TIME, "superseded", False)
    assert listed("certificateHold") == Revocation(TIME, "certificateHold", False)
    assert listed("keyCompromise") == Revocation(TIME, "keyCompromise", True)
    assert listed("CACompromise") == Revocation(TIME, "cACompromise", True)
    early = datetime(2026, 1, 1, tzinfo=UTC)
    assert listed("keyCompromise", early) == Revocation(early, "keyCompromise", True)


def test_not_listed(root: Entity, leaf: Entity) -> None:
    other = make_leaf(root.folder.parent / "other", root)
    assert entry(leaf, root, load_lists_pem(make_crl(root, [Revoked(other, TIME)]), "x")) is None


def test_the_earliest_of_several_lists_counts(root: Entity, leaf: Entity) -> None:
    early = datetime(2026, 1, 1, tzinfo=UTC)
    lists = b"".join(make_crl(root, [Revoked(leaf, time)]) for time in (TIME, early))
    assert entry(leaf, root, load_lists_pem(lists, "x")) == Revocation(early, "unspecified", False)
    compromise = make_crl(root, [Revoked(leaf, TIME, "keyCompromise")])
    found = entry(leaf, root, load_lists_pem(lists + compromise, "x"))
    assert found == Revocation(TIME, "keyCompromise", True)


def test_not_a_list(root: Entity) -> None:
    der = load_lists_pem(make_crl(root), "x")[0].der
    for data in (b"", der[:-1], der + b"\0", bytes(MAX_LIST + 1)):
        assert refusal(lambda data=data: load_list(data, "x")) is codes.BAD_REVOCATION_LIST
    block = b"-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n"
    for pem in (b"", block, root.pem, make_crl(root) * (MAX_LISTS + 1)):
        assert refusal(lambda pem=pem: load_lists_pem(pem, "x")) is codes.BAD_REVOCATION_LIST


@pytest.mark.parametrize(
    "extension",
    [
        (x509.DeltaCRLIndicator(1), True),
        (x509.DeltaCRLIndicator(1), False),
        (x509.IssuingDistributionPoint(None, None, True, False, None, False, False), True),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True),
    ],
)
def test_lists_that_do_not_say_all(root: Entity, extension: tuple[x509.ExtensionType, bool]) -> None:
    assert refusal(lambda: load_list(made(root, extension), "x")) is codes.BAD_REVOCATION_LIST


def test_extensions_that_limit_nothing(root: Entity) -> None:
    harmless = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), False)
    assert load_list(made(root, (x509.CRLNumber(1), False), harmless), "x").issuer == "CN=Root"


def test_entry_with_a_critical_extension(root: Entity, leaf: Entity) -> None:
    serial = load_certificate(leaf.der, "x").serial
    issuer = x509.CertificateIssuer([x509.DirectoryName(x509.Name([]))])
    lists = (load_list(made(root, entry=(issuer, True), serial=serial), "x"),)
    assert refusal(lambda: entry(leaf, root, lists)) is codes.BAD_REVOCATION_LIST


def test_weak_signature(root: Entity, leaf: Entity) -> None:
    lists = (load_list(made(root, digest=hashes.SHA224()), "x"),)
    assert refusal(lambda: entry(leaf, root, lists)) is codes.BAD_REVOCATION_LIST


def test_list_by_another_key(tmp_path: Path, root: Entity, leaf: Entity) -> None:
    """A list in the issuer's name that does not say of which key it is."""
    twin = make_authority(tmp_path, "Root")
    lists = (load_list(made(twin), "x"),)
    assert refusal(lambda: entry(leaf, root, lists)) is codes.LIST_NOT_BY_ISSUER


def test_fail_a_list_is_not_escaped_by_another_name_of_its_key(root: Entity, leaf: Entity) -> None:
    """Certificates come from the signer: of an authority with two for one key he takes the one whose key
    identifier is not that of the list."""
    serial = load_certificate(leaf.der, "x").serial
    named = (x509.AuthorityKeyIdentifier(b"another name", None, None), False)
    reason = (x509.CRLReason(x509.ReasonFlags.key_compromise), False)
    lists = (load_list(made(root, named, entry=reason, serial=serial), "x"),)
    assert entry(leaf, root, lists) == Revocation(TIME, "keyCompromise", True)


def test_a_list_of_the_key_before_says_nothing(tmp_path: Path, root: Entity, leaf: Entity) -> None:
    twin = make_authority(tmp_path, "Root")
    named = (x509.AuthorityKeyIdentifier(b"another name", None, None), False)
    assert entry(leaf, root, (load_list(made(twin, named), "x"),)) is None
