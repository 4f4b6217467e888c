"""Revert packages: signed like any other, they take one earlier package of the line back.

A revert package has the manifest and the patch images of the package that it takes back, so that what is in
effect can be found by them, and a statement of its own: id, sequence, and which package is meant. Attachments
of that package are left out; they speak of a release that is being withdrawn.
"""

from hpbuild.bundle.contents import agreement_findings, image_findings, subject_findings
from hpbuild.bundle.layout import ATTACHMENTS, STATEMENT, UNSIGNED
from hpbuild.bundle.reader import Bundle
from hpbuild.bundle.statement import Reverts, decode_statement, encode_statement, make_revert_statement
from hpbuild.bundle.writer import write_bundle
from hpbuild.codes import bundle as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.codec import decode
from hpbuild.values import Digest


def make_revert(bundle: Bundle, name: str, sequence: int, reason: str, expiry: str = "") -> bytes:
    """Unsigned package ``name`` that takes ``bundle`` back; ``expiry`` is a UTC time or ''. The same
    arguments give the same bytes.

    Raises HpbuildError: HP4302 to HP4306 when the parts of ``bundle`` do not agree, HP4308 for an id or a
    sequence that cannot be, HP4309 when it is a revert package itself, HP40xx for a reason that is empty or
    too long.
    """
    manifest = decode(bundle.manifest)
    given = decode_statement(bundle.statement)
    if given.reverts is not None:
        cause = f"{given.id} takes {given.reverts.id} back"
        raise HpbuildError(codes.NOT_REVERTIBLE, STATEMENT, cause)
    defects = (
        *subject_findings(bundle.members, given),
        *agreement_findings(given, manifest),
        *image_findings(bundle, manifest),
    )
    for finding in defects:
        raise HpbuildError(finding.code, finding.place, finding.cause)
    members = {
        member: data
        for member, data in bundle.members.items()
        if member not in UNSIGNED and not member.startswith(ATTACHMENTS)
    }
    reverts = Reverts(
        id=given.id, sequence=given.sequence, statement=Digest.of(bundle.statement), reason=reason
    )
    statement = make_revert_statement(manifest, members, (name, sequence), reverts, expiry)
    return write_bundle({STATEMENT: encode_statement(statement), **members})
