"""All attachments of a package."""

import dataclasses

import pytest

from hpbuild.attachments.record import PROVENANCE, SBOM, VEX, Record
from hpbuild.attachments.writer import attachments
from hpbuild.codes import attachments as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.codec import encode
from hpbuild.manifest.strict_json import parse_canonical


class TestAttachments:
    def test_are_canonical_and_the_same_every_time(self, record: Record) -> None:
        made = attachments(record)
        assert list(made) == [PROVENANCE, SBOM, VEX]
        assert made == attachments(record)
        for name, data in made.items():
            parse_canonical(data, name)

    def test_without_advisories_there_is_no_vex(self, record: Record) -> None:
        manifest = dataclasses.replace(record.manifest, advisories=())
        made = attachments(dataclasses.replace(record, manifest=manifest, manifest_bytes=encode(manifest)))
        assert list(made) == [PROVENANCE, SBOM]

    def test_fail_too_much_to_list(self, record: Record) -> None:
        manifest = dataclasses.replace(
            record.manifest, advisories=tuple(f"CVE-{index}" for index in range(200_001))
        )
        with pytest.raises(HpbuildError) as caught:
            attachments(dataclasses.replace(record, manifest=manifest))
        assert caught.value.code is codes.LIMIT

    def test_fail_bytes_of_another_manifest(self, record: Record) -> None:
        """What the verifier would refuse is not written."""
        for field, value in (("id", "other"), ("sequence", 4)):
            manifest = dataclasses.replace(record.manifest, **{field: value})
            attachments(dataclasses.replace(record, manifest=manifest))
        long = dataclasses.replace(record, symbols={"bin/Codec.dll": "x" * 70_000})
        with pytest.raises(HpbuildError) as caught:
            attachments(long)
        assert caught.value.code is codes.LIMIT
