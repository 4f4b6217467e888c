"""Asking a real authority (``openssl ts`` behind a small HTTP server), and servers that answer wrongly."""

import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from hpbuild.codes import certificates as codes
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.sign import asn1
from hpbuild.sign.certificates import load_certificate
from hpbuild.sign.extension import MAX_TIMESTAMP
from hpbuild.sign.timestamp_client import request_timestamp
from hpbuild.sign.timestamps import check_timestamp
from tests.certificates import (
    TIME_STAMPING,
    TIMESTAMP_REPLY,
    Entity,
    TimestampAuthority,
    make_authority,
    make_leaf,
    make_timestamp,
    openssl,
    serve,
    start_timestamp_authority,
)

SIGNATURE = b"bytes of a signature"
NOBODY = "http://127.0.0.1:1/"
TIMEOUT = 300.0


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Path:
    require_tool("openssl")
    return tmp_path_factory.mktemp("client")


@pytest.fixture
def authority(tmp_path: Path, entities: tuple[Entity, Entity]) -> Iterator[TimestampAuthority]:
    with start_timestamp_authority(tmp_path, root=entities[0], signer=entities[1]) as running:
        yield running


@pytest.fixture(scope="module")
def entities(folder: Path) -> tuple[Entity, Entity]:
    root = make_authority(folder / "root", "Time Root")
    return root, make_leaf(folder / "signer", root, "Time", usage=TIME_STAMPING)


def answering(
    body: bytes, status: int = 200, kind: str = TIMESTAMP_REPLY, location: str = ""
) -> type[BaseHTTPRequestHandler]:
    """A server that says the same to everybody."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def failure(*urls: str, timeout: float = TIMEOUT) -> str:
    with pytest.raises(HpbuildError) as caught:
        request_timestamp(SIGNATURE, urls, timeout)
    assert caught.value.code is codes.NO_TIMESTAMP_ANSWER
    assert caught.value.code.exit is ExitStatus.UNAVAILABLE
    return caught.value.finding.cause


def test_a_time_stamp(authority: TimestampAuthority, tmp_path: Path) -> None:
    token = request_timestamp(SIGNATURE, [authority.url], TIMEOUT)
    root = load_certificate(authority.root.der, "root")
    assert check_timestamp(token, SIGNATURE, [root]).authority == "CN=Time"
    (tmp_path / "token").write_bytes(token)
    (tmp_path / "query").write_bytes(authority.requests[0])
    trust = ("-CAfile", authority.root.certificate)
    output = openssl("ts", "-verify", "-queryfile", tmp_path / "query", "-in", tmp_path / "token", *trust)
    assert b"Verification: OK" in output


def test_every_request_has_a_nonce_of_its_own(authority: TimestampAuthority) -> None:
    for _ in range(2):
        request_timestamp(SIGNATURE, [authority.url], TIMEOUT)
    queries = [asn1.decode(asn1.TimestampRequest, query) for query in authority.requests]
    assert queries[0].nonce != queries[1].nonce
    assert all(query.certificate_wanted for query in queries)


def test_the_next_address_when_one_fails(authority: TimestampAuthority) -> None:
    with serve(answering(b"", status=503)) as broken:
        assert request_timestamp(SIGNATURE, [NOBODY, broken, authority.url], TIMEOUT)
    assert len(authority.requests) == 1


def test_nobody_answers() -> None:
    with serve(answering(b"", status=503)) as broken:
        cause = failure(NOBODY, broken)
    assert NOBODY in cause
    assert "503" in cause
    assert "no address" in failure()


def test_wrong_answers(tmp_path: Path, entities: tuple[Entity, Entity]) -> None:
    stale = make_timestamp(tmp_path, entities[1], SIGNATURE)
    other = make_timestamp(tmp_path, entities[1], b"other")
    for handler, reason in (
        (answering(b"hello"), "DER"),
        (answering(bytes(MAX_TIMESTAMP + 1)), f"more than {MAX_TIMESTAMP}"),
        (answering(stale, kind="text/html"), "text/html"),
        (answering(stale, status=202), "202"),
        (answering(stale), "nonce"),
        (answering(other), "sha256"),
    ):
        with serve(handler) as url:
            assert reason in failure(url)


def test_no_redirects(authority: TimestampAuthority, tmp_path: Path) -> None:
    """Neither to a file nor to another server."""
    (tmp_path / "secret").write_text("x")
    for target in ((tmp_path / "secret").as_uri(), authority.url):
        for status in (301, 302, 303, 307, 308):
            with serve(answering(b"", status=status, location=target)) as url:
                assert str(status) in failure(url)
    assert authority.requests == []


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in failure(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.2)


def test_a_server_that_speaks_no_http() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.wfile.write(b"\0\1\2 nonsense\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    with serve(Handler) as url:
        assert failure(url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "example.com",
        "http://",
        "http:///path",
        "https://[::1",
        "http://example.com:99999/",
        "http://example.com/\n",
        "http://ex ample.com/",
        "http://example.com/" + "x" * 3000,
        "",
    ],
)
def test_not_an_address(url: str, authority: TimestampAuthority) -> None:
    with pytest.raises(HpbuildError) as caught:
        request_timestamp(SIGNATURE, [authority.url, url], TIMEOUT)
    assert caught.value.code is codes.BAD_TIMESTAMP_URL
    assert authority.requests == []
