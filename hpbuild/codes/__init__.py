"""One table of codes per stage; the messages, ``explain`` and the documentation read the same rows."""

from importlib import import_module

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
        work,
    )

    stages = (
        pe, pe_identity, code, match, plan, builds, traps, patchimage, manifest, bundle, attachments,
        sign, verify, policy, pins, prove, certificates, apply_offline, process, live, driver, rehearse,
        servicing, cli, work,
    )  # fmt: skip
    return tuple(sorted((row for stage in stages for row in stage.ROWS), key=lambda row: row.id))


def find_code(identifier: str) -> Code | None:
    """The row with this id (letter case does not matter), or None."""
    wanted = identifier.strip().upper()
    # Only the table that has it is imported: all of them take longer than what most callers do.
    for stage in _STAGES.get(wanted[:4], ()):
        rows: tuple[Code, ...] = import_module(f"{__name__}.{stage}").ROWS
        for row in rows:
            if row.id == wanted:
                return row
    return None


_STAGES = {
    **dict.fromkeys(("HP10", "HP11", "HP12", "HP13"), ("pe",)),
    **dict.fromkeys(("HP14", "HP15", "HP16", "HP17", "HP18"), ("pe_identity",)),
    "HP20": ("code",),
    "HP21": ("match",),
    "HP30": ("plan", "builds", "traps"),
    **dict.fromkeys(("HP35", "HP36", "HP37"), ("patchimage",)),
    **dict.fromkeys(("HP40", "HP41"), ("manifest",)),
    **dict.fromkeys(("HP42", "HP43", "HP48"), ("bundle",)),
    "HP45": ("attachments",),
    **dict.fromkeys(("HP50", "HP51", "HP52"), ("sign",)),
    **dict.fromkeys(("HP53", "HP54", "HP55"), ("certificates",)),
    "HP60": ("verify",),
    "HP61": ("policy",),
    "HP62": ("pins",),
    "HP70": ("prove",),
    "HP72": ("apply_offline", "process"),
    "HP73": ("live", "driver"),
    "HP74": ("rehearse",),
    "HP80": ("servicing",),
    "HP90": ("cli", "work"),
}
"""The tables by the first four characters of the ids in them."""
