from collections.abc import Sequence

import pytest

from hpbuild.codes.verify import POLICY_CONTRADICTS, POLICY_THRESHOLD
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.sign.algorithms import spki_sha256
from hpbuild.sign.signer import FileSigner
from hpbuild.verify.policy import Policy, policy_from_keys
from hpbuild.verify.states import Tier


def test_defaults_trust_nobody_and_demand_authenticode() -> None:
    policy = Policy()
    assert policy.trusted_spki == frozenset()
    assert not policy.allow_unsigned
    assert policy.lowest_tier is Tier.AUTHENTICODE


def test_keys_are_told_apart_by_their_spki(signers: Sequence[FileSigner]) -> None:
    key = signers[0].public
    assert policy_from_keys([key, key]).trusted_spki == {spki_sha256(key)}


@pytest.mark.parametrize("threshold", [0, -1, 99])
def test_threshold_out_of_range(signers: Sequence[FileSigner], threshold: int) -> None:
    with pytest.raises(HpbuildError) as caught:
        policy_from_keys([signer.public for signer in signers], threshold)
    assert caught.value.code is POLICY_THRESHOLD
    assert caught.value.code.exit is ExitStatus.USAGE


def test_one_key_given_twice_cannot_meet_two(signers: Sequence[FileSigner]) -> None:
    with pytest.raises(HpbuildError) as caught:
        policy_from_keys([signers[0].public, signers[0].public], 2)
    assert caught.value.code is POLICY_THRESHOLD


def test_allow_unsigned_contradicts_keys(signers: Sequence[FileSigner]) -> None:
    with pytest.raises(HpbuildError) as caught:
        Policy(roles=policy_from_keys([signers[0].public]).roles, allow_unsigned=True)
    assert caught.value.code is POLICY_CONTRADICTS
    assert caught.value.code.exit is ExitStatus.USAGE
