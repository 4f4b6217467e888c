"""Pieces of a policy document: lists, names, keys, certificates. The document has met its schema before."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from hpbuild.codes import policy as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.readers import Node
from hpbuild.sign.algorithms import PublicKey
from hpbuild.sign.certificates import Certificate, load_certificates_pem
from hpbuild.sign.keys import load_public
from hpbuild.sign.revocation import RevocationList, load_lists_pem
from hpbuild.verify.roles import SubjectRule

T = TypeVar("T")


def fields_of(node: Node | None) -> dict[str, Node]:
    """The entries of a table, none when it is absent."""
    if node is None or not isinstance(node.value, Mapping):
        return {}
    return {key: Node(value, node, key) for key, value in node.value.items()}


def all_of(node: Node | None, read: Callable[[Node], T]) -> tuple[T, ...]:
    """What ``read`` makes of each entry of a list, none when it is absent."""
    return () if node is None else tuple(read(item) for item in node.items())


def text_of(node: Node | None) -> str:
    """A text without control characters, '' when it is absent (HP4014)."""
    return "" if node is None else node.text()


def named(node: Node | None, read: Callable[[Node], T]) -> dict[str, T]:
    """The entries of a list by their names, in its order; HP6103 for a name that occurs twice."""
    found: dict[str, T] = {}
    for item in node.items() if node is not None else ():
        name = fields_of(item)["name"]
        if name.text() in found:
            raise HpbuildError(codes.DUPLICATE_NAME, name.place, name.text())
        found[name.text()] = read(item)
    return found


def picked(node: Node | None, known: Mapping[str, T]) -> tuple[T, ...]:
    """The entries of ``known`` that a list names; HP6104 for a name that is not defined."""
    names = node.items() if node is not None else ()
    for name in names:
        if name.text() not in known:
            raise HpbuildError(codes.UNKNOWN_NAME, name.place, name.text())
    return tuple(known[name.text()] for name in names)


def key_of(node: Node) -> PublicKey:
    """The public key of a [[keys]] entry; raises HP500x."""
    public = fields_of(node)["public"]
    return load_public(_pem(public), public.place)


def authority_of(node: Node) -> Certificate:
    """The one certificate of an entry; raises HP5303."""
    place = fields_of(node)["certificate"]
    found = load_certificates_pem(_pem(place), place.place)
    if len(found) != 1:
        raise HpbuildError(codes.NOT_A_POLICY, place.place, f"{len(found)} certificates, one is needed")
    return found[0]


def lists_of(node: Node) -> tuple[RevocationList, ...]:
    """The revocation lists of an entry; raises HP5332."""
    return load_lists_pem(_pem(node), node.place)


def subject_of(node: Node) -> SubjectRule:
    """What a certificate's subject has to say."""
    fields = fields_of(node)
    return SubjectRule(
        common_name=text_of(fields.get("common_name")),
        organization=text_of(fields.get("organization")),
        organizational_unit=text_of(fields.get("organizational_unit")),
        country=text_of(fields.get("country")),
        emails=all_of(fields.get("emails"), text_of),
        uris=all_of(fields.get("uris"), text_of),
    )


def _pem(node: Node) -> bytes:
    """A text of many lines, which ``Node.text`` would refuse; what is not ASCII is no PEM."""
    return str(node.value).encode("utf-8")
