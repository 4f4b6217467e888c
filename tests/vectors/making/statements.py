"""Cases about the statement and what it binds: rules S1 to S6, and bit flips that no checksum shows."""

from dataclasses import replace
from typing import Any

from hpbuild.bundle.layout import MANIFEST, STATEMENT
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.statement import STATEMENT_TYPE
from hpbuild.bundle.writer import write_bundle
from tests.vectors.making.base import CODEC, Parts, parts_of
from tests.vectors.making.model import STATE, Made, case, verify
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import canonical, sealed, sha256, statement_of, vote

POLICY = trusting("release")
IMAGE = "images/gadget.dll"


def cases() -> list[Made]:
    parts = parts_of()
    return [
        *_flips(parts),
        *_kinds(parts),
        *_subjects(parts),
        *_fields(parts),
        *_mixed(parts),
        *_reverts(parts),
    ]


def _case(name: str, why: str, rules: str, package: bytes, status: int, codes: str) -> Made:
    return case(name, why, rules, package, POLICY, refused=(status, codes))


def _with(package: bytes, member: str, content: bytes) -> bytes:
    """The package with another member, checksum and directory mended."""
    return write_bundle({**read_bundle(package).members, member: content})


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def _flips(parts: Parts) -> list[Made]:
    package = parts.package()
    notes = "attachments/notes.txt"
    attached = replace(parts, attachments={notes: b"Restart the service."})
    manifest = canonical(parts.manifest)
    statement = parts.statement(supersedes=["KA-2"])
    superseding = parts.package(supersedes=["KA-2"])
    changed = _flip(statement, statement.index(b"KA-2") + 3)
    return [
        _case("manifest-bit-flip", "One bit of the manifest (of a text for people) is changed, and the "
              "container "
              "mended. The manifest is as good as before in itself; its digest in the statement is not its "
              "own.",
              "S2", _with(package, MANIFEST, _flip(manifest, manifest.index(b"code differs"))), 1, "HP4302"),
        _case("image-bit-flip", "One bit of the code that would be written into processes is changed, and "
              "the "
              "container mended.", "S2 M3", _with(package, IMAGE, _flip(parts.images[IMAGE], 0x402)), 1,
              "HP4302 HP4305"),
        _case("attachment-bit-flip", "One bit of an attachment is changed, and the container mended.", "S2",
              _with(attached.package(), notes, b"Restart the servicd."), 1, "HP4302"),
        _case("statement-bit-flip", "One bit of the statement (KA-2, which it supersedes, becomes KA-3) is "
              "changed and the container "
              "mended; the envelope is about the old bytes.", "E2 S2", _with(superseding, STATEMENT, changed),
              1, "HP5203"),
        _case("payload-bit-flip", "The same bit is changed in the statement and in the envelope, so that "
              "they agree. "
              "The signature is about other bytes.", "E2 E4", sealed(parts.members(), changed,
              [vote("release", statement)]), 1, "HP6003 HP6122"),
    ]  # fmt: skip


def _kinds(parts: Parts) -> list[Made]:
    document = statement_of(parts.manifest, parts.members())
    summary = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "package", "digest": {"sha256": sha256(parts.package())}}],
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {
            "verifier": {"id": "urn:example:verifier"},
            "timeVerified": "2026-05-01T00:00:00Z",
            "resourceUri": "urn:example:KB-1",
            "policy": {"uri": "urn:example:policy"},
            "verificationResult": "PASSED",
            "verifiedLevels": ["SLSA_BUILD_LEVEL_2"],
        },
    }

    def signed(value: Any) -> bytes:
        return sealed(parts.members(), canonical(value))

    return [
        _case("statement-type", "A statement of an older version of in-toto, signed by the trusted key.",
              "S1",
              signed({**document, "_type": "https://in-toto.io/Statement/v0.1"}), 4, "HP4301"),
        _case("predicate-type", "A statement with another predicate type and hpbuild's predicate: what was "
              "signed "
              "for another purpose must not become a package.", "S1",
              signed({**document, "predicateType": "urn:hpbuild:predicate:hotpatch:2"}), 4, "HP4301"),
        _case("verification-summary-as-statement", "A verification summary, which the same key signs about "
              "packages, in the place of the statement: right type, right payload type, right key.", "S1 E1",
              signed(summary), 4, "HP4301"),
        _case("no-object-as-statement", "A list in the place of the statement, signed by the trusted key.",
              "S1",
              signed([document]), 4, "HP4010"),
    ]  # fmt: skip


