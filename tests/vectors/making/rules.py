"""Cases about what a policy says of packages beyond their signatures: V19, expiry, age, limits, overrides."""

from tests.vectors.making.base import CREATED, Parts, parts_of
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import sha256

EXPIRED = "2026-05-31T23:59:59Z"
LATER = "2026-06-01T00:00:01Z"
NOW = "2026-06-01T00:00:00Z"


def override(code: str, package: str = "KB-1", expires: str = "2026-12-31T00:00:00Z") -> str:
    """The table of an override."""
    return (
        f'[[overrides]]\ncode = "{code}"\npackage = "{package}"\nreason = "the plant stands still"\n'
        f'by = "A. Example"\nexpires = {expires}\n'
    )


def cases() -> list[Made]:
    parts = parts_of()
    return [*_products(parts), *_times(parts), *_revoked(parts), *_overrides(parts), *_limits(parts)]


def _products(parts: Parts) -> list[Made]:
    package = parts.package()
    return [
        case("product", "The policy names the product of the package.", "T9", package,
             trusting("release", head='products = ["Example", "Other"]\n')),
        case("other-product", "A good package for another product than those that the policy names: whoever "
             "may sign for "
             "one may not patch all.", "T9", package, trusting("release", head='products = ["Other"]\n'),
             refused=(1, "HP6141")),
        case("product-in-other-case", "The policy's product differs from the package's in case.", "T9",
             package,
             trusting("release", head='products = ["EXAMPLE"]\n'), refused=(1, "HP6141")),
    ]  # fmt: skip


def _times(parts: Parts) -> list[Made]:
    policy = trusting("release")
    return [
        case("not-expired", "A package that expires a second after the verification.", "S7",
             parts.package(expiry=LATER),
             policy),
        case("expired", "A package that expired a second before the verification: somebody may be holding "
             "newer ones "
             "back.", "S7", parts.package(expiry=EXPIRED), policy, refused=(1, "HP6005")),
        case("expired-this-second", "A package whose expiry is the time of the verification.", "S7",
             parts.package(expiry=NOW), policy, refused=(1, "HP6005")),
        case("expiry-required", "The policy demands an expiry, the package has one.", "T11",
             parts.package(expiry=LATER),
             trusting("release", head='expiry = "required"\n')),
        case("expiry-missing", "The policy demands an expiry, the package has none.", "T11", parts.package(),
             trusting("release", head='expiry = "required"\n'), refused=(1, "HP6144")),
        case("young-enough", f"A package made {CREATED} by its manifest, and a policy that accepts a year.",
             "T10",
             parts.package(), trusting("release", head="max_age_days = 365\n")),
        case("too-old", "The same package and a policy that accepts thirty days.", "T10", parts.package(),
             trusting("release", head="max_age_days = 30\n"), refused=(1, "HP6142")),
        case("made-in-the-future", "A package that says that it was made years after the verification, and a "
             "policy that bounds its age: it would be young for as long.", "T10",
             _dated(parts, "2099-01-01T00:00:00Z").package(),
             trusting("release", head="max_age_days = 365\n"), refused=(1, "HP6143")),
        case("age-unknown", "A package that does not say when it was made, and a policy that bounds its "
             "age.", "T10",
             _dated(parts, "").package(), trusting("release", head="max_age_days = 365\n"),
             refused=(1, "HP6143")),
    ]  # fmt: skip


def _dated(parts: Parts, created: str) -> Parts:
    return parts.changed(lambda manifest: manifest.update(created=created))


def _revoked(parts: Parts) -> list[Made]:
    def policy(entry: str) -> str:
        return trusting("release", tail=f'[[revoked.bundles]]\n{entry}\nreason = "it crashes"\n')

    return [
        case("package-revoked-by-id", "The policy revokes the package by its id.", "T12", parts.package(),
             policy('id = "KB-1"'), refused=(1, "HP6145")),
        case("package-revoked-by-identity", "The policy revokes the package by the digest of its statement.",
             "T12 S5",
             parts.package(), policy(f'statement = "{sha256(parts.statement())}"'), refused=(1, "HP6145")),
        case("another-package-revoked", "The policy revokes another package.", "T12", parts.package(),
             policy('id = "KB-10"')),
    ]  # fmt: skip


def _overrides(parts: Parts) -> list[Made]:
    expired = parts.package(expiry=EXPIRED)
    return [
        case("override", "An expired package that the policy lets pass, by name, for a reason, until a day.",
             "T8", expired,
             trusting("release", tail=override("HP6005"))),
        case("override-expired", "The same, and the override has ended.", "T8", expired,
             trusting("release", tail=override("HP6005", expires="2026-05-31T00:00:00Z")),
             refused=(1, "HP6005")),
        case("override-of-another-package", "The same, and the override is for another package.", "T8",
             expired,
             trusting("release", tail=override("HP6005", package="KB-2")), refused=(1, "HP6005")),
        case("override-of-another-code", "The same, and the override is of another code.", "T8", expired,
             trusting("release", tail=override("HP6142")), refused=(1, "HP6005")),
    ]  # fmt: skip


def _limits(parts: Parts) -> list[Made]:
    package = parts.package()
    return [
        case("limit-of-size", "The package is larger than the policy allows.", "T13", package,
             trusting("release", tail="[limits]\nbundle_size = 4096\n"), refused=(5, "HP4804")),
        case("limit-of-patch-bytes", "The package's code would take more memory than the policy allows.",
             "T13", package,
             trusting("release", tail="[limits]\npatch_bytes = 4096\n"), refused=(5, "HP6019")),
    ]  # fmt: skip
