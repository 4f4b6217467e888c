"""V18: files signed by osslsigncode with certificates of openssl; each reason to refuse by its code."""

import dataclasses
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpbuild.codes import certificates as chain_codes
from hpbuild.codes import pins as codes
from hpbuild.errors import Code, ExitStatus, HpbuildError
from hpbuild.pe.authenticode_signature import agree_with_lief, signature_of
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.image import Image
from hpbuild.pe.processes import Dump
from hpbuild.pe.reader import parse_image
from hpbuild.sign import asn1
from hpbuild.sign.certificates import load_certificates_pem
from hpbuild.sign.revocation import load_lists_pem
from hpbuild.verify import VerifyRequest, verify
from hpbuild.verify.authenticode import read_signature
from hpbuild.verify.checks import CheckResult
from hpbuild.verify.policy import Policy, PublisherRule
from hpbuild.verify.publisher import check_publisher, check_publisher_behind
from hpbuild.verify.roles import SubjectRule
from hpbuild.verify.running import OwnPackage, Target, take_from
from hpbuild.verify.states import CheckStatus, ModuleState, Tier
from tests.certificates import TIME_STAMPING, Entity, Revoked, make_authority, make_crl, make_leaf
from tests.memories import Parts, dump_of, loaded, module

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SUBJECT = "/O=Example Corp/CN=Example Corp"
RULE = SubjectRule(organization="Example Corp")
CERTIFICATE = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Path:
    require_tool("openssl")
    require_tool("osslsigncode")
    return tmp_path_factory.mktemp("publisher")


@pytest.fixture(scope="module")
def root(folder: Path) -> Entity:
    return make_authority(folder / "root", "Root")


@pytest.fixture(scope="module")
def issuing(folder: Path, root: Entity) -> Entity:
    return make_authority(folder / "issuing", "Issuing", issuer=root)


@pytest.fixture(scope="module")
def publisher(folder: Path, issuing: Entity) -> Entity:
    return make_leaf(folder / "publisher", issuing, algorithm="rsa-3072", subject=SUBJECT)


@dataclass(frozen=True, slots=True)
class Signing:
    """osslsigncode over one file."""

    source: Path
    folder: Path

    def __call__(self, signer: Entity, *options: object, source: Path | None = None) -> bytes:
        out = self.folder / f"signed{len(list(self.folder.iterdir()))}.dll"
        chain = self.folder / f"{out.stem}.pem"
        chain.write_bytes(b"".join(item.pem for item in signer.chain) or signer.pem)
        call = ["osslsigncode", "sign", "-certs", chain, "-key", signer.key, *options]
        call += ["-in", source or self.source, "-out", out]
        subprocess.run([str(item) for item in call], check=True, capture_output=True)
        return out.read_bytes()


@pytest.fixture
def sign(folder: Path, binaries: Path, tmp_path: Path) -> Signing:
    (tmp_path / "signed").mkdir()
    return Signing(binaries / "baseline" / "codec.dll", tmp_path / "signed")


def policy(root: Entity, rule: SubjectRule = RULE, **changes: object) -> Policy:
    made = PublisherRule(authorities=load_certificates_pem(root.pem, "root"), subject=rule)
    return Policy(allow_unsigned=True, publisher=made, **changes)


def check(release, data: bytes | Image, wanted: Policy, now: datetime = NOW) -> CheckResult:
    image = data if isinstance(data, Image) else parse_image(data, "codec.dll")
    return check_publisher(release.module, image, wanted, now)


def refused(result: CheckResult) -> Code:
    assert result.status is CheckStatus.FAILED
    (finding,) = result.findings
    assert finding.place == "codec.dll"
    return finding.code


def table_of(data: bytes) -> tuple[int, int, int]:
    """Offset of the directory entry, offset of the table, its size."""
    entry = int.from_bytes(data[0x3C:0x40], "little") + 24 + 112 + 8 * CERTIFICATE
    return entry, *struct.unpack_from("<II", data, entry)


