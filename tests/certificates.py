"""Certificates, revocation lists and a time-stamp authority for tests, all made by the ``openssl`` command.

    root = make_authority(tmp_path / "root", "Test Root")
    issuing = make_authority(tmp_path / "issuing", "Test Issuing CA", issuer=root)
    signer = make_leaf(tmp_path / "signer", issuing, "Release")          # code signing, ECDSA P-256
    lists = make_crl(issuing, [Revoked(signer, datetime(2026, 1, 1, tzinfo=UTC), "keyCompromise")])
    with start_timestamp_authority(tmp_path / "tsa") as authority:       # listens on 127.0.0.1
        request_timestamp(signature, [authority.url], timeout=10)        # checked against authority.root

Each entity has a folder of its own with ``certificate.pem``, ``key.pem`` (no passphrase, PKCS#8) and, for
authorities, the files that ``openssl ca`` keeps. Times are time zone aware; default validity 2015 to 2045.
Tests that use this need the tool: call the fixture ``require_tool("openssl")`` first.
"""

import base64
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FROM = datetime(2015, 1, 1, tzinfo=UTC)
TO = datetime(2045, 1, 1, tzinfo=UTC)
ALGORITHMS = {
    "ecdsa-p256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "ecdsa-p384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "ecdsa-secp256k1": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
    "ed25519": ("-algorithm", "ED25519"),
    "rsa-1024": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
    "rsa-2048": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "rsa-3072": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"),
}
CODE_SIGNING = "extendedKeyUsage=codeSigning"
TIME_STAMPING = "extendedKeyUsage=critical,timeStamping"
TIMESTAMP_REPLY = "application/timestamp-reply"
TIMESTAMP_QUERY = "application/timestamp-query"


@dataclass(frozen=True, slots=True)
class Entity:
    """A certificate with its key; ``issuer`` is None for a self-signed one."""

    folder: Path
    name: str
    issuer: "Entity | None" = None

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        """PKCS#8 in PEM, no passphrase."""
        return self.folder / "key.pem"

    @property
    def pem(self) -> bytes:
        return self.certificate.read_bytes()

    @property
    def der(self) -> bytes:
        return pem_to_der(self.pem)

    @property
    def chain(self) -> "tuple[Entity, ...]":
        """This one and its issuers, without the root."""
        return (self, *self.issuer.chain) if self.issuer is not None else ()


@dataclass(frozen=True, slots=True)
class Revoked:
    """An entry of a list. ``reason`` as openssl spells it: unspecified, keyCompromise, CACompromise,
    superseded, cessationOfOperation, affiliationChanged; ``invalid_since`` adds the date of compromise."""

    entity: Entity
    time: datetime
    reason: str = "unspecified"
    invalid_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class TimestampAuthority:
    """A running authority: where it listens, and the root that a policy would name."""

    url: str
    root: Entity
    signer: Entity
    requests: list[bytes]


def openssl(*arguments: object, stdin: bytes = b"") -> bytes:
    """Run openssl; its stdout. Fails the test with its stderr."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"openssl {arguments}: {done.stderr.decode()}"
    return done.stdout


def pem_to_der(pem: bytes) -> bytes:
    """The bytes of the first PEM block."""
    return base64.b64decode(b"".join(pem.split(b"-----")[2].split()))


def make_key(path: Path, algorithm: str = "ecdsa-p256") -> Path:
    """A private key in PKCS#8 form."""
    openssl("genpkey", *ALGORITHMS[algorithm], "-out", path)
    return path


def make_authority(
    folder: Path,
    name: str = "Test Root",
    *,
    issuer: Entity | None = None,
    algorithm: str = "ecdsa-p256",
    key: Path | None = None,
    valid: tuple[datetime, datetime] = (FROM, TO),
    basic: str = "critical,CA:TRUE",
    key_usage: str = "critical,keyCertSign,cRLSign",
    extra: Sequence[str] = (),
    digest: str = "sha256",
    pss: bool = False,
) -> Entity:
    """An authority, self-signed without an ``issuer``. ``basic`` may end in ``,pathlen:0``; empty ``basic``
    or ``key_usage`` leaves the extension out; ``extra`` are lines of a section of openssl's configuration."""
    lines = [f"basicConstraints={basic}"] * bool(basic) + [f"keyUsage={key_usage}"] * bool(key_usage)
    return _issue(
        folder, name, issuer, algorithm, key, valid, [*lines, *extra], digest, pss, subject=f"/CN={name}"
    )


