"""The policies of the cases, each whole and for itself."""

from collections.abc import Mapping, Sequence

from hpbuild.sign.keys import public_pem
from tests.policies import policy_text
from tests.vectors.making.keys import private


def trusting(
    *keys: str,
    threshold: int = 1,
    head: str = "",
    roles: Mapping[str, Sequence[str]] | None = None,
    identities: Sequence[str] = (),
    tail: str = "",
) -> str:
    """A policy whose role ``release`` (or ``roles``) has these keys of the suite."""
    return policy_text(
        {key: private(key).public_key() for key in keys},
        threshold=threshold,
        head=head,
        roles=roles,
        identities=identities,
        tail=tail,
    )


def pem(key: str) -> str:
    """The public key of that name."""
    return public_pem(private(key).public_key()).decode()