def _subjects(parts: Parts) -> list[Made]:
    members = parts.members()
    document = statement_of(parts.manifest, members)
    subjects = document["subject"]
    extra = {**members, "attachments/readme.txt": b"hello"}
    absent = {"name": "images/lost.dll", "digest": {"sha256": "0" * 64}}
    own = {"name": STATEMENT, "digest": {"sha256": "0" * 64}}

    def signed(found: list[Any]) -> bytes:
        return sealed(members, canonical({**document, "subject": found}))

    return [
        _case("unlisted-member", "An attachment that the signed statement does not list was added to the "
              "package.",
              "S2", sealed(extra, canonical(document)), 1, "HP4303"),
        _case("subject-without-member", "The statement lists a patch image that is not in the package: "
              "something "
              "was taken out.", "S2", signed([subjects[0], absent, subjects[1]]), 1, "HP4303"),
        _case("subject-is-the-statement", "The statement lists itself; no digest could be right.", "S2",
              signed([*subjects, own]), 1, "HP4303"),
        _case("subjects-out-of-order", "The subjects are not in ascending order.", "S2",
              signed(subjects[::-1]), 4,
              "HP4112"),
        _case("subject-twice", "The manifest is listed twice with different digests, the right one last: a "
              "reader "
              "that keeps one of them decides by chance.", "S2",
              signed([subjects[0], {**subjects[1], "digest": {"sha256": "0" * 64}}, subjects[1]]), 4,
              "HP4112"),
        _case("subject-with-another-digest-too", "A subject with a second digest algorithm: verifiers that "
              "know "
              "it and verifiers that do not would check different things.", "S2 J5",
              signed([subjects[0], {**subjects[1], "digest": {**subjects[1]["digest"], "md5": "0" * 32}}]), 4,
              "HP4012"),
        _case("subject-without-digest", "The patch image is listed without a digest.", "S2 J5",
              signed([{**subjects[0], "digest": {}}, subjects[1]]), 4, "HP4011"),
    ]  # fmt: skip


def _fields(parts: Parts) -> list[Made]:
    def signed(**predicate: Any) -> bytes:
        return parts.package(**predicate)

    return [
        _case("sequence-zero", "The sequence 0, below the first possible one.", "S3", signed(sequence=0), 4,
              "HP4013"),
        _case("sequence-beyond-the-last", "A sequence of 2 to the 32nd: it does not fit where Windows keeps "
              "it, and "
              "would be 0 there.", "S3", signed(sequence=2**32), 4, "HP4013"),
        _case("sequence-as-text", "The sequence is a string.", "S3", signed(sequence="1"), 4, "HP4010"),
        _case("sequence-true", "The sequence is true, which some languages take for 1.", "S3",
              signed(sequence=True),
              4, "HP4010"),
        _case("expiry-not-in-the-calendar", "An expiry on the 31st of April. Readers refuse it, or make the "
              "1st of "
              "May of it.", "S3", signed(expiry="2027-04-31T00:00:00Z"), 4, "HP4016"),
        _case("expiry-in-lower-case", "An expiry in lower case, which RFC 3339 allows and this format does "
              "not: it "
              "would be a second spelling, and readers differ.", "S3", signed(expiry="2027-04-30t00:00:00z"),
              4, "HP4016"),
        _case("id-with-a-slash", "An id with path separators: verifiers use it in names of files.", "S3",
              signed(id="../KB-1"), 4, "HP4014"),
        _case("supersedes-itself", "A package that supersedes itself.", "S3", signed(supersedes=["KB-1"]), 4,
              "HP4307"),
        _case("statement-disagrees", "The statement says sequence 2, the manifest 1: who was asked to sign "
              "was shown "
              "something else than what is done.", "S4", signed(sequence=2), 1, "HP4304"),
        _case("pins-disagree", "The statement names another baseline than the manifest.", "S4",
              signed(pins=[{"path": "gadget.dll", "sha256": "0" * 64}]), 1, "HP4304"),
        _case("advisories-disagree", "The statement names an advisory that the manifest does not name.", "S4",
              signed(advisories=["CVE-2026-0001", "CVE-2026-0002"]), 1, "HP4304"),
    ]  # fmt: skip


