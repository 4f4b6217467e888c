"""Signers that are programs: a company's signing service, a key management system, a person with a token.

The program reads the bytes to sign on stdin, the very bytes that the signature is over (the DSSE
pre-authentication encoding, not a digest), until the end of the file, and writes the bare signature to
stdout: for ECDSA in DER, no base64, no newline. Its environment says how: HPBUILD_ALGORITHM is the name of
the algorithm (``hpbuild.sign.algorithms.Algorithm``) and HPBUILD_KEY the SHA-256 of the public key.
HPBUILD_PASSPHRASE is not passed on. Its stderr is the terminal's. It is run as it is, without a shell and
without arguments.
"""

import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO

from hpbuild.bundle.output import file_error
from hpbuild.codes import sign as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import PublicKey, algorithm_of, spki_sha256
from hpbuild.sign.keys import read_public

MAX_ANSWER = 16 << 10
"""Bytes; the longest signature, of ML-DSA-87, has 4,627."""
TIMEOUT = 300.0
"""Seconds; enough for a person who has to find and touch a token."""
SEPARATOR = "?key="


@dataclass(frozen=True, slots=True)
class ExecSigner:
    """Signs by running ``program``; ``public`` is the key that its answer must verify with."""

    program: Path
    public: PublicKey
    timeout: float = TIMEOUT

    def sign(self, message: bytes) -> bytes:
        """What the program wrote to stdout. HpbuildError HP5103 when it cannot be run, fails, takes longer
        than ``timeout`` seconds or writes more than a signature can have."""
        with tempfile.TemporaryFile() as question:
            question.write(message)
            question.seek(0)
            return self._answer(question)

    def _answer(self, question: IO[bytes]) -> bytes:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user names the program
                [str(self.program)], stdin=question, stdout=subprocess.PIPE, env=self._environment()
            )
        except (OSError, ValueError) as error:
            cause = f"it cannot be run: {getattr(error, 'strerror', None) or type(error).__name__}"
            raise HpbuildError(codes.SIGNER_UNAVAILABLE, str(self.program), cause) from None
        answer: list[bytes] = []
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, answer), daemon=True)
        reader.start()
        try:
            reader.join(self.timeout)
            # A program that closed its stdout has a moment to end; one that wrote too much has none.
            late = reader.is_alive() or sum(map(len, answer)) > MAX_ANSWER
            status = None if late else process.wait(min(self.timeout, 10.0))
        except subprocess.TimeoutExpired:
            status = None
        finally:
            process.kill()
            process.wait()
            # A child of the program may still hold the other end; then the reader keeps this one.
            reader.join(1.0)
        raw = b"".join(answer)
        if status is None:
            cause = (
                f"more than {MAX_ANSWER} bytes"
                if len(raw) > MAX_ANSWER
                else f"no answer in {self.timeout:g} s"
            )
            raise HpbuildError(codes.SIGNER_UNAVAILABLE, str(self.program), cause)
        if status or not raw:
            cause = f"it ended with status {status} and {len(raw)} bytes"
            raise HpbuildError(codes.SIGNER_UNAVAILABLE, str(self.program), cause)
        return raw

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "HPBUILD_PASSPHRASE"}
        names = {"HPBUILD_ALGORITHM": str(algorithm_of(self.public)), "HPBUILD_KEY": spki_sha256(self.public)}
        return {**kept, **names}


def exec_signer(uri: str) -> ExecSigner:
    """The signer that ``exec:PROGRAM?key=PUBLIC`` names, both paths as the shell knows them; what follows the
    last ``?key=`` is the PEM file of the public key.

    Raises HP5101 (malformed), HP48xx and HP500x (a file that is not there, no public key).
    """
    program, separator, key = uri.removeprefix("exec:").rpartition(SEPARATOR)
    if not separator or not program or not key or "\0" in program:
        raise HpbuildError(codes.BAD_URI, uri[:200], "a program is named like exec:PROGRAM?key=PUBLIC.pem")
    path = Path(program)
    try:
        path = path.resolve(strict=True)  # an absolute path is never searched for
    except OSError as error:
        raise file_error(error, path) from None
    return ExecSigner(path, read_public(Path(key)))


def _read(stream: IO[bytes], answer: list[bytes]) -> None:
    """Collect what the program writes, up to one byte more than is allowed, and close the stream."""
    left = MAX_ANSWER + 1
    with stream:
        while left and (piece := stream.read1(left)):  # type: ignore[attr-defined]
            answer.append(piece)
            left -= len(piece)