def with_table(data: bytes, table: bytes) -> bytes:
    """The signed file ``data`` with another certificate table."""
    entry, start, _ = table_of(data)
    return data[: entry + 4] + struct.pack("<I", len(table)) + data[entry + 8 : start] + table


def entry(signature: bytes, padding: bytes = b"") -> bytes:
    """A certificate table of one entry."""
    content = signature + padding
    content += bytes(-len(content) % 8)
    return struct.pack("<IHH", 8 + len(content), 0x200, 2) + content


def signature_in(data: bytes) -> bytes:
    return signature_of(parse_image(data, "x"), "x")


@pytest.mark.parametrize("algorithm", ["rsa-2048", "rsa-3072", "ecdsa-p256", "ecdsa-p384"])
@pytest.mark.parametrize("digest", ["sha256"])
def test_signed_by_the_publisher(
    release, folder: Path, root: Entity, issuing: Entity, sign: Signing, algorithm: str, digest: str
) -> None:
    signer = make_leaf(folder / f"leaf-{algorithm}", issuing, algorithm=algorithm, subject=SUBJECT)
    result = check(release, sign(signer, "-h", digest), policy(root))
    assert (result.status, result.findings) == (CheckStatus.PASSED, ())
    facts = dict(result.facts)
    assert facts["signer"] == "CN=Example Corp,O=Example Corp"
    assert facts["judged at"] == "2026-06-01T00:00:00Z"


@pytest.mark.parametrize("options", [("-ph",), ("-n", "Codec", "-i", "https://example.com/"), ("-comm",)])
def test_other_contents_of_a_signature_do_not_matter(
    release, root: Entity, publisher: Entity, sign: Signing, options: tuple[str, ...]
) -> None:
    assert check(release, sign(publisher, "-h", "sha256", *options), policy(root)).passed


def test_without_a_rule_nothing_is_looked_at(release, root: Entity) -> None:
    result = check(release, release.installed.read_bytes(), Policy(allow_unsigned=True))
    assert result.status is CheckStatus.NOT_RUN


def test_unsigned(release, root: Entity) -> None:
    assert refused(check(release, release.installed.read_bytes(), policy(root))) is codes.UNSIGNED_FILE


def test_another_publisher_of_the_same_authority(
    release, folder: Path, root: Entity, issuing: Entity, sign: Signing
) -> None:
    other = make_leaf(folder / "other", issuing, algorithm="rsa-2048", subject="/O=Example Corp./CN=x")
    assert refused(check(release, sign(other, "-h", "sha256"), policy(root))) is codes.OTHER_PUBLISHER


def test_another_authority_of_the_same_name(
    release, folder: Path, publisher: Entity, sign: Signing, tmp_path: Path
) -> None:
    other = make_authority(tmp_path / "other", "Root")
    assert (
        refused(check(release, sign(publisher, "-h", "sha256"), policy(other)))
        is chain_codes.BAD_CERTIFICATE_SIGNATURE
    )


def test_self_signed(release, root: Entity, sign: Signing, tmp_path: Path) -> None:
    own = make_leaf(tmp_path / "own", None, algorithm="rsa-2048", subject=SUBJECT)
    assert refused(check(release, sign(own, "-h", "sha256"), policy(root))) is chain_codes.SELF_SIGNED


def test_wrong_purpose(release, root: Entity, issuing: Entity, sign: Signing, tmp_path: Path) -> None:
    server = make_leaf(
        tmp_path / "server",
        issuing,
        algorithm="rsa-2048",
        subject=SUBJECT,
        usage="extendedKeyUsage=serverAuth",
    )
    assert refused(check(release, sign(server, "-h", "sha256"), policy(root))) is chain_codes.WRONG_PURPOSE


