"""Cases about JSON: rules J1 to J8. What is wrong is signed by the key that the policy trusts."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from hpbuild.bundle.layout import ENVELOPE, MANIFEST, STATEMENT
from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.bundle.writer import write_bundle
from tests.vectors.making.base import Parts, parts_of
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import Document, canonical, sealed, statement_of

POLICY = trusting("release")
DEPTH = 10_000
LONG = 10_000_000
MANY = 10_000


def cases() -> list[Made]:
    parts = parts_of()
    return [*_spellings(parts), *_numbers(parts), *_keys(parts), *_texts(parts), *_sizes(parts)]


def _statement(
    parts: Parts,
    name: str,
    why: str,
    rules: str,
    change: Callable[[bytes], bytes],
    code: str,
    status: int = 4,
) -> Made:
    """The statement's bytes changed before they are signed."""
    data = parts.statement()
    changed = change(data)
    if changed == data:
        raise ValueError(f"{name}: nothing was changed")
    return case(name, why, rules, sealed(parts.members(), changed), POLICY, refused=(status, code))


def _manifest(
    parts: Parts,
    name: str,
    why: str,
    rules: str,
    change: Callable[[bytes], bytes],
    code: str,
    status: int = 4,
) -> Made:
    """The manifest's bytes changed before it is listed and signed."""
    data = canonical(parts.manifest)
    changed = change(data)
    if changed == data:
        raise ValueError(f"{name}: nothing was changed")
    members = {**parts.members(), MANIFEST: changed}
    statement = canonical(statement_of(parts.manifest, members))
    return case(name, why, rules, sealed(members, statement), POLICY, refused=(status, code))


def _replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new, 1)


def _spellings(parts: Parts) -> list[Made]:
    def spaced(data: bytes) -> bytes:
        return json.dumps(json.loads(data), sort_keys=True).encode()

    def reordered(data: bytes) -> bytes:
        value = json.loads(data)
        turned = {key: value[key] for key in sorted(value, reverse=True)}
        return json.dumps(turned, separators=(",", ":"), sort_keys=False).encode()

    return [
        _statement(parts, "json-byte-order-mark", "A byte order mark before the statement: some readers "
                   "skip it, "
                   "others do not.", "J1", lambda data: b"\xef\xbb\xbf" + data, "HP4001"),
        _statement(parts, "json-white-space", "White space between the values of the statement: a second "
                   "spelling "
                   "of the same value, so that one package would have two identities.", "J1", spaced,
                   "HP4003"),
        _statement(parts, "json-line-feed-at-the-end", "A line feed behind the statement, as editors add "
                   "it.", "J1",
                   lambda data: data + b"\n", "HP4003"),
        _statement(parts, "json-order-of-keys", "The keys of the statement are not in their canonical "
                   "order.", "J1",
                   reordered, "HP4003"),
        _statement(parts, "json-escaped-letter", "A letter of the product is written as an escape.", "J1",
                   _replaced(b'"Example"', b'"\\u0045xample"'), "HP4003"),
        _statement(parts, "json-not-utf-8", "A byte that is no UTF-8 in the name of the product. Readers "
                   "replace "
                   "it, drop it or stop.", "J1", _replaced(b'"Example"', b'"Ex\xffmple"'), "HP4001"),
        _statement(parts, "json-two-values", "A second JSON value behind the first one.", "J1",
                   lambda data: data + b"{}", "HP4001"),
        _manifest(parts, "json-comment", "A comment in the manifest, which some readers allow.", "J1",
                  lambda data: data[:-1] + b"/* */}", "HP4001"),
    ]  # fmt: skip


def _numbers(parts: Parts) -> list[Made]:
    sequence = b'"sequence":1'
    return [
        _statement(parts, "json-nan", "NaN as the sequence: no JSON, and yet many readers take it. No "
                   "comparison "
                   "with it is true, so a check for rollback that asks whether it is lower passes.", "J3",
                   _replaced(sequence, b'"sequence":NaN'), "HP4005"),
        _statement(parts, "json-infinity", "Infinity as the sequence: higher than every successor.", "J3",
                   _replaced(sequence, b'"sequence":Infinity'), "HP4005"),
        _manifest(parts, "json-fraction", "An RVA written as 4096.0: an integer for some readers, a "
                  "fraction for "
                  "others, an error for the rest.", "J3", _replaced(b'"rva":4096', b'"rva":4096.0'),
                  "HP4005"),
        _statement(parts, "json-exponent", "The sequence written as 1e0.", "J3",
                   _replaced(sequence, b'"sequence":1e0'), "HP4005"),
        _statement(parts, "json-huge-integer", "2 to the 53rd as the sequence: readers that keep numbers as "
                   "doubles cannot tell it from its successor.", "J3",
                   _replaced(sequence, b'"sequence":9007199254740992'), "HP4005"),
        _statement(parts, "json-integer-of-many-digits", "An integer of ten thousand digits: work for some "
                   "readers, another value for others.", "J3 J6",
                   _replaced(sequence, b'"sequence":1' + b"0" * 10_000), "HP4005"),
        _statement(parts, "json-minus-zero", "The sequence written as -0, which is not its canonical form.",
                   "J1 J3",
                   _replaced(sequence, b'"sequence":-0'), "HP4003"),
    ]  # fmt: skip


