"""Signing in two phases, for keys in rooms without a network: write the bytes, carry them in, carry the
signature out, attach it. And certificates and time stamps for signatures.

What is carried in is the DSSE pre-authentication encoding of the statement, byte for byte what every other
signer signs. Nothing is remembered between the phases: attaching makes the bytes again and verifies.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from hpbuild.bundle.reader import DEFAULT_LIMITS, Limits
from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.codes import sign as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import PublicKey, spki_sha256
from hpbuild.sign.bundle_signing import read_signable
from hpbuild.sign.certificates import certificate_key, load_certificates_pem
from hpbuild.sign.chains import Purpose, build_chain
from hpbuild.sign.dsse import check_unsigned, pae
from hpbuild.sign.signer import Signer, Signing


@dataclass(frozen=True, slots=True)
class MadeElsewhere:
    """A signature that was made before, as a signer. Whoever uses it verifies it, like any other's."""

    public: PublicKey
    signature: bytes = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """The signature, whatever ``message`` is."""
        return self.signature


def bytes_to_sign(data: bytes, public: PublicKey, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """What the owner of ``public`` has to sign for the bundle ``data``.

    Raises what ``read_signable`` raises, and HP5204 when that key has signed already.
    """
    bundle = read_signable(data, limits)
    check_unsigned(bundle.statement, [public], bundle.envelope)
    return pae(PAYLOAD_TYPE, bundle.statement)


def signings(
    signers: Sequence[Signer],
    chains: Sequence[tuple[str, bytes]] = (),
    timestamp: Callable[[bytes], bytes] | None = None,
    at: datetime | None = None,
) -> tuple[Signing, ...]:
    """Each signer with the chain of its key. ``chains`` are (place, PEM text), the signer's certificate
    first; which signer a chain is for is told by that certificate's key. A chain of two and more must lead to
    its last certificate for code signing at the time ``at``; None leaves that to the verifiers.

    Raises HP5107 for a chain of none of the signers and a second one of the same, HP5303 and HP5304 for what
    is no certificate, and what ``build_chain`` raises.
    """
    by_key: dict[str, tuple[bytes, ...]] = {}
    wanted = {spki_sha256(signer.public) for signer in signers}
    for place, pem in chains:
        certificates = load_certificates_pem(pem, place)
        key = spki_sha256(certificate_key(certificates[0]))
        if key not in wanted:
            cause = f"its first certificate is of key {key}, which does not sign"
            raise HpbuildError(codes.CERTIFICATE_OF_ANOTHER_KEY, place, cause)
        if key in by_key:
            raise HpbuildError(codes.CERTIFICATE_OF_ANOTHER_KEY, place, f"a second chain of key {key}")
        if at is not None and len(certificates) > 1:
            build_chain(
                certificates[0], certificates[1:-1], certificates[-1:], at=at, purpose=Purpose.CODE_SIGNING
            )
        by_key[key] = tuple(certificate.der for certificate in certificates)
    return tuple(Signing(signer, by_key.get(spki_sha256(signer.public), ()), timestamp) for signer in signers)