def test_a_weak_digest(release, root: Entity, publisher: Entity, sign: Signing) -> None:
    assert refused(check(release, sign(publisher, "-h", "sha1"), policy(root))) is codes.SIGNATURE_WEAK
    assert refused(check(release, sign(publisher, "-h", "sha384"), policy(root))) is codes.SIGNATURE_WEAK


def test_a_genuine_signature_on_another_file(
    release, root: Entity, publisher: Entity, sign: Signing, binaries: Path
) -> None:
    other = sign(publisher, "-h", "sha256", source=binaries / "baseline" / "throwing.dll")
    moved = with_table(sign(publisher, "-h", "sha256"), entry(signature_in(other)))
    assert refused(check(release, moved, policy(root))) is codes.SIGNATURE_OF_OTHER_FILE


def test_a_file_changed_after_it_was_signed(release, root: Entity, publisher: Entity, sign: Signing) -> None:
    data = bytearray(sign(publisher, "-h", "sha256"))
    data[parse_image(bytes(data), "x").sections[0].raw_offset + 8] ^= 1
    assert refused(check(release, bytes(data), policy(root))) is codes.SIGNATURE_OF_OTHER_FILE


def test_every_byte_of_the_signature_counts(release, root: Entity, publisher: Entity, sign: Signing) -> None:
    """No bit of SignedData can be changed so that the file still passes and says something else."""
    data = sign(publisher, "-h", "sha256")
    genuine = signature_in(data)
    wanted, accepted = policy(root), []
    image = parse_image(data, "codec.dll")
    start = table_of(data)[1] + 8
    for position in range(0, len(genuine), 7):
        raw = bytearray(data)
        raw[start + position] ^= 1 << position % 8
        if check(release, dataclasses.replace(image, data=FileBytes.of(bytes(raw))), wanted).passed:
            accepted.append(position)
    assert accepted == []


@pytest.mark.parametrize(
    ("find", "code"),
    [
        ("content", codes.SIGNATURE_BAD),
        ("attributes", codes.SIGNATURE_BAD),
        ("value", codes.SIGNATURE_BAD),
    ],
)
def test_altered_signed_data(
    release, root: Entity, publisher: Entity, sign: Signing, find: str, code: Code
) -> None:
    data = sign(publisher, "-h", "sha256")
    genuine = signature_in(data)
    read = read_signature(genuine, "x")
    digest_of_content = genuine.index(read.digest)
    attributes = genuine.index(asn1.oid(asn1.MESSAGE_DIGEST)) + 15
    places = {"content": digest_of_content, "attributes": attributes, "value": genuine.index(read.value) + 9}
    raw = bytearray(genuine)
    raw[places[find]] ^= 1
    assert refused(check(release, with_table(data, entry(bytes(raw))), policy(root))) is code


@pytest.mark.parametrize(
    "change",
    [
        lambda signature: entry(signature, b"payload that nobody signed"),
        lambda signature: entry(signature, bytes(8)),
        lambda signature: entry(signature) + entry(signature),
        lambda signature: entry(signature) + bytes(8),
        lambda signature: entry(signature)[:4] + b"\0\1" + entry(signature)[6:],
        lambda signature: entry(signature)[:6] + b"\1\0" + entry(signature)[8:],
        lambda signature: struct.pack("<IHH", 1 << 30, 0x200, 2) + entry(signature)[8:],
        lambda signature: struct.pack("<IHH", 8, 0x200, 2),
        lambda signature: entry(b"\x30\x84\xff\xff\xff\xff" + signature[6:]),
        lambda signature: entry(b"\x31" + signature[1:]),
        lambda signature: entry(b"\x30\x00"),
        lambda signature: entry(asn1.der(b"\x30", signature[4:] + b"\x05\x00")),
    ],
)
def test_a_table_that_is_not_one_signature(
    release, root: Entity, publisher: Entity, sign: Signing, change: Callable[[bytes], bytes]
) -> None:
    data = sign(publisher, "-h", "sha256")
    image = parse_image(data, "codec.dll")
    table = change(signature_in(data))
    start = image.directories[CERTIFICATE].start
    changed = dataclasses.replace(
        image,
        data=data[:start] + table,
        directories=tuple(
            type(extent)(start, start + len(table)) if index == CERTIFICATE else extent
            for index, extent in enumerate(image.directories)
        ),
    )
    assert refused(check(release, changed, policy(root))) is codes.SIGNATURE_MALFORMED


