"""URIs of keys on PKCS#11 tokens (RFC 7512). A PIN in one never gets into an error message."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote_to_bytes

from hpbuild.bundle.output import read_bounded
from hpbuild.codes import sign as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError

MAX_PIN_FILE = 4 << 10
PATH_ATTRIBUTES = frozenset({"token", "manufacturer", "model", "serial", "object", "id", "type"})
QUERY_ATTRIBUTES = frozenset({"module-path", "pin-source", "pin-value"})

_ATTRIBUTE = re.compile(r"([a-z-]+)=((?:[A-Za-z0-9._~:\[\]@!$'()*+,=&/?|-]|%[0-9A-Fa-f]{2})*)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """A private key on a token. Attributes that the URI does not have are None (RFC 7512, section 2.3)."""

    module: Path
    token: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    serial: str | None = None
    label: str | None = None
    id: bytes | None = None
    pin_source: Path | None = None
    pin_value: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """The key's name in reports: the path of its URI, without the query."""
        parts = [
            f"{name}={value}" for name, value in (("token", self.token), ("object", self.label)) if value
        ]
        parts += [f"id={self.id.hex()}"] if self.id is not None else []
        return "pkcs11:" + ";".join(parts)

    def pin(self, ask: Callable[[str], bytes | None]) -> str:
        """The user PIN: of the URI, of its file, else ``ask`` is asked with the key's name.

        Raises HP5104 when there is none, HP48xx for the file."""
        if self.pin_value is not None:
            return self.pin_value
        if self.pin_source is not None:
            secret = read_bounded(self.pin_source, MAX_PIN_FILE).removesuffix(b"\n").removesuffix(b"\r")
        else:
            secret = ask(self.place) or b""
        try:
            pin = secret.decode()
        except UnicodeDecodeError:
            raise HpbuildError(codes.WRONG_PIN, self.place, "the PIN is not UTF-8") from None
        if not pin:
            raise HpbuildError(codes.WRONG_PIN, self.place, "no PIN was given")
        return pin


def parse_token_key(uri: str) -> TokenKey:
    """The key that ``uri`` names: ``pkcs11:token=T;object=O;id=%01?module-path=LIBRARY&pin-source=FILE``.

    ``module-path`` is needed, and one of ``object`` and ``id``. ``pin-source`` is a path or a ``file:`` URI,
    never a command. Raises HP5101, whose place shows nothing of the URI.
    """
    path, _, query = uri.removeprefix("pkcs11:").partition("?")
    names = _attributes(path.split(";"), PATH_ATTRIBUTES)
    options = _attributes(query.split("&") if query else [], QUERY_ATTRIBUTES)
    if names.get("type", b"private") != b"private":
        raise _bad("the type of a key that signs is private")
    if "module-path" not in options or not options["module-path"]:
        raise _bad("module-path, the token's PKCS#11 library, is not named")
    if "object" not in names and "id" not in names:
        raise _bad("neither object nor id names a key")
    if "pin-value" in options and "pin-source" in options:
        raise _bad("pin-value and pin-source exclude each other (RFC 7512, section 2.4)")
    return TokenKey(
        module=Path(_text(options, "module-path") or ""),
        token=_text(names, "token"),
        manufacturer=_text(names, "manufacturer"),
        model=_text(names, "model"),
        serial=_text(names, "serial"),
        label=_text(names, "object"),
        id=names.get("id"),
        pin_source=_pin_source(options),
        pin_value=_text(options, "pin-value"),
    )


def _attributes(parts: list[str], known: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in parts:
        match = _ATTRIBUTE.fullmatch(part)
        if match is None:
            raise _bad("an attribute is not NAME=VALUE with %XX for other characters")
        name, value = match.groups()
        if name not in known:
            raise _bad(f"the attribute {name!r} is not known there; there are {', '.join(sorted(known))}")
        if name in found:
            raise _bad(f"the attribute {name!r} twice")
        found[name] = unquote_to_bytes(value)
    return found


def _text(attributes: dict[str, bytes], name: str) -> str | None:
    if name not in attributes:
        return None
    try:
        text = attributes[name].decode()
    except UnicodeDecodeError:
        raise _bad(f"{name} is not UTF-8") from None
    if "\0" in text:
        raise _bad(f"{name} has a NUL in it")
    return text


def _pin_source(options: dict[str, bytes]) -> Path | None:
    source = _text(options, "pin-source")
    if source is None:
        return None
    name = source.removeprefix("file:")
    name = name.removeprefix("//") if name.startswith("///") else name
    if not name or name.startswith(("|", "//")) or (name == source and re.match(r"[a-z]{2,}:", name)):
        raise _bad("pin-source is the path of a file or a file: URI")
    return Path(name)


def _bad(cause: str) -> HpbuildError:
    return HpbuildError(codes.BAD_URI, "pkcs11:", cause)
