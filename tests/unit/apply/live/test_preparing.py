"""Which checks of loaded modules stand in the way of a command."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.apply.live.preparing import AGENTS_OWN, unpassed
from hpbuild.bundle.reader import read_bundle
from hpbuild.codes.verify import CHECK_NOT_RUN, WINDOW_FOREIGN
from hpbuild.manifest.codec import decode
from hpbuild.pe.reader import read_image
from hpbuild.pipeline import BuildRequest, assemble, build
from hpbuild.verify import Policy, Verification, VerifyRequest, verify
from hpbuild.verify.checks import FILE_FOUND, MODULE_CHECKS, OPTIONAL, PUBLISHER, STATE, not_run
from hpbuild.verify.states import ModuleState
from tests.memories import Parts, dump_of, loaded, module

BASE = 0x190000000
ASKED = frozenset({PUBLISHER})


@pytest.fixture(scope="module")
def bundle(binaries: Path) -> bytes:
    baseline, fixed = (binaries / side / "codec.dll" for side in ("baseline", "fixed"))
    request = BuildRequest(
        baseline=baseline, fixed=fixed, id="KB-1", sequence=3, product="codec", advisories=(), created="",
        symbols="auto",
    )  # fmt: skip
    return assemble(build(request, lambda *_: None))


@pytest.fixture
def there(binaries: Path) -> tuple:
    """codec.dll as a process has it."""
    return (module(read_image(binaries / "baseline" / "codec.dll"), BASE),)


def verified(bundle: bytes, binaries: Path, folder: Path, *, hook: bool = False) -> Verification:
    """The verifier's word on the baseline in memory; ``hook``: another tool has written into an entry."""
    image = read_image(binaries / "baseline" / "codec.dll")
    memory, path = Parts(), folder / "process.dmp"
    memory.put(BASE, bytes(loaded(image, BASE)))
    if hook:
        entry = decode(read_bundle(bundle).manifest).modules[0].redirections[0].entry
        memory.put(BASE + entry, b"\xe9\x10\0\0\0")
    path.write_bytes(dump_of((module(image, BASE),), memory))
    policy = Policy(allow_unsigned=True)
    return verify(VerifyRequest(bundle=bundle, name="p.hpb", policy=policy, dump=path))


def test_everything_that_is_asked_for_passed(
    bundle: bytes, binaries: Path, there: tuple, tmp_path: Path
) -> None:
    found = verified(bundle, binaries, tmp_path)
    assert unpassed(found, there, frozenset()) == ()


def test_what_is_asked_for_and_was_not_made(
    bundle: bytes, binaries: Path, there: tuple, tmp_path: Path
) -> None:
    """Every check alone, not made or without a result; the state stays that of a success."""
    found = verified(bundle, binaries, tmp_path)
    assert found.modules[0].state is ModuleState.APPLICABLE
    for check in MODULE_CHECKS:
        kept = tuple(item for item in found.checks if item.check is not check)
        unmade = not_run(check, "no time", "codec.dll")
        for checks in (kept, (*kept, unmade)):
            (finding,) = unpassed(
                replace(found, checks=checks), there, ASKED, frozenset({PUBLISHER} - {check})
            )
            assert (finding.code, finding.place) == (CHECK_NOT_RUN, "codec.dll")
            assert check.number in finding.cause
        if check in OPTIONAL:
            assert unpassed(replace(found, checks=kept), there, frozenset()) == ()
        assert unpassed(replace(found, checks=kept), (None,), ASKED) == (), "it is not loaded"


def test_the_agent_has_its_own_checks_and_no_others(
    bundle: bytes, binaries: Path, there: tuple, tmp_path: Path
) -> None:
    found = verified(bundle, binaries, tmp_path, hook=True)
    assert found.modules[0].state is ModuleState.CONFLICT
    assert WINDOW_FOREIGN in [item.code for item in unpassed(found, there, frozenset())]
    assert unpassed(found, there, frozenset(), AGENTS_OWN) == ()
    (finding,) = unpassed(found, there, ASKED, AGENTS_OWN)
    assert (finding.code, PUBLISHER.number in finding.cause) == (CHECK_NOT_RUN, True)
    assert STATE in AGENTS_OWN
    assert not AGENTS_OWN & {FILE_FOUND, *OPTIONAL}
