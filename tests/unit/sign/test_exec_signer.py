"""Real programs that sign."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpbuild.codes import bundle as file_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.algorithms import Algorithm, spki_sha256, verify
from hpbuild.sign.dsse import sign_envelope, verify_envelope
from hpbuild.sign.exec_signer import MAX_ANSWER, ExecSigner, exec_signer
from hpbuild.sign.keys import generate, read_public, write_key_pair
from hpbuild.sign.signer import signer_from_uri

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the programs of these tests start with #!")

Program = Callable[[str], Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def write(text: str) -> Path:
        path = tmp_path / "sign it"
        path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{text}\n")
        path.chmod(0o700)
        return path

    return write


@pytest.fixture(params=list(Algorithm))
def key(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_key_pair(tmp_path / "k", generate(request.param, None))[1]


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return write_key_pair(tmp_path / "k", generate(Algorithm.ED25519, None))[1]


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


def honest(root: Path, key: Path) -> str:
    return (
        f"sys.path.insert(0, {str(root)!r})\n"
        "from pathlib import Path\n"
        "from hpbuild.sign.algorithms import algorithm_of, sign\n"
        "from hpbuild.sign.keys import read_private\n"
        f"private = read_private(Path({str(key.with_suffix('.key'))!r}), None)\n"
        "assert os.environ['HPBUILD_ALGORITHM'] == algorithm_of(private)\n"
        "sys.stdout.buffer.write(sign(private, sys.stdin.buffer.read()))\n"
    )


def test_program_signs(root: Path, program: Program, key: Path) -> None:
    signer = signer_from_uri(f"exec:{program(honest(root, key))}?key={key}", lambda place: None)
    for message in (b"", b"message\n", bytes(1_000_000)):
        assert verify(signer.public, message, signer.sign(message))
    assert verify_envelope(sign_envelope(b"s", [signer]), [read_public(key)]).votes


def test_relative_path_is_not_searched_for(
    root: Path, program: Program, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(honest(root, public))
    path.rename(path.with_name("true"))
    monkeypatch.chdir(path.parent)
    signer = exec_signer("exec:true?key=k.pub")
    assert signer.program == path.with_name("true")
    assert verify(signer.public, b"m", signer.sign(b"m"))


def test_environment_says_how_and_holds_no_passphrase(
    program: Program, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPBUILD_PASSPHRASE", "secret")
    names = ("HPBUILD_ALGORITHM", "HPBUILD_KEY", "HPBUILD_PASSPHRASE")
    path = program(f"print(*map(os.environ.get, {names}))")
    signer = exec_signer(f"exec:{path}?key={public}")
    assert signer.sign(b"m").decode() == f"ed25519 {spki_sha256(read_public(public))} None\n"


@pytest.mark.parametrize(
    "text",
    [
        "sys.exit(3)",
        "sys.stdin.buffer.read()",
        "sys.stdout.write('x' * 64); sys.stdout.flush(); os.abort()",
        "sys.stdout.write('x' * 64); sys.exit(1)",
        f"sys.stdout.write('x' * {MAX_ANSWER + 1})",
        "while True: sys.stdout.write('x' * 4096)",
    ],
)
def test_program_that_fails_or_babbles_is_unavailable(program: Program, public: Path, text: str) -> None:
    signer = exec_signer(f"exec:{program(text)}?key={public}")
    assert refusal(lambda: signer.sign(bytes(1_000_000))) is codes.SIGNER_UNAVAILABLE


@pytest.mark.parametrize(
    "text",
    [
        "time.sleep(600)",
        "os.close(1); time.sleep(600)",
        "sys.stdout.write('x' * 64); sys.stdout.flush(); time.sleep(600)",
        "os.fork() or time.sleep(20)",
    ],
)
def test_program_that_does_not_answer_is_ended(program: Program, public: Path, text: str) -> None:
    signer = ExecSigner(program(text), read_public(public), timeout=0.5)
    assert refusal(lambda: signer.sign(b"m")) is codes.SIGNER_UNAVAILABLE


def test_wrong_answer_is_not_used(program: Program, public: Path) -> None:
    path = program("sys.stdout.write('x' * 64)")
    signer = exec_signer(f"exec:{path}?key={public}")
    assert signer.sign(b"m") == b"x" * 64
    assert refusal(lambda: sign_envelope(b"s", [signer])) is codes.WRONG_SIGNATURE


def test_signature_in_base64_is_not_used(root: Path, program: Program, public: Path) -> None:
    text = honest(root, public).replace("buffer.write(sign(", "write(encoded(")
    text = f"import base64\ndef encoded(*a): return base64.b64encode(sign(*a)).decode()\n{text}"
    signer = exec_signer(f"exec:{program(text)}?key={public}")
    assert len(signer.sign(b"m")) == 88
    assert refusal(lambda: sign_envelope(b"s", [signer])) is codes.WRONG_SIGNATURE


def test_file_that_is_no_program_is_unavailable(tmp_path: Path, public: Path) -> None:
    (tmp_path / "data").write_bytes(b"data")
    for path in (tmp_path / "data", tmp_path):
        signer = exec_signer(f"exec:{path}?key={public}")
        assert refusal(lambda signer=signer: signer.sign(b"m")) is codes.SIGNER_UNAVAILABLE


def test_missing_files_fail(program: Program, public: Path, tmp_path: Path) -> None:
    path = program("")
    assert refusal(lambda: exec_signer(f"exec:{tmp_path / 'none'}?key={public}")) is file_codes.NO_SUCH_FILE
    assert refusal(lambda: exec_signer(f"exec:{path}?key={tmp_path / 'none'}")) is file_codes.NO_SUCH_FILE
    assert refusal(lambda: exec_signer(f"exec:{path}?key={public.with_suffix('.key')}")) is (
        codes.PRIVATE_KEY_GIVEN
    )


@pytest.mark.parametrize(
    "uri", ["exec:sign", "exec:?key=k.pub", "exec:sign?key=", "exec:sign?k=k.pub", "exec:\0?key=k"]
)
def test_malformed_uri_fails(uri: str) -> None:
    assert refusal(lambda: exec_signer(uri)) is codes.BAD_URI