def make_leaf(
    folder: Path,
    issuer: Entity | None,
    name: str = "Release",
    *,
    algorithm: str = "ecdsa-p256",
    key: Path | None = None,
    valid: tuple[datetime, datetime] = (FROM, TO),
    usage: str = CODE_SIGNING,
    key_usage: str = "critical,digitalSignature",
    extra: Sequence[str] = (),
    digest: str = "sha256",
    pss: bool = False,
    subject: str = "",
) -> Entity:
    """A signer's certificate (self-signed without an ``issuer``). ``usage`` is a line, '' leaves it out;
    ``subject`` in openssl's form (/O=Example/CN=Release), by default only the common name ``name``."""
    lines = ["basicConstraints=critical,CA:FALSE", *([usage] if usage else [])]
    lines += [f"keyUsage={key_usage}"] * bool(key_usage)
    subject = subject or f"/CN={name}"
    return _issue(folder, name, issuer, algorithm, key, valid, [*lines, *extra], digest, pss, subject=subject)


def make_crl(
    issuer: Entity,
    revoked: Sequence[Revoked] = (),
    *,
    valid: tuple[datetime, datetime] = (FROM, TO),
    signed_by: Entity | None = None,
    digest: str = "sha256",
) -> bytes:
    """A complete list of ``issuer`` in PEM; ``signed_by`` another key makes one not to believe."""
    (issuer.folder / "index.txt").write_text("".join(_index_line(item) for item in revoked))
    (issuer.folder / "crlnumber").write_text("01\n")
    pair = ("-keyfile", (signed_by or issuer).key, "-cert", issuer.certificate)
    if signed_by is not None:  # openssl wants a pair; a certificate with the issuer's name and the other key
        twin = make_authority(issuer.folder / "twin", issuer.name, key=signed_by.key)
        pair = ("-keyfile", twin.key, "-cert", twin.certificate)
    return openssl(
        "ca", "-gencrl", "-config", _config(issuer.folder, []), *pair, "-md", _digest(pair[1], digest),
        "-crl_lastupdate", _date(valid[0]), "-crl_nextupdate", _date(valid[1]),
    )  # fmt: skip


@contextmanager
def start_timestamp_authority(
    folder: Path,
    *,
    root: Entity | None = None,
    signer: Entity | None = None,
    digest: str = "sha256",
    status: int = 200,
    content_type: str = TIMESTAMP_REPLY,
    chain: bool = True,
) -> Iterator[TimestampAuthority]:
    """An RFC 3161 authority (section 3.4, HTTP) on 127.0.0.1: each request goes to ``openssl ts -reply``."""
    root = root or make_authority(folder / "root", "Test Time Root")
    signer = signer or make_leaf(
        folder / "signer", root, "Test Time", usage=TIME_STAMPING, algorithm="rsa-2048"
    )
    requests: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(query)
            reply = make_timestamp_reply(folder, signer, query, digest=digest, chain=chain)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    with serve(Handler) as url:
        yield TimestampAuthority(url, root, signer, requests)


@contextmanager
def serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """An HTTP server on a free port of 127.0.0.1; its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_timestamp_reply(
    folder: Path,
    signer: Entity,
    query: bytes,
    *,
    digest: str = "sha256",
    chain: bool = True,
    settings: Sequence[str] = (),
) -> bytes:
    """The TimeStampResp of ``openssl ts -reply`` to the TimeStampReq ``query``. ``settings`` are lines of its
    configuration, such as ``tsa_name=yes``."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "serial").exists():
        (folder / "serial").write_text("01\n")
    config = folder / "ts.cnf"
    config.write_text(
        "[tsa]\ndefault_tsa=t\n[t]\n"
        f"serial={folder / 'serial'}\ncrypto_device=builtin\nsigner_digest={digest}\n"
        "default_policy=1.2.3.4.1\ndigests=sha1,sha256,sha384,sha512\naccuracy=secs:1\n"
        "ordering=no\ntsa_name=no\ness_cert_id_chain=no\ness_cert_id_alg=sha256\n"
        + "\n".join(settings)
        + "\n"
    )
    query_path = folder / f"query-{threading.get_ident()}.tsq"
    query_path.write_bytes(query)
    others = folder / "chain.pem"
    others.write_bytes(b"".join(item.pem for item in signer.chain[1:]))
    more = ("-chain", others) if chain and len(signer.chain) > 1 else ()
    return openssl(
        "ts", "-reply", "-config", config, "-queryfile", query_path,
        "-signer", signer.certificate, "-inkey", signer.key, *more,
    )  # fmt: skip