def test_stuffed_by_the_signing_tool(release, root: Entity, publisher: Entity, sign: Signing) -> None:
    """Stuffing changes no digest: the same build to the pin, but signed by nobody in all its bytes."""
    data = sign(publisher, "-h", "sha256", "-addUnauthenticatedBlob")
    stuffed = with_table(data, entry(signature_in(data), b"<!-- stuffed -->"))
    assert refused(check(release, stuffed, policy(root))) is codes.SIGNATURE_MALFORMED


def test_lief_reads_something_else(binaries: Path, publisher: Entity, sign: Signing) -> None:
    image = parse_image(sign(publisher, "-h", "sha256"), "codec.dll")
    agree_with_lief(image, read_signature(signature_of(image, "x"), "x").digest, "x")
    with pytest.raises(HpbuildError) as caught:
        agree_with_lief(image, bytes(32), "codec.dll")
    assert caught.value.code is codes.SIGNATURE_AMBIGUOUS
    unsigned = parse_image((binaries / "baseline" / "codec.dll").read_bytes(), "codec.dll")
    with pytest.raises(HpbuildError) as caught:
        agree_with_lief(unsigned, bytes(32), "codec.dll")
    assert caught.value.code is codes.SIGNATURE_AMBIGUOUS


# Time


def unix(moment: datetime) -> str:
    return str(int(moment.timestamp()))


@pytest.fixture(scope="module")
def short_lived(folder: Path, issuing: Entity) -> Entity:
    span = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))
    return make_leaf(folder / "short", issuing, algorithm="rsa-2048", subject=SUBJECT, valid=span)


@pytest.fixture(scope="module")
def clock_root(folder: Path) -> Entity:
    return make_authority(folder / "clock", "Clock Root")


@pytest.fixture(scope="module")
def clock(folder: Path, clock_root: Entity) -> Entity:
    return make_leaf(folder / "stamps", clock_root, "Clock", algorithm="rsa-2048", usage=TIME_STAMPING)


def stamped(sign: Signing, signer: Entity, clock: Entity, moment: datetime) -> bytes:
    options = ("-TSA-certs", clock.certificate, "-TSA-key", clock.key, "-TSA-time", unix(moment))
    return sign(signer, "-h", "sha256", "-time", unix(moment), *options)


def test_an_expired_certificate(release, root: Entity, short_lived: Entity, sign: Signing) -> None:
    data = sign(short_lived, "-h", "sha256")
    assert refused(check(release, data, policy(root))) is chain_codes.EXPIRED
    assert check(release, data, policy(root), datetime(2020, 6, 1, tzinfo=UTC)).passed


def test_a_trusted_time_stamp_says_when(
    release, root: Entity, short_lived: Entity, clock: Entity, clock_root: Entity, sign: Signing
) -> None:
    data = stamped(sign, short_lived, clock, datetime(2020, 6, 1, tzinfo=UTC))
    clocks = load_certificates_pem(clock_root.pem, "clock")
    result = check(release, data, policy(root, timestamp_authorities=clocks))
    assert (result.findings, dict(result.facts)["signed at"]) == ((), "2020-06-01T00:00:00Z")
    assert refused(check(release, data, policy(root))) is chain_codes.EXPIRED
    others = load_certificates_pem(root.pem, "clock")
    assert refused(check(release, data, policy(root, timestamp_authorities=others))) is chain_codes.EXPIRED


