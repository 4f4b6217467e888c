"""Votes and roles: every assignment that meets all roles is found, and no vote is used twice."""

import itertools

import pytest

from hpbuild.sign.signer import FileSigner
from hpbuild.verify.roles import Identity, Role, SubjectRule
from hpbuild.verify.votes import Vote, count_votes

ANYBODY = Identity(name="anybody", authorities=(), subject=SubjectRule(common_name="x"))


def role(name: str, threshold: int = 1) -> Role:
    return Role(name=name, threshold=threshold, identities=(ANYBODY,))


def vote(key: str, *roles: str, post_quantum: bool = False) -> Vote:
    return Vote(key, post_quantum, roles)


def test_no_role_is_never_met() -> None:
    assert not count_votes((), (vote("a"),), hybrid=False).met


def test_a_threshold_counts_different_keys() -> None:
    roles = (role("release", 2),)
    assert not count_votes(roles, (vote("a", "release"),), hybrid=False).met
    count = count_votes(roles, (vote("a", "release"), vote("b", "release")), hybrid=False)
    assert count.met
    assert count.role_of == {"a": "release", "b": "release"}


def test_a_vote_that_no_role_takes_counts_nowhere() -> None:
    count = count_votes((role("release"),), (vote("a"), vote("b", "other")), hybrid=False)
    assert not count.met
    assert "a" not in count.role_of


def test_one_vote_does_not_meet_two_roles() -> None:
    roles = (role("release"), role("security"))
    both = vote("a", "release", "security")
    assert not count_votes(roles, (both,), hybrid=False).met
    assert count_votes(roles, (both, vote("b", "release")), hybrid=False).met


def test_a_vote_moves_when_another_can_only_go_there() -> None:
    """The first vote takes the first role; the others are good for that one alone."""
    roles = (role("r1"), role("r2"), role("r3"))
    votes = (vote("a", "r1", "r2"), vote("b", "r1", "r3"), vote("c", "r1"))
    for order in itertools.permutations(votes):
        count = count_votes(roles, order, hybrid=False)
        assert count.met
        assert count.role_of == {"a": "r2", "b": "r3", "c": "r1"}


def test_every_order_gives_the_answer_that_trying_all_assignments_gives() -> None:
    names = ("r1", "r2")
    choices = [(), ("r1",), ("r2",), ("r1", "r2")]
    for thresholds in itertools.product((1, 2), repeat=2):
        roles = tuple(role(name, number) for name, number in zip(names, thresholds, strict=True))
        for given in itertools.product(choices, repeat=4):
            votes = [vote(str(index), *item) for index, item in enumerate(given)]
            possible = any(
                all(picked.count(name) >= number for name, number in zip(names, thresholds, strict=True))
                for picked in itertools.product(*[item or ("",) for item in given])
            )
            assert count_votes(roles, votes, hybrid=False).met is possible


@pytest.mark.parametrize(
    ("classical", "late", "met"), [(2, 2, True), (4, 0, False), (0, 4, False), (2, 1, False), (3, 2, True)]
)
def test_the_hybrid_rule_needs_the_threshold_of_each_kind(classical: int, late: int, met: bool) -> None:
    votes = [vote(f"c{n}", "release") for n in range(classical)]
    votes += [vote(f"q{n}", "release", post_quantum=True) for n in range(late)]
    count = count_votes((role("release", 2),), votes, hybrid=True)
    assert count.met is met
    assert str(count.tallies[0]) == f"{classical} of 2 classical and {late} of 2 post-quantum votes"


def test_a_threshold_beyond_all_votes_is_not_met() -> None:
    votes = [vote(str(n), "release") for n in range(3)]
    assert not count_votes((role("release", 64),), votes, hybrid=False).met


def test_keys_of_a_role_are_told_apart_by_their_spki(signers: tuple[FileSigner, ...]) -> None:
    from hpbuild.verify.policy import policy_from_keys

    policy = policy_from_keys([signer.public for signer in signers], 2)
    assert len(policy.trusted_spki) == len(signers)
    assert policy.threshold == 2
