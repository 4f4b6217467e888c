"""Base64 where nobody may choose the spelling (RFC 4648, section 4), and PEM blocks around it (RFC 7468)."""

import base64
import binascii
import re

from hpbuild.errors import Code
from hpbuild.manifest.readers import Node


def read_base64(node: Node, most: int, malformed: Code) -> bytes:
    """The bytes that the text of ``node``, at most ``most`` characters and not empty, stands for in the
    standard alphabet with padding; ``malformed`` for anything but their only spelling, HP40xx for no such
    text."""
    text = node.text(most, empty=False)
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise node.error(malformed, "not standard base64") from None
    if base64.b64encode(raw).decode() != text:
        raise node.error(malformed, "base64 with stray bits")
    return raw


def pem_blocks(data: bytes, label: str) -> tuple[bytes, ...]:
    """What stands between the lines of each block with this label, in the order of ``data``; text around
    the blocks is passed over."""
    name = re.escape(label.encode("ascii"))
    return tuple(re.findall(b"-----BEGIN %b-----(.*?)-----END %b-----" % (name, name), data, re.DOTALL))


def pem_body(block: bytes) -> bytes:
    """The bytes that a block of ``pem_blocks`` stands for; ValueError when it is not base64 alone."""
    return base64.b64decode(b"".join(block.split()), validate=True)
