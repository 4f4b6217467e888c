"""Policy files for tests, in parts: what differs between tests is what each of them says."""

from collections.abc import Iterable, Mapping, Sequence

from hpbuild.sign.algorithms import PublicKey
from hpbuild.sign.keys import public_pem
from hpbuild.verify.policy import Policy
from hpbuild.verify.policy_file import parse_policy

HEAD = 'schema = "urn:hpbuild:schema:policy:1"\n'


def policy_text(
    keys: Mapping[str, PublicKey] | None = None,
    *,
    head: str = "",
    role: str = "release",
    threshold: int = 1,
    roles: Mapping[str, Sequence[str]] | None = None,
    identities: Sequence[str] = (),
    tail: str = "",
) -> str:
    """A policy: ``head`` are entries of the top, ``keys`` by name, all in one role with ``identities`` unless
    ``roles`` says which key names are in which role; ``tail`` are further tables."""
    keys = keys or {}
    parts = [HEAD + head]
    for name, names in (roles or {role: list(keys)}).items():
        parts.append(
            f'[[roles]]\nname = "{name}"\nthreshold = {threshold}\nkeys = {_list(names)}\n'
            f"identities = {_list(identities)}\n"
        )
    parts += [
        f'[[keys]]\nname = "{name}"\npublic = """{public_pem(key).decode()}"""\n'
        for name, key in keys.items()
    ]
    return "\n".join([*parts, tail])


def policy_of(keys: Mapping[str, PublicKey] | None = None, **how: object) -> Policy:
    """The policy that ``policy_text`` writes."""
    return parse_policy(policy_text(keys, **how).encode(), "trust.toml")  # type: ignore[arg-type]


def authority(name: str, pem: bytes, table: str = "authorities") -> str:
    """An entry of [[authorities]] or [[timestamp_authorities]]."""
    return f'[[{table}]]\nname = "{name}"\ncertificate = """{pem.decode()}"""\n'


def identity(name: str, authorities: Sequence[str], **subject: str) -> str:
    """An entry of [[identities]]; ``subject`` by attribute."""
    wanted = ", ".join(f'{key} = "{value}"' for key, value in subject.items())
    return f'[[identities]]\nname = "{name}"\nauthorities = {_list(authorities)}\nsubject = {{ {wanted} }}\n'


def _list(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
