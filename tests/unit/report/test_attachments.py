"""What inspect shows of attachments."""

import dataclasses

from hpbuild.attachments.record import KINDS, SBOM, VEX, Record
from hpbuild.attachments.writer import attachments as written
from hpbuild.manifest import model
from hpbuild.manifest.codec import encode
from hpbuild.report import plain
from hpbuild.report.attachments import SHOWN, attachment_blocks, attachments


def made(manifest: model.Manifest) -> dict[str, bytes]:
    return written(Record(manifest=manifest, manifest_bytes=encode(manifest)))


def test_the_gist_of_each_kind(sample_manifest: model.Manifest) -> None:
    entries = attachments({"manifest.json": b"{}", **made(sample_manifest)})
    assert [entry["kind"] for entry in entries] == list(KINDS)
    assert all(entry["finding"] is None for entry in entries)
    provenance, sbom, vex = (entry["gist"] for entry in entries)
    assert "codec-1.2.4-hp1" in provenance
    assert "2 subjects from 2 files" in provenance
    assert "1 patched component; resolves CVE-2025-0001" in sbom
    assert "fixed CVE-2025-0001" in vex


def test_long_lists_are_counted(sample_manifest: model.Manifest) -> None:
    many = dataclasses.replace(
        sample_manifest, advisories=tuple(f"CVE-{index}" for index in range(SHOWN + 3))
    )
    (vex,) = [entry for entry in attachments(made(many)) if entry["member"] == VEX]
    assert vex["gist"].endswith("CVE-4 and 3 more")


def test_broken_and_unknown_ones(sample_manifest: model.Manifest) -> None:
    entries = attachments({SBOM: b"{", "attachments/x": b"\x1b"})
    assert [(entry["kind"], entry["gist"]) for entry in entries] == [("sbom", None), (None, None)]
    assert entries[0]["finding"]["code"] == "HP4501"
    text = plain.render(attachment_blocks(entries, full=True))
    assert "HP4501 attachment is not well-formed" in text
    assert "of a kind that hpbuild does not know" in text


def test_a_strangers_text_is_escaped(sample_manifest: model.Manifest) -> None:
    data = made(sample_manifest)[VEX].replace(b"the signers", "\u00ad\ue000 evil".encode())
    entries = attachments({VEX: data})
    assert "evil" in plain.render(attachment_blocks(entries, full=True))
    assert "\u00ad" not in plain.render(attachment_blocks(entries, full=True))


def test_none() -> None:
    assert attachment_blocks(attachments({"manifest.json": b"{}"}), full=True) == []