def make_timestamp(
    folder: Path,
    signer: Entity,
    message: bytes,
    *,
    digest: str = "sha256",
    imprint: str = "sha256",
    settings: Sequence[str] = (),
) -> bytes:
    """A TimeStampResp over ``message`` (for a DSSE signature: its bytes) of now, without a server."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    data.write_bytes(message)
    query = openssl("ts", "-query", "-data", data, f"-{imprint}", "-cert")
    return make_timestamp_reply(folder, signer, query, digest=digest, settings=settings)


def _issue(
    folder: Path,
    name: str,
    issuer: Entity | None,
    algorithm: str,
    key: Path | None,
    valid: tuple[datetime, datetime],
    lines: Sequence[str],
    digest: str,
    pss: bool,
    *,
    subject: str,
) -> Entity:
    folder.mkdir(parents=True, exist_ok=True)
    entity = Entity(folder, name, issuer)
    if key is None:
        make_key(entity.key, algorithm)
    elif key != entity.key:
        entity.key.write_bytes(key.read_bytes())
    request = folder / "request.pem"
    openssl(
        "req", "-new", "-key", entity.key, "-subj", subject, "-config", _config(folder, []), "-out", request
    )
    keys = ["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]
    config = _config((issuer or entity).folder, [*lines, *keys])
    signer = (issuer or entity).key
    pair = ("-keyfile", signer, *(("-selfsign",) if issuer is None else ("-cert", issuer.certificate)))
    (config.parent / "index.txt").write_text("")
    options = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest") if pss else ()
    openssl(
        "ca", "-batch", "-notext", "-preserveDN", "-config", config, *pair, "-md", _digest(signer, digest),
        *options, "-in", request, "-out", entity.certificate, "-extensions", "ext",
        "-startdate", _date(valid[0]), "-enddate", _date(valid[1]),
    )  # fmt: skip
    return entity


def _config(folder: Path, lines: Sequence[str]) -> Path:
    path = folder / "openssl.cnf"
    for name in ("index.txt", "index.txt.attr"):
        (folder / name).touch()
    names = "countryName=optional\norganizationName=optional\norganizationalUnitName=optional\n"
    path.write_text(
        "[ca]\ndefault_ca=a\n[a]\n"
        f"database={folder / 'index.txt'}\nnew_certs_dir={folder}\ncrlnumber={folder / 'crlnumber'}\n"
        "rand_serial=yes\npolicy=p\ndefault_md=sha256\nunique_subject=no\nemail_in_dn=yes\ncrl_extensions=crl\n"
        f"[p]\n{names}commonName=optional\nemailAddress=optional\n"
        "[crl]\nauthorityKeyIdentifier=keyid\n[req]\ndistinguished_name=dn\n[dn]\n[ext]\n"
        + "\n".join(lines)
        + "\n"
    )
    return path


def _index_line(item: Revoked) -> str:
    """A line of the database of ``openssl ca``."""
    text = openssl("x509", "-in", item.entity.certificate, "-noout", "-serial", "-enddate").decode()
    serial = text.split("serial=")[1].split()[0]
    reason = "" if item.reason == "unspecified" else f",{item.reason}"
    if item.invalid_since is not None:
        word = {"keyCompromise": "keyTime", "CACompromise": "CAkeyTime"}[item.reason]
        reason = f",{word},{item.invalid_since:%Y%m%d%H%M%SZ}"
    return f"R\t450101000000Z\t{item.time:%y%m%d%H%M%SZ}{reason}\t{serial}\tunknown\t/CN={item.entity.name}\n"


def _digest(key: Path, digest: str) -> str:
    """Ed25519 has no digest to choose."""
    text = openssl("pkey", "-in", key, "-noout", "-text")
    return "null" if b"ED25519" in text else digest


def _date(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y%m%d%H%M%SZ}"
