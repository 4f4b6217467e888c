"""Another process that reads both images while this one compares and plans: nothing depends on it."""

import sys
from pathlib import Path

import pytest

from hpbuild.assembly import meanwhile
from hpbuild.assembly.loading import Pair, load_pair
from hpbuild.assembly.meanwhile import Meanwhile
from hpbuild.assembly.modules import pins
from hpbuild.assembly.work import Work
from hpbuild.bundle.reader import read_bundle
from hpbuild.codes import pe_identity as pe_codes
from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError
from hpbuild.patchimage.native import BaseImage
from hpbuild.pe.image import Image
from hpbuild.pipeline import BuildRequest, BuildResult, assemble, build, prove_bundle
from tests.children import children, kill

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image is too small for a process of its own."""
    monkeypatch.setattr(meanwhile, "PARALLEL_SIZE", 1)


@pytest.fixture(scope="module")
def pair(binaries: Path) -> Pair:
    sides = (binaries / side / "codec.dll" for side in ("baseline", "fixed"))
    return load_pair(*sides, "auto", lambda *_: None)


def _built(binaries: Path, jobs: int | None) -> BuildResult:
    request = BuildRequest(
        baseline=binaries / "baseline" / "codec.dll",
        fixed=binaries / "fixed" / "codec.dll",
        id="P",
        sequence=1,
        product="",
        advisories=(),
        created="2026-01-01T00:00:00Z",
    )
    return build(request, lambda *_: None, Work(jobs=jobs))


@pytest.mark.usefixtures("small")
def test_a_package_is_the_same_with_it_and_without(binaries: Path) -> None:
    alone, together = _built(binaries, 1), _built(binaries, None)
    assert together == alone
    assert together.proofs[0].ok
    assert together.proofs[0].summary.instructions > 0
    assert not children()


@pytest.mark.usefixtures("small")
def test_a_proof_is_the_same_with_it_and_without(binaries: Path) -> None:
    sides = binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll"
    bundle = read_bundle(assemble(_built(binaries, None)))
    alone, together = (
        prove_bundle(bundle, *sides, "auto", lambda *_: None, Work(jobs=jobs)) for jobs in (1, None)
    )
    assert together == alone
    assert together[0].ok


@pytest.mark.usefixtures("small")
def test_what_it_says_of_the_images(pair: Pair) -> None:
    image = pair.baseline.image
    with Meanwhile(processes=2, pin=True) as other:
        other.begin(pair)
        assert other.begun
        assert other.base_image() == BaseImage.of(image.data, image.time_date_stamp, image.checksum)
        assert other.pins() == pins(image, pair.fixed.image)
    assert not children()


def test_not_for_small_images_and_not_in_one_process(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with Meanwhile(processes=2, pin=True) as other:
        other.begin(pair)
        assert not other.begun
    monkeypatch.setattr(meanwhile, "PARALLEL_SIZE", 1)
    with Meanwhile(processes=1, pin=True) as other:
        other.begin(pair)
        assert not other.begun


@pytest.mark.usefixtures("small")
def test_fail_images_that_it_refuses(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Image) -> None:
        raise HpbuildError(pe_codes.AUTHENTICODE_DISAGREEMENT, "codec.dll", "for a test")

    monkeypatch.setattr(meanwhile, "pins", refuse)
    with Meanwhile(processes=2, pin=True) as other:
        other.begin(pair)
        other.base_image()
        with pytest.raises(HpbuildError) as caught:
            other.pins()
    assert caught.value.finding.code == pe_codes.AUTHENTICODE_DISAGREEMENT


@pytest.mark.usefixtures("small")
def test_fail_a_process_that_dies(pair: Pair) -> None:
    def killed() -> None:
        with Meanwhile(processes=2, pin=True) as other:
            other.begin(pair)
            for child in children():
                kill(child)
            other.base_image()
            other.pins()

    with pytest.raises(HpbuildError) as caught:
        killed()
    assert caught.value.finding.code == codes.WORKER_LOST
    assert not children()


@pytest.mark.usefixtures("small")
def test_an_error_here_ends_it(pair: Pair) -> None:
    def interrupted() -> None:
        with Meanwhile(processes=2, pin=False) as other:
            other.begin(pair)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not children()
