"""The sample release as a record, and changes to one place of a document."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.attachments.record import Record
from hpbuild.manifest import model
from hpbuild.manifest.codec import encode
from hpbuild.manifest.strict_json import canonical

Change = Callable[[Any], object]


@pytest.fixture
def record(sample_manifest: model.Manifest) -> Record:
    return Record(
        manifest=sample_manifest,
        manifest_bytes=encode(sample_manifest),
        symbols={"bin/Codec.dll": "pdb"},
        supersedes=("codec-1.2.4-hp0",),
        expiry="2030-01-01T00:00:00Z",
    )


@pytest.fixture(scope="session")
def changed() -> Callable[[bytes, Change], bytes]:
    """A canonical document after ``change`` was applied to its value."""

    def change(data: bytes, change: Change) -> bytes:
        document = json.loads(data)
        change(document)
        return canonical(document, "changed")

    return change
