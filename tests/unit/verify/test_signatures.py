from pathlib import Path

import pytest

from hpbuild.bundle.layout import ENVELOPE, STATEMENT
from hpbuild.codes import policy as codes
from hpbuild.codes.sign import PAYLOAD_DIFFERS
from hpbuild.codes.verify import SIGNATURES_WAIVED, UNTRUSTED
from hpbuild.errors import Code, ExitStatus
from hpbuild.sign.algorithms import algorithm_of, spki_sha256
from hpbuild.sign.dsse import Envelope, Signature, decode_envelope, encode_envelope
from hpbuild.verify import Policy, Verification, policy_from_keys
from hpbuild.verify.states import Authenticity, CheckStatus, Verdict

SIGNATURES = 2


def codes_of(result: Verification) -> list[Code]:
    return [finding.code for finding in result.checks[SIGNATURES].findings]


def test_signed_by_a_trusted_key(release) -> None:
    result = release.verify()
    key = release.signers[0].public
    assert result.exit is ExitStatus.YES
    assert result.authenticity is Authenticity.TRUSTED
    (signer,) = result.signers
    assert (signer.spki_sha256, signer.algorithm, signer.trusted) == (
        spki_sha256(key),
        str(algorithm_of(key)),
        True,
    )


def test_no_key_in_the_policy(release) -> None:
    result = release.verify(policy=Policy())
    assert (result.exit, result.authenticity) == (ExitStatus.NO, Authenticity.UNTRUSTED)
    assert codes_of(result) == [UNTRUSTED]
    assert not result.signers[0].trusted


def test_unsigned(release) -> None:
    result = release.verify_bytes(release.bundle(signers=()))
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [UNTRUSTED])


def test_signed_by_a_stranger(release) -> None:
    result = release.verify_bytes(release.bundle(signers=release.signers[1:]))
    strangers = len(release.signers) - 1
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [UNTRUSTED, *[codes.UNKNOWN_KEY] * strangers])
    assert {(signer.trusted, signer.spki_sha256, signer.outcome) for signer in result.signers} == {
        (False, "", "unknown-key")
    }
    assert all(signer.reason is not None for signer in result.signers)


def test_an_untrusted_package_is_still_looked_at(release) -> None:
    result = release.verify(release.installed, Policy())
    assert result.exit is ExitStatus.NO
    assert {check.number for check in result.checks if check.passed} == {f"V{n:02}" for n in range(1, 16)} - {
        "V03"
    }


def test_threshold(release) -> None:
    keys = [signer.public for signer in release.signers]
    policy = policy_from_keys(keys, 2)
    assert codes_of(release.verify(policy=policy)) == [UNTRUSTED]
    assert (
        release.verify_bytes(release.bundle(signers=release.signers[:2]), policy=policy).exit
        is ExitStatus.YES
    )


def test_one_key_that_signs_twice_has_one_vote(release) -> None:
    data = release.bundle()
    envelope = decode_envelope(_members(data)[ENVELOPE])
    twice = (envelope.signatures[0], Signature("other", envelope.signatures[0].sig))
    changed = encode_envelope(Envelope(envelope.payload_type, envelope.payload, twice))
    policy = policy_from_keys([signer.public for signer in release.signers], 2)
    result = release.verify_bytes(_with_envelope(data, changed), policy=policy)
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [UNTRUSTED, codes.VOTED_ALREADY])


def test_the_key_id_does_not_vote(release) -> None:
    data = release.bundle(signers=release.signers[1:2])
    envelope = decode_envelope(_members(data)[ENVELOPE])
    renamed = (Signature(spki_sha256(release.signers[0].public), envelope.signatures[0].sig),)
    changed = encode_envelope(Envelope(envelope.payload_type, envelope.payload, renamed))
    result = release.verify_bytes(_with_envelope(data, changed))
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [UNTRUSTED, codes.BAD_SIGNATURE])
    assert result.signers[0].outcome == "bad"


def test_an_envelope_about_another_statement(release) -> None:
    other = release.with_manifest(id="another")
    envelope = _members(other.bundle())[ENVELOPE]
    result = release.verify_bytes(_with_envelope(release.bundle(), envelope))
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PAYLOAD_DIFFERS])
    assert result.authenticity is Authenticity.UNTRUSTED


def test_waived_signatures_are_said_to_be(release) -> None:
    result = release.verify_bytes(release.bundle(signers=()), policy=Policy(allow_unsigned=True))
    assert (result.exit, result.verdict, result.authenticity) == (
        ExitStatus.YES, Verdict.VERIFIED, Authenticity.WAIVED,
    )  # fmt: skip
    assert result.checks[SIGNATURES].status is CheckStatus.NOT_RUN
    assert codes_of(result) == [SIGNATURES_WAIVED]


@pytest.mark.parametrize(
    "envelope", [b"{}", b"not JSON", b'{"payload":"","payloadType":"x","signatures":[]}']
)
@pytest.mark.parametrize("unsigned", [False, True])
def test_a_broken_envelope_fails_even_when_waived(release, envelope: bytes, unsigned: bool) -> None:
    policy = Policy(allow_unsigned=True) if unsigned else release.policy
    result = release.verify_bytes(_with_envelope(release.bundle(), envelope), policy=policy)
    assert result.exit is ExitStatus.NO
    assert result.checks[SIGNATURES].status is CheckStatus.FAILED
    assert codes_of(result)[0].id.startswith(("HP40", "HP52"))


def test_waived_signatures_do_not_waive_the_statement_they_enclose(release) -> None:
    envelope = _members(release.with_manifest(id="another").bundle())[ENVELOPE]
    data = _with_envelope(release.bundle(), envelope)
    result = release.verify_bytes(data, policy=Policy(allow_unsigned=True))
    assert (result.exit, codes_of(result)) == (ExitStatus.NO, [PAYLOAD_DIFFERS])


def test_the_statement_is_signed_as_it_is(release, tmp_path: Path) -> None:
    from hpbuild.bundle.writer import write_bundle

    members = _members(release.bundle())
    members[STATEMENT] = members[STATEMENT].replace(b"codec-2026-01", b"codec-2026-02")
    result = release.verify_bytes(write_bundle(members))
    assert result.exit is ExitStatus.NO
    assert PAYLOAD_DIFFERS in codes_of(result)


def _members(data: bytes) -> dict[str, bytes]:
    from hpbuild.bundle.reader import read_bundle

    return dict(read_bundle(data).members)


def _with_envelope(data: bytes, envelope: bytes) -> bytes:
    from hpbuild.bundle.writer import write_bundle

    return write_bundle({**_members(data), ENVELOPE: envelope})
