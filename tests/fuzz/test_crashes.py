"""The harnesses hold what they promise on every seed, on inputs that once broke a reader, and on mutations of
the seeds; all without a fuzzer."""

import random
from pathlib import Path

import pytest

from hpbuild.attachments.reading import read_attachment
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.statement import decode_statement
from hpbuild.errors import HpbuildError
from hpbuild.pe.hotpatch_table import read_hotpatch_table
from hpbuild.pe.pdb.msf import open_msf
from hpbuild.pe.pdb.streams import read_dbi
from hpbuild.pe.pdb.type_records import read_types
from hpbuild.pe.reader import parse_image
from hpbuild.sign.certificates import load_certificate
from hpbuild.sign.dsse import decode_envelope
from hpbuild.sign.revocation import load_list
from hpbuild.sign.timestamps import check_timestamp
from hpbuild.verify.authenticode import read_signature
from hpbuild.verify.policy_file import parse_policy
from tests.fuzz import carriers, mutators
from tests.fuzz.image_readers import IMAGE_READERS
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, guarded
from tests.fuzz.trust import SIGNED

CRASHES = Path(__file__).parent / "crashes"
_MUTATIONS = 40


def _recorded() -> list[Path]:
    return sorted(path for path in CRASHES.glob("*/*") if path.is_file())


def _shuffle(data: bytes, largest: int) -> bytes:
    """Stands in for the fuzzer's own mutation of bytes."""
    draw = random.Random(len(data))
    at = draw.randrange(len(data) + 1)
    return (data[:at] + draw.randbytes(1) + data[at + draw.randrange(2) :])[:largest]


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    made = seeds(target)
    assert made == seeds(target)
    for name, data in made.items():
        assert len(data) <= TARGETS[target].largest, name
        guarded(TARGETS[target].run, data)


@pytest.mark.parametrize("crash", _recorded(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_broke_a_reader(crash: Path) -> None:
    guarded(TARGETS[crash.parent.name].run, crash.read_bytes())


def test_crashes_belong_to_targets() -> None:
    assert {path.parent.name for path in _recorded()} <= TARGETS.keys()


@pytest.mark.parametrize("target", TARGETS)
def test_mutations(target: str) -> None:
    mutate = mutators.MUTATORS[target]
    changed = 0
    for name, data in seeds(target).items():
        for seed in range(_MUTATIONS // len(seeds(target)) + 1):
            mutant = mutate(data, TARGETS[target].largest, seed, _shuffle)
            assert mutant == mutate(data, TARGETS[target].largest, seed, _shuffle), name
            assert len(mutant) <= TARGETS[target].largest
            changed += mutant != data
            guarded(TARGETS[target].run, mutant)
    assert changed > _MUTATIONS // 2


def test_the_full_image_is_read_by_every_reader() -> None:
    """Otherwise what the fuzzer starts from would be a refusal."""
    made = seeds("pe")
    image = parse_image(made["hand-made/full"], "full.dll")
    for reader in IMAGE_READERS:
        reader(image)
    table = read_hotpatch_table(parse_image(made["hand-made/native"], "native.dll"))
    assert table is not None
    assert len(table.bases[0].chunks) == 8


def test_seeds_are_accepted() -> None:
    """What a fuzzer starts from has to lead it past the first check."""
    for data in seeds("policy").values():
        parse_policy(data, "policy.toml")
    for name, data in seeds("attachments").items():
        read_attachment(name, data)
    trust = seeds("trust")
    authority = load_certificate(trust["root"], "root")
    assert check_timestamp(trust["token"], SIGNED, (authority,)).authority == "CN=tsa,O=Example"
    assert len(load_list(trust["crl"], "list").raw) == 1
    assert len(read_signature(trust["pkcs7"], "file").digest) == 32
    for data in seeds("pdb").values():
        msf = open_msf(data, "seed.pdb")
        assert read_dbi(msf).modules
        assert read_types(msf) is not None


@pytest.mark.parametrize("target", ["zip", "envelope", "documents"])
def test_mutations_get_past_checksums_and_canonical_forms(target: str) -> None:
    """At least one mutation in ten is refused for what it says, not for how it is written."""
    form = {"HP4001", "HP4003", "HP4203", "HP4204", "HP4205", "HP4206", "HP4202", "HP4201"}
    deep = 0
    data = seeds(target)["statement" if target == "documents" else "signed"]
    for seed in range(100):
        mutant = mutators.MUTATORS[target](data, TARGETS[target].largest, seed, _shuffle)
        deep += _refusal(target, mutant) not in form
    assert deep >= 10


def _refusal(target: str, data: bytes) -> str:
    readers = {"zip": read_bundle, "envelope": decode_envelope, "documents": decode_statement}
    try:
        readers[target](data)
    except HpbuildError as error:
        return error.code.id
    return ""


def test_a_harness_sees_a_forged_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = seeds("envelope")["signed"]
    monkeypatch.setattr(carriers, "statement", lambda: b"another")
    with pytest.raises(AssertionError, match="forged"):
        guarded(TARGETS["envelope"].run, signed)


def test_a_harness_sees_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.targets.parse_image", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        guarded(TARGETS["pe"].run, b"MZ")
