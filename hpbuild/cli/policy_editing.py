"""Writing policy files: the template of ``policy init``, and keys added without touching anything else.

An edit keeps comments and order. The edited text is read as a policy before it replaces the file, so that a
mistake never leaves a file that locks everybody out, or lets everybody in.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpbuild.bundle.output import read_bounded, write_atomic
from hpbuild.codes import policy as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import PublicKey, spki_sha256
from hpbuild.sign.keys import public_pem, read_public
from hpbuild.verify.policy import Policy
from hpbuild.verify.policy_file import MAX_POLICY, SCHEMA_ID, parse_policy
from hpbuild.verify.policy_toml import toml_document

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

TEMPLATE = """\
# Whose signatures count, and what may be accepted. `hpbuild schema policy-1` shows every entry that there
# is; an unknown one is refused. Add keys with `hpbuild policy add-key`, and look at the result with
# `hpbuild policy check`.
schema = "{schema}"
{products}
# The weakest identity of an installed file: exact, authenticode, sections, functions.
lowest_tier = "authenticode"

# Bounds on held-back packages. required: every package has to expire.
# expiry = "required"
# max_age_days = 90

# required: `verify` needs --state, which remembers what was accepted and refuses to go back.
# state = "required"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key for a role; ``name`` is what the policy is to call it."""

    role: str
    name: str
    public: PublicKey


def new_policy(products: Sequence[str]) -> bytes:
    """The text of a policy that does not trust anybody yet."""
    import tomlkit

    line = "# products = []  # any, as long as this is not set"
    if products:
        line = tomlkit.dumps({"products": list(products)}).rstrip("\n")
    return TEMPLATE.format(schema=SCHEMA_ID, products=line).encode()


def new_key(path: Path, role: str, name: str) -> NewKey:
    """The key in the file ``path``; ``name`` '' for the name of the file. Raises HP48xx and HP500x."""
    return NewKey(role=role, name=name or path.stem, public=read_public(path))


def add_key(path: Path, key: NewKey, threshold: int | None) -> Policy:
    """Add a key to a role of the policy file ``path``; the role is made when it is not there. ``threshold``
    None leaves that of the role, or is 1 for a new one. Returns the policy that the file says now.

    Raises HP6110 when the key or its name is there already, and what ``parse_policy`` raises about the
    result.
    """
    data = read_bounded(path, MAX_POLICY)
    edited = _added(data, str(path), key, threshold)
    policy = parse_policy(edited, str(path))
    write_atomic(path, edited)
    return policy


def _added(data: bytes, place: str, key: NewKey, threshold: int | None) -> bytes:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    _refuse_twin(data, place, key)
    try:
        document = tomlkit.parse(data.decode("utf-8"))
        entry = _entry({"name": key.name, "public": _multiline(public_pem(key.public))})
        _table(document, "keys").append(entry)
        roles = _table(document, "roles")
        role = next((item for item in roles if item.get("name") == key.role), None)
        if role is None:
            roles.append(_entry({"name": key.role, "threshold": threshold or 1, "keys": []}))
            role = roles[-1]
        elif threshold is not None:
            role["threshold"] = threshold
        role.setdefault("keys", tomlkit.array())
        role["keys"].append(key.name)
        return tomlkit.dumps(document).encode("utf-8")
    except (TOMLKitError, AttributeError, TypeError) as error:
        cause = f"keys or roles are not written as [[keys]] and [[roles]]: {error}"
        raise HpbuildError(codes.NOT_A_POLICY, place, cause[:300]) from None


def _refuse_twin(data: bytes, place: str, key: NewKey) -> None:
    """HP6110 for a key or name that the policy has. A policy without roles is not yet one that can be read,
    so this looks at the document."""
    from hpbuild.manifest.readers import root
    from hpbuild.verify.policy_nodes import fields_of, key_of, named

    fields = fields_of(root(toml_document(data, place), place))
    if not isinstance(fields["keys"].value if "keys" in fields else [], list):
        raise HpbuildError(codes.NOT_A_POLICY, place, "keys are not written as [[keys]]")
    try:
        known = named(fields.get("keys"), key_of)
    except KeyError as error:
        raise HpbuildError(codes.NOT_A_POLICY, place, f"a key has no entry {error}") from None
    if key.name in known:
        raise HpbuildError(codes.ALREADY_IN_POLICY, place, f"a key is called {key.name}")
    identity = spki_sha256(key.public)
    for name, public in known.items():
        if spki_sha256(public) == identity:
            raise HpbuildError(codes.ALREADY_IN_POLICY, place, f"it is {name}")


def _table(document: "TOMLDocument", name: str) -> Any:
    """The array of tables called ``name``, an empty one at the end when there is none."""
    import tomlkit
    from tomlkit.items import AoT

    if name not in document:
        document.append(name, tomlkit.aot())
    found = document[name]
    if not isinstance(found, AoT):
        raise TypeError(f"{name} is no array of tables")
    return found


def _multiline(pem: bytes) -> Any:
    import tomlkit

    return tomlkit.string(pem.decode("ascii"), multiline=True)


def _entry(values: dict[str, Any]) -> Any:
    """A table of an array of tables, with an empty line before it."""
    import tomlkit

    table = tomlkit.item(values)
    table.trivia.indent = "\n"
    return table
