"""One table of codes per stage; the messages, ``explain`` and the documentation read the same rows."""

from hpbuild.errors import Code


def all_codes() -> tuple[Code, ...]:
    """Every row of every stage, sorted by id."""
    # Imported here: a stage that refuses needs only its own table.
    from hpbuild.codes import (
        apply_offline,
        attachments,
        builds,
        bundle,
        certificates,
        cli,
        code,
        driver,
        live,
        manifest,
        match,
        patchimage,
        pe,
        pe_identity,
        pins,
        plan,
        policy,
        process,
        prove,
        rehearse,
        servicing,
        sign,
        traps,
        verify,
    )

    stages = (
        pe, pe_identity, code, match, plan, builds, traps, patchimage, manifest, bundle, attachments,
        sign, verify, policy, pins, prove, certificates, apply_offline, process, live, driver, rehearse,
        servicing, cli,
    )  # fmt: skip
    return tuple(sorted((row for stage in stages for row in stage.ROWS), key=lambda row: row.id))


def find_code(identifier: str) -> Code | None:
    """The row with this id (letter case does not matter), or None."""
    wanted = identifier.strip().upper()
    return next((row for row in all_codes() if row.id == wanted), None)
