"""What the signatures of a package say of themselves."""

from hpbuild.bundle.reader import Bundle
from hpbuild.sign.envelope import decode_envelope


def key_hints(bundle: Bundle) -> list[str]:
    """What the signatures call their keys; nothing is checked."""
    if bundle.envelope is None:
        return []
    return [signature.keyid for signature in decode_envelope(bundle.envelope).signatures]
