"""The whole verification: damage anywhere, and what may be loaded for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpbuild.bundle.layout import ENVELOPE, MANIFEST, STATEMENT
from hpbuild.bundle.statement import Statement, encode_statement, make_statement
from hpbuild.bundle.writer import write_bundle
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.manifest.strict_json import JsonValue, canonical, parse
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.reader import parse_image
from hpbuild.sign.dsse import sign_envelope
from hpbuild.verify import Policy, VerifyRequest, reading, verify
from hpbuild.verify.checks import MODULE_CHECKS, PACKAGE_CHECKS
from hpbuild.verify.states import CheckStatus, ModuleState, Tier

STEP = 7


def test_every_check_has_a_result_whatever_happens(release) -> None:
    good = release.bundle()
    for data in (good, good[:-1], b"", good[:100] + b"\xff" + good[101:]):
        for installed in (None, release.installed, release.root / "absent"):
            result = release.verify_bytes(data, installed)
            numbers = [check.number for check in result.checks]
            count = len(PACKAGE_CHECKS)
            assert numbers[:count] == [check.number for check in PACKAGE_CHECKS]
            if installed is not None:
                assert numbers[count:] == [check.number for check in MODULE_CHECKS]
            for check in result.checks:
                assert (check.status is CheckStatus.FAILED) <= bool(check.findings)
                assert (check.status is CheckStatus.NOT_RUN) == bool(check.reason)


@pytest.mark.parametrize("start", range(STEP))
def test_one_flipped_bit_in_the_bundle_never_verifies(release, start: int) -> None:
    data = release.bundle()
    for policy in (release.policy, Policy(allow_unsigned=True)):
        for at in range(start * STEP, len(data), STEP * STEP):
            changed = bytearray(data)
            changed[at] ^= 1 << at % 8
            result = verify(
                VerifyRequest(bundle=bytes(changed), name="p", policy=policy, installed=release.installed)
            )
            assert result.exit in (ExitStatus.NO, ExitStatus.MALFORMED, ExitStatus.LIMIT), hex(at)


def test_one_flipped_bit_in_a_member_never_verifies(release) -> None:
    """As above, with the container made good again: checksums of members hide nothing."""
    from hpbuild.bundle.reader import read_bundle

    members = dict(read_bundle(release.bundle()).members)
    for name, content in members.items():
        for at in range(0, len(content), STEP * STEP):
            changed = bytearray(content)
            changed[at] ^= 1 << at % 8
            result = release.verify_bytes(write_bundle({**members, name: bytes(changed)}), release.installed)
            if result.exit is ExitStatus.YES:
                assert name == "signatures.dsse.json"
                assert b'"keyid"' in content[max(0, at - 80) : at], "only the key id is a free text"


def test_a_truncated_bundle_never_verifies(release) -> None:
    data = release.bundle()
    for size in range(0, len(data), STEP * STEP):
        assert release.verify_bytes(data[:size], release.installed).exit is ExitStatus.MALFORMED


def test_one_flipped_bit_in_the_installed_file_never_passes_as_the_baseline(release) -> None:
    """The default policy accepts the baseline alone, and what Authenticode leaves out of its digest."""
    data = release.installed.read_bytes()
    path = release.root / "flipped.dll"
    pe = int.from_bytes(data[0x3C:0x40], "little")
    left_out = {*range(pe + 88, pe + 92), *range(pe + 24 + 144, pe + 24 + 152)}
    bundle = release.bundle()
    accepted = []
    for at in range(0, len(data), STEP * STEP):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        result = release.verify_bytes(bundle, path)
        if result.exit is ExitStatus.YES:
            accepted.append(at)
        else:
            assert result.exit is ExitStatus.NOT_APPLICABLE, hex(at)
    assert set(accepted) <= left_out


def test_the_installed_file_is_read_once(release, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    original = reading.read_file

    def counting(path: Path, limit: int) -> FileBytes:
        read.append(path)
        data = original(path, limit)
        path.write_bytes(b"replaced while it was being verified")
        return data

    monkeypatch.setattr(reading, "read_file", counting)
    result = release.verify(release.installed)
    assert read == [release.installed]
    assert result.modules[0].state is ModuleState.APPLICABLE


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_is_imported(release, tmp_path: Path) -> None:
    """Neither LIEF nor a decoder, not even for a whole verification of an exact baseline; and before that
    nothing that would be waited for although the file could be read meanwhile."""
    from hpbuild.sign.keys import public_pem

    (tmp_path / "p.hpb").write_bytes(release.bundle())
    (tmp_path / "p.pub").write_bytes(public_pem(release.signers[0].public))
    code = f"""
