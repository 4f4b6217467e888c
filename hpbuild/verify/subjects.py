"""Whether the subject of a certificate is the one that a rule of the policy means."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from hpbuild.sign.certificates import Certificate
from hpbuild.verify.roles import SubjectRule


def subject_defect(rule: SubjectRule, certificate: Certificate) -> str:
    """What of ``rule`` the certificate does not meet, in words; '' when it meets all of it.

    Texts are compared code point by code point: no folding that two readers could do differently. An
    attribute that occurs twice meets nothing.
    """
    wanted = (
        ("common name", NameOID.COMMON_NAME, rule.common_name),
        ("organization", NameOID.ORGANIZATION_NAME, rule.organization),
        ("organizational unit", NameOID.ORGANIZATIONAL_UNIT_NAME, rule.organizational_unit),
        ("country", NameOID.COUNTRY_NAME, rule.country),
    )
    subject = certificate.raw.subject
    for name, oid, text in wanted:
        if text and [item.value for item in subject.get_attributes_for_oid(oid)] != [text]:
            return f"the {name} is not {text!r}"
    named = _alternative_names(certificate)
    if rule.emails and not _any(rule.emails, named.get_values_for_type(x509.RFC822Name) if named else ()):
        return f"no e-mail address of {', '.join(rule.emails)}"
    if rule.uris and not _any(
        rule.uris, named.get_values_for_type(x509.UniformResourceIdentifier) if named else ()
    ):
        return f"no URI of {', '.join(rule.uris)}"
    return ""


def _any(wanted: Sequence[str], found: Sequence[str]) -> bool:
    return not set(wanted).isdisjoint(found)


def _alternative_names(certificate: Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.raw.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