def test_revoked(release, root: Entity, issuing: Entity, publisher: Entity, sign: Signing) -> None:
    lists = load_lists_pem(make_crl(issuing, [Revoked(publisher, datetime(2026, 1, 1, tzinfo=UTC))]), "lists")
    data = sign(publisher, "-h", "sha256")
    assert refused(check(release, data, policy(root, revocations=lists))) is chain_codes.REVOKED


# In the whole verification


def verified(release, installed: Path, wanted: Policy):
    bundle = release.bundle(signers=())
    return verify(VerifyRequest(bundle=bundle, name="p.hpb", policy=wanted, installed=installed, now=NOW))


def test_a_baseline_signed_again_is_accepted_with_its_publisher(
    release, root: Entity, publisher: Entity, sign: Signing, tmp_path: Path
) -> None:
    path = tmp_path / "signed.dll"
    path.write_bytes(sign(publisher, "-h", "sha256"))
    result = verified(release, path, policy(root))
    assert result.exit is ExitStatus.YES, result.findings
    (module,) = result.modules
    assert (module.state, module.tier) == (ModuleState.APPLICABLE, Tier.AUTHENTICODE)


def test_an_unsigned_baseline_is_not_enough(release, root: Entity) -> None:
    result = verified(release, release.installed, policy(root))
    assert result.exit is ExitStatus.NOT_APPLICABLE
    assert [f.code for f in result.modules[0].findings] == [codes.UNSIGNED_FILE]


def test_a_patched_file_cannot_be_judged(release, root: Entity, applied: bytes, tmp_path: Path) -> None:
    path = tmp_path / "applied.dll"
    path.write_bytes(applied)
    result = verified(release, path, policy(root))
    assert result.exit is not ExitStatus.YES
    (made,) = [item for item in result.checks if item.number == "V18"]
    assert made.status is CheckStatus.NOT_RUN
    assert result.modules[0].state is ModuleState.APPLIED


# In memory: judged on the file behind the module

BASE = 0x190000000


def behind(
    release, file: Path | None, wanted: Policy, content: bytes | None = None, now: datetime = NOW
) -> CheckResult:
    """V18 of a module loaded from ``content`` (else that of ``file``) when ``file`` is behind it now."""
    data = content or (release.installed if file is None else file).read_bytes()
    image = parse_image(data, "codec.dll")
    memory = Parts()
    memory.put(BASE, bytes(loaded(image, BASE)))
    there = dataclasses.replace(module(image, BASE), file=file)
    target = Target("a process", Dump(memory=memory, modules=(there,), full=True))
    taken = take_from(target, there, release.module, OwnPackage(None, release.manifest.sequence), 1 << 20)
    return check_publisher_behind(release.module, taken, wanted, now)


@pytest.fixture
def signed(publisher: Entity, sign: Signing, tmp_path: Path) -> Path:
    path = tmp_path / "behind.dll"
    path.write_bytes(sign(publisher, "-h", "sha256"))
    return path


def test_the_file_behind_a_module_is_judged(release, root: Entity, signed: Path) -> None:
    result = behind(release, signed, policy(root))
    assert (result.status, result.findings) == (CheckStatus.PASSED, ())
    assert dict(result.facts)["signer"] == "CN=Example Corp,O=Example Corp"
    assert behind(release, signed, Policy(allow_unsigned=True)).status is CheckStatus.NOT_RUN


def test_an_unsigned_or_foreign_file_behind_a_module(
    release, root: Entity, issuing: Entity, folder: Path, sign: Signing, tmp_path: Path
) -> None:
    assert refused(behind(release, release.installed, policy(root))) is codes.UNSIGNED_FILE
    other = make_leaf(folder / "foreign", issuing, algorithm="rsa-2048", subject="/O=Other/CN=x")
    path = tmp_path / "other.dll"
    path.write_bytes(sign(other, "-h", "sha256"))
    assert refused(behind(release, path, policy(root))) is codes.OTHER_PUBLISHER