def _mixed(parts: Parts) -> list[Made]:
    """Two good packages by the same key, mixed."""
    other = parts_of("KB-2", 2)
    codec = parts_of(pair=CODEC)
    package = parts.package()
    swapped = {IMAGE: other.images[IMAGE]}
    disagreeing = canonical(statement_of(parts.manifest, {**parts.members(), **swapped}))
    return [
        _case("manifest-of-another", "The manifest of another package by the same key, with this one's "
              "statement "
              "and code.", "S2 S4", _with(package, MANIFEST, canonical(other.manifest)), 1, "HP4302 HP4304"),
        _case("images-of-another", "The code of another package by the same key, under the same name, with "
              "this "
              "one's statement and manifest.", "S2 M3", _with(package, IMAGE, other.images[IMAGE]), 1,
              "HP4302 HP4305"),
        _case("images-of-another-signed", "The same, and the statement lists the wrong image too and is "
              "signed: the "
              "manifest is the last to notice.", "M3", sealed({**parts.members(), **swapped}, disagreeing), 1,
              "HP4305"),
        _case("statement-of-another", "Statement and envelope of another package by the same key.", "S2 S4",
              _with(_with(package, STATEMENT, other.statement()), "signatures.dsse.json",
                    read_bundle(other.package()).members["signatures.dsse.json"]), 1, "HP4302 HP4304"),
        _case("envelope-of-another", "The envelope of another package by the same key, with this one's "
              "statement: "
              "the signature is good, and about something else.", "E2",
              _with(package, "signatures.dsse.json",
                    read_bundle(codec.package()).members["signatures.dsse.json"]),
              1, "HP5203"),
    ]  # fmt: skip


def revert(parts: Parts, name: str = "KB-1-back", sequence: int = 2, **other: Any) -> bytes:
    """The package that takes ``parts`` back."""
    taken = {
        "id": parts.manifest["id"],
        "sequence": parts.manifest["sequence"],
        "statement": sha256(parts.statement()),
        "reason": "it crashes",
        **other,
    }
    return parts.package(id=name, sequence=sequence, reverts=taken)


def _reverts(parts: Parts) -> list[Made]:
    files = {
        "package.hpb": parts.package(),
        "revert.hpb": revert(parts),
        "countersigned.hpb": _countersigned(parts),
        "policy.toml": POLICY.encode(),
    }

    def two(name: str, why: str, rules: str, second: str) -> Made:
        steps = (verify(*STATE), verify(*STATE, package="{case}/" + second))
        needed = {key: files[key] for key in ("package.hpb", "policy.toml", second)}
        return Made(name=name, why=why, rules=tuple(rules.split()), files=needed, steps=steps)

    return [
        two("revert", "A package is accepted, then the signed package that takes it back: the only way back.",
            "S6 L6", "revert.hpb"),
        two("countersigned", "A package is accepted, then the same one with a second signature. The file "
            "differs, "
            "the package is the same: it is judged by its statement.", "S5 L2", "countersigned.hpb"),
        _case("revert-of-another-sequence", "A revert package that names another sequence than that of the "
              "manifest "
              "which it carries.", "S6", _other_sequence(parts), 1, "HP4304"),
        _case("revert-not-above", "A revert package whose sequence is that of the package it takes back: "
              "the line "
              "would not go forward.", "S6", revert(parts, sequence=1), 4, "HP4308"),
        _case("revert-of-itself", "A revert package with the id of the package that it takes back.", "S6",
              revert(parts, name="KB-1"), 4, "HP4308"),
        _case("revert-of-another-id", "A revert package that names another id than that of the manifest "
              "which it "
              "carries.", "S6 S4", revert(parts, id="KB-0"), 1, "HP4304"),
        _case("revert-that-supersedes", "A revert package that supersedes packages too: it may only take "
              "one back.",
              "S6", _superseding(parts), 4, "HP4308"),
        _case("revert-without-a-reason", "A revert package that does not say why.", "S6", revert(parts,
                                                                                                 reason=""),
                                                                                                 4,
              "HP4014"),
    ]  # fmt: skip


def _other_sequence(parts: Parts) -> bytes:
    taken = {"id": "KB-1", "sequence": 3, "statement": sha256(parts.statement()), "reason": "it crashes"}
    return parts.package(id="KB-1-back", sequence=9, reverts=taken)


def _superseding(parts: Parts) -> bytes:
    taken = {"id": "KB-1", "sequence": 1, "statement": sha256(parts.statement()), "reason": "it crashes"}
    return parts.package(id="KB-1-back", sequence=2, reverts=taken, supersedes=["KB-0"])


def _countersigned(parts: Parts) -> bytes:
    statement = parts.statement()
    return parts.package([vote("release", statement), vote("security", statement)])
