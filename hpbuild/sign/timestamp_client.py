"""Asks time-stamp authorities over HTTP (RFC 3161, section 3.4). Verifying never imports this."""

import hashlib
import http.client
import secrets
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence

from hpbuild.codes import certificates as codes
from hpbuild.errors import HpbuildError
from hpbuild.sign import asn1
from hpbuild.sign.extension import MAX_TIMESTAMP
from hpbuild.sign.timestamps import check_imprint, read_token

QUERY = "application/timestamp-query"
REPLY = "application/timestamp-reply"
MAX_URL = 2048
NONCE_BITS = 64


def request_timestamp(signature: bytes, urls: Sequence[str], timeout: float) -> bytes:
    """A TimeStampResp over the bytes ``signature`` from the first of ``urls`` that gives one.

    ``timeout`` in seconds is for each step of each answer. The answer is about this signature and this
    request (nonce); whom it is by is for the verifier's policy to judge. Raises HP5411 (no http or https
    address) before any of them is asked, HP5412 with every reason when none answers.
    """
    for url in urls:
        _check_url(url)
    failures = []
    for url in urls:
        try:
            return _ask(url, signature, timeout)
        except HpbuildError as error:
            failures.append(f"{url}: {error.finding.cause}")
        except (OSError, http.client.HTTPException, ssl.SSLError) as error:
            failures.append(f"{url}: {str(error) or type(error).__name__}")
    cause = "; ".join(failures)[:1000] or "no address was given"
    raise HpbuildError(codes.NO_TIMESTAMP_ANSWER, "time stamp", cause)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An authority that moved is named anew by the user, not followed wherever it leads."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _ask(url: str, signature: bytes, timeout: float) -> bytes:
    nonce = secrets.randbits(NONCE_BITS)
    imprint = asn1.MessageImprint(
        algorithm=asn1.Algorithm(algorithm=asn1.SHA256, parameters=asn1.NULL),
        digest=hashlib.sha256(signature).digest(),
    )
    query = asn1.encode(
        asn1.TimestampRequest(version=1, imprint=imprint, nonce=nonce, certificate_wanted=True)
    )
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked
        url,
        data=query,
        headers={"Content-Type": QUERY, "Accept": REPLY, "User-Agent": "hpbuild"},
        method="POST",
    )
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _NoRedirects(),
    ):
        opener.add_handler(handler)
    with opener.open(request, timeout=timeout) as response:
        if response.status != http.HTTPStatus.OK:
            raise _unusable(f"HTTP status {response.status}")
        if (kind := response.headers.get_content_type()) != REPLY:
            raise _unusable(f"an answer of the type {kind[:80]!r}")
        answer: bytes = response.read(MAX_TIMESTAMP + 1)
    if len(answer) > MAX_TIMESTAMP:
        raise _unusable(f"more than {MAX_TIMESTAMP} bytes")
    token = read_token(answer)
    check_imprint(token, signature)
    if token.info.nonce != nonce:
        raise _unusable("an answer to another request (nonce)")
    return answer


def _check_url(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or len(url) > MAX_URL or not url.isprintable() or not url.isascii() or " " in url:
        raise HpbuildError(codes.BAD_TIMESTAMP_URL, url[:200], "an http or https address is needed")


def _unusable(cause: str) -> HpbuildError:
    return HpbuildError(codes.NO_TIMESTAMP_ANSWER, "time stamp", cause)
