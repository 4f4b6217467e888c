"""Verification of a package: trust policy, numbered checks, verdict (design, section 8).

``verify`` takes a ``VerifyRequest`` and returns a ``Verification``; nothing here prints, signs or applies.
"""

from hpbuild.verify.policy import Limits, Policy, policy_from_keys
from hpbuild.verify.request import ModuleResult, Signer, Verification, VerifyRequest
from hpbuild.verify.verifier import verify

__all__ = [
    "Limits",
    "ModuleResult",
    "Policy",
    "Signer",
    "Verification",
    "VerifyRequest",
    "policy_from_keys",
    "verify",
]