def _keys(parts: Parts) -> list[Made]:
    return [
        _statement(parts, "json-duplicate-key", "The statement has its sequence twice, 1 and 900. Readers "
                   "take "
                   "the first or the last one.", "J2",
                   _replaced(b'"sequence":1', b'"sequence":1,"sequence":900'), "HP4004"),
        _manifest(parts, "json-duplicate-key-in-manifest", "The first module has its path twice.", "J2",
                  _replaced(b'"path":"gadget.dll"', b'"path":"gadget.dll","path":"kernel32.dll"'), "HP4004"),
        _statement(parts, "json-duplicate-key-escaped", "The sequence twice, once spelled with an escape: "
                   "the two "
                   "keys are the same string.", "J2",
                   _replaced(b'"sequence":1', b'"sequence":1,"\\u0073equence":900'), "HP4004"),
        _statement(parts, "json-unknown-key", "A key that the format does not know in the predicate, in its "
                   "canonical place. Skipped by a lenient reader, it could mean something to the next one.",
                   "J5",
                   _replaced(b'"sequence":1', b'"sequence":1,"skip_checks":true'), "HP4012"),
        _statement(parts, "json-missing-key", "The predicate says nothing about its expiry. Without a rule "
                   "each "
                   "verifier would have a default of its own.", "J5", _replaced(b'"expiry":"",', b""),
                   "HP4011"),
        _manifest(parts, "json-unknown-key-in-manifest", "A key in the manifest that the format does not "
                  "know.",
                  "J5", _replaced(b'"unchanged":[]', b'"unchanged":[],"xxx":1'), "HP4101", 1),
        _manifest(parts, "json-empty-optional-list", "An optional list that is empty and has to be left out "
                  "then: "
                  "else one manifest would have two forms.", "J5",
                  _replaced(b'"id":"KB-1",', b'"id":"KB-1","left_out":[],'), "HP4101", 1),
    ]  # fmt: skip


def _texts(parts: Parts) -> list[Made]:
    def product(text: str) -> bytes:
        def change(manifest: Document) -> None:
            manifest["product"] = text

        return parts.changed(change).package()

    def control(name: str, why: str, text: str) -> Made:
        return case(name, why, "J7", product(text), POLICY, refused=(4, "HP4014"))

    def digest(data: bytes) -> bytes:
        at = data.index(b'"sha256":"') + len(b'"sha256":"') + 64
        return data[:at] + b"\\n" + data[at:]

    def upper(data: bytes) -> bytes:
        at = data.index(b'"sha256":"') + len(b'"sha256":"')
        return data[:at] + data[at : at + 64].upper() + data[at + 64 :]

    return [
        _statement(parts, "json-lone-surrogate", "Half of a surrogate pair in the name of the product: no "
                   "character, "
                   "and readers make different things of it.", "J4",
                   _replaced(b'"Example"', b'"\\ud800"'), "HP4001"),
        control("control-character", "An escape sequence in the name of the product. On a terminal it would "
                "recolour, move or erase what the verifier says about the package.",
                "Ex\x1b[2J\x1b[32mverified"),
        control("workflow-command", "A line feed in the name of the product, and what a build server would "
                "take for "
                "a command.", "Example\n::set-output name=verified::true"),
        control("text-direction", "A mark that turns the direction of the text, so that people read another "
                "name "
                "than programs.", "Ex\u202eelpma"),
        _statement(parts, "json-line-feed-in-digest", "A line feed behind the digits of a digest. A pattern "
                   "that "
                   "ends with $ lets it through in some languages.", "J8", digest, "HP4015"),
        _manifest(parts, "json-line-feed-in-digest-of-manifest", "The same in the manifest, where a JSON "
                  "Schema "
                  "pattern decides.", "J8", digest, "HP4101", 1),
        _statement(parts, "json-upper-case-digest", "A digest with upper-case digits: a second spelling.",
                   "J8", upper,
                   "HP4015"),
    ]  # fmt: skip


def _sizes(parts: Parts) -> list[Made]:
    nested = b"[" * DEPTH + b"]" * DEPTH
    deep = sealed(parts.members(), nested)
    return [
        case("json-deep",
             f"A statement of {DEPTH} nested lists: a reader that calls itself for each runs out of "
             "stack.", "J6", deep, POLICY, refused=(5, "HP4006")),
        _statement(parts, "json-deep-in-predicate", "The same at one place of an otherwise good statement.",
                   "J6",
                   _replaced(b'"sequence":1', b'"sequence":' + nested), "HP4006", 5),
        _long_string(parts),
        _many_values(parts),
    ]  # fmt: skip


def _long_string(parts: Parts) -> Made:
    """The text is put in when the case is run; everything else, digests and checksums too, is that of the
    long file."""

    def change(manifest: Document) -> None:
        manifest["modules"][0]["functions"][0]["cause"] = "x" * LONG

    return _grown(
        "json-long-string",
        f"A string of {LONG:,} characters in the manifest, which is otherwise good and signed: "
        "no text of a package is that long.", parts.changed(change).package(), b"x", LONG, (5, "HP4006"),
    )  # fmt: skip


def _many_values(parts: Parts) -> Made:
    statement = parts.statement()
    data = write_bundle(
        {
            STATEMENT: statement,
            **parts.members(),
            ENVELOPE: canonical({"payload": "", "payloadType": PAYLOAD_TYPE, "signatures": [0] * MANY}),
        }
    )
    return case(
        "json-many-values",
        f"An envelope with a list of {MANY:,} numbers: few bytes that become many in a reader "
        "that builds them all.", "J6", data, POLICY, refused=(5, "HP4006"),
    )  # fmt: skip


def _grown(name: str, why: str, data: bytes, text: bytes, count: int, refused: tuple[int, str]) -> Made:
    run = text * count
    at = data.index(run)
    insert: Mapping[str, Any] = {
        "source": "{case}/package.hpb",
        "target": "{scratch}/package.hpb",
        "at": at,
        "text": text.decode(),
        "count": count,
    }
    small = data[:at] + data[at + len(run) :]
    return case(name, why, "J6", small, POLICY, refused=refused, inserts=[insert])
