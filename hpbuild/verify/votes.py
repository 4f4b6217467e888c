"""Votes and roles: who votes where, so that no vote is used twice.

A vote is a key that signed, told apart by the SHA-256 of its SubjectPublicKeyInfo, never by what the envelope
calls it. A key may be good for several roles, through identities; it counts in one. So roles and votes are
matched: all roles are met exactly when every place of every role gets a vote of its own.
"""

from collections.abc import Mapping, Sequence

from hpbuild.dataclass import dataclass
from hpbuild.verify.roles import Role


@dataclass(frozen=True, slots=True)
class Vote:
    """A key that signed and the names of the roles that it is good for, in the policy's order."""

    spki_sha256: str
    post_quantum: bool
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """What a role got: of ``threshold`` votes (with the hybrid rule: of each kind) so many of each kind."""

    role: str
    threshold: int
    classical: int
    post_quantum: int
    hybrid: bool

    @property
    def met(self) -> bool:
        """True when the role is met."""
        if self.hybrid:
            return min(self.classical, self.post_quantum) >= self.threshold
        return self.classical + self.post_quantum >= self.threshold

    def __str__(self) -> str:
        if self.hybrid:
            return (
                f"{self.classical} of {self.threshold} classical and {self.post_quantum} of {self.threshold} "
                "post-quantum votes"
            )
        return f"{self.classical + self.post_quantum} of {self.threshold} votes"


@dataclass(frozen=True, slots=True)
class Count:
    """Result of the counting. ``role_of`` says for each vote in which role it is counted; one that no role
    needs is counted in the first that it is good for."""

    tallies: tuple[Tally, ...]
    role_of: Mapping[str, str]

    @property
    def met(self) -> bool:
        """True when there is a role and all are met."""
        return bool(self.tallies) and all(tally.met for tally in self.tallies)


@dataclass(frozen=True, slots=True)
class _Place:
    """One vote that a role needs; ``post_quantum`` None: of any kind."""

    role: str
    post_quantum: bool | None

    def takes(self, vote: Vote) -> bool:
        return self.role in vote.roles and self.post_quantum in (None, vote.post_quantum)


def count_votes(roles: Sequence[Role], votes: Sequence[Vote], *, hybrid: bool) -> Count:
    """Give each vote to one role so that as many places as possible are filled. ``votes`` are of different
    keys. Deterministic: the same votes in the same order give the same result."""
    kinds: tuple[bool | None, ...] = (False, True) if hybrid else (None,)
    # A role never gets more places than there are votes and one, so that its shortage still shows.
    places = [
        _Place(role.name, kind)
        for role in roles
        for kind in kinds
        for _ in range(min(role.threshold, len(votes) + 1))
    ]
    filled: dict[int, int] = {}
    for index in range(len(votes)):
        _place_vote(index, votes, places, filled, set())
    role_of = {votes[vote].spki_sha256: places[place].role for place, vote in filled.items()}
    for vote in votes:
        if vote.roles:
            role_of.setdefault(vote.spki_sha256, vote.roles[0])
    tallies = tuple(_tally(role, votes, role_of, hybrid=hybrid) for role in roles)
    return Count(tallies, role_of)


def _place_vote(
    index: int, votes: Sequence[Vote], places: Sequence[_Place], filled: dict[int, int], tried: set[int]
) -> bool:
    """Find a place for a vote, moving others if that helps (augmenting paths of a bipartite matching);
    changes ``filled`` (place to vote). The depth is bounded by the number of places that are filled."""
    for number, place in enumerate(places):
        if number in tried or not place.takes(votes[index]):
            continue
        tried.add(number)
        if number not in filled or _place_vote(filled[number], votes, places, filled, tried):
            filled[number] = index
            return True
    return False


def _tally(role: Role, votes: Sequence[Vote], role_of: Mapping[str, str], *, hybrid: bool) -> Tally:
    own = [vote for vote in votes if role_of.get(vote.spki_sha256) == role.name]
    late = sum(vote.post_quantum for vote in own)
    return Tally(role.name, role.threshold, len(own) - late, late, hybrid)