import sys
from pathlib import Path
from hpbuild.verify import VerifyRequest, policy_from_keys, verify
before = set(sys.modules)
from hpbuild.sign.keys import read_public
key = read_public(Path({str(tmp_path / "p.pub")!r}))
request = VerifyRequest(
    bundle=Path({str(tmp_path / "p.hpb")!r}).read_bytes(), name="p", policy=policy_from_keys([key]),
    installed=Path({str(release.installed)!r}),
)
print(int(verify(request).exit))
print(sorted({{"numpy", "pefile", "jsonschema"}} & before))
forbidden = {{"lief", "iced_x86", "capstone", "hpbuild.match", "hpbuild.plan", "hpbuild.code"}}
print(sorted(forbidden & set(sys.modules)))
"""
    assert run(code).splitlines() == ["0", "[]", "[]"]


def test_a_tier_is_not_computed_when_a_stronger_one_matches(release, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpbuild.verify import baseline

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the exact tier matched")

    monkeypatch.setattr(baseline, "authenticode_digest", refuse)
    assert release.verify(release.installed).modules[0].tier is Tier.EXACT


def test_reader_refusals_of_the_installed_file_are_findings(release) -> None:
    """No refusal of the image reader comes out of ``verify`` as an exception."""
    data = release.installed.read_bytes()
    path = release.root / "cut.dll"
    seen = 0
    for size in range(1, len(data), 509):
        path.write_bytes(data[:size])
        try:
            parse_image(data[:size], "i")
        except HpbuildError:
            seen += 1
        result = release.verify(path)
        assert result.exit is ExitStatus.NOT_APPLICABLE
    assert seen


def signed(release, members: dict[str, bytes], statement: Statement) -> bytes:
    """A bundle whose statement is signed without the checks that signing makes for users."""
    content = encode_statement(statement)
    envelope = sign_envelope(content, release.signers[:1])
    return write_bundle({STATEMENT: content, **members, ENVELOPE: envelope})


def numbers_in(value: JsonValue, path: str = "") -> dict[str, tuple[dict[str, JsonValue], str]]:
    """Every integer under a key of the document: path -> (the object that holds it, its key). Indices are
    left out of the path, so that of like entries the last one stands for all."""
    found: dict[str, tuple[dict[str, JsonValue], str]] = {}
    if isinstance(value, list):
        for item in value:
            found |= numbers_in(item, f"{path}[]")
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, int) and not isinstance(item, bool):
                found[f"{path}.{key}"] = (value, key)
            else:
                found |= numbers_in(item, f"{path}.{key}")
    return found


TOLD_ONLY = {
    # What a package only tells people about, or what no installed baseline can show to be wrong.
    ".modules[].account[].size",
    ".modules[].baseline.pdb_age",
    # A file of another size is still the baseline at the next tier.
    ".modules[].baseline.size",
    # Only a proof with the fixed file can tell.
    ".modules[].data[].fixed.rva",
    ".modules[].fixed.checksum",
    ".modules[].fixed.pdb_age",
    ".modules[].fixed.sections[].rva",
    ".modules[].fixed.sections[].size",
    ".modules[].fixed.size",
    ".modules[].fixed.size_of_image",
    ".modules[].fixed.time_date_stamp",
    ".modules[].functions[].fixed[].rva",
}


def test_a_hostile_signer_gets_findings_and_no_exception(release) -> None:
    """Each integer of the manifest in turn takes values that sit on borders; all is signed again."""
    members = release.members()
    paths = numbers_in(parse(members[MANIFEST], "m"))
    assert len(paths) > 30
    passed = set()
    for path in paths:
        for value in (0, 1, 0x1000, 0x7FFF_FFFF, 0xFFFF_FFFF, 2**53 - 1):
            document = parse(members[MANIFEST], "m")
            holder, key = numbers_in(document)[path]
            if holder[key] == value:
                continue
            holder[key] = value
            changed = {**release.images, MANIFEST: canonical(document, "m")}
            statement = make_statement(release.manifest, changed)
            result = release.verify_bytes(signed(release, changed, statement), release.installed)
            if result.exit is ExitStatus.YES:
                passed.add(path)
    assert passed <= TOLD_ONLY