def test_the_time_counts_for_the_file_behind_a_module(
    release, root: Entity, short_lived: Entity, sign: Signing, tmp_path: Path
) -> None:
    path = tmp_path / "short.dll"
    path.write_bytes(sign(short_lived, "-h", "sha256"))
    assert refused(behind(release, path, policy(root))) is chain_codes.EXPIRED
    assert behind(release, path, policy(root), now=datetime(2020, 6, 1, tzinfo=UTC)).passed


@pytest.mark.parametrize(
    ("tiers", "passed"),
    [
        ((Tier.EXACT,), False),
        ((Tier.AUTHENTICODE, Tier.SECTIONS, Tier.FUNCTIONS), True),
    ],
)
def test_the_policy_says_how_good_the_file_has_to_be(
    release, root: Entity, signed: Path, tiers: tuple[Tier, ...], passed: bool
) -> None:
    """Signed again, a file is the baseline by its Authenticode hash only."""
    for tier in tiers:
        result = behind(release, signed, policy(root, lowest_tier=tier))
        assert result.passed is passed
        if not passed:
            assert refused(result) is codes.NO_SIGNED_FILE
            assert "exact is asked for" in result.findings[0].cause


def test_a_file_that_is_the_baseline_by_its_sections_only(
    release, root: Entity, publisher: Entity, sign: Signing, tmp_path: Path
) -> None:
    """Signed by the right publisher, with bytes behind the sections that the pin knows nothing of."""
    longer, path = tmp_path / "longer.dll", tmp_path / "behind.dll"
    longer.write_bytes(release.installed.read_bytes() + b"8 bytes!" * 64)
    path.write_bytes(sign(publisher, "-h", "sha256", source=longer))
    result = behind(release, path, policy(root, lowest_tier=Tier.SECTIONS))
    assert refused(result) is codes.NO_SIGNED_FILE
    assert "authenticode is asked for" in result.findings[0].cause


def test_no_file_to_judge(
    release, root: Entity, publisher: Entity, signed: Path, sign: Signing, tmp_path: Path
) -> None:
    """None known, none there, another build, the fixed one, and the genuine one put there after the start."""
    fixed = release.fixed_root / release.module.path
    path = tmp_path / "fixed.dll"
    path.write_bytes(sign(publisher, "-h", "sha256", source=fixed))
    (tmp_path / "none.dll").write_bytes(b"")
    unsigned = release.installed.read_bytes()
    for file, content, said in (
        (None, None, "not known"),
        (tmp_path / "missing.dll", unsigned, "missing.dll"),
        (tmp_path / "none.dll", unsigned, "none.dll"),
        (path, None, "fixed build"),
        (signed, unsigned, "other headers"),
    ):
        result = behind(release, file, policy(root), content)
        assert refused(result) is codes.NO_SIGNED_FILE
        assert said in result.findings[0].cause


def test_a_dump_cannot_meet_a_rule(release, root: Entity, signed: Path, tmp_path: Path) -> None:
    image = parse_image(signed.read_bytes(), "codec.dll")
    memory, dump = Parts(), tmp_path / "process.dmp"
    memory.put(BASE, bytes(loaded(image, BASE)))
    dump.write_bytes(dump_of((module(image, BASE),), memory))
    request = VerifyRequest(bundle=release.bundle(signers=()), name="p", policy=policy(root), dump=dump)
    result = verify(request)
    assert result.exit is ExitStatus.NOT_APPLICABLE
    assert [item.code for item in result.modules[0].findings] == [codes.NO_SIGNED_FILE]
    assert result.modules[0].state is ModuleState.APPLICABLE
    without = verify(dataclasses.replace(request, policy=Policy(allow_unsigned=True)))
    assert without.exit is ExitStatus.YES
