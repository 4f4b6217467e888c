"""Passphrases of private keys: from HPBUILD_PASSPHRASE, or asked for on the terminal."""

import os
import sys

from hpbuild.codes import cli as codes
from hpbuild.errors import HpbuildError

VARIABLE = "HPBUILD_PASSPHRASE"


def new_passphrase(place: str) -> bytes:
    """A passphrase for a new key, asked twice. HpbuildError when there is nobody to ask (HP9013), when
    the two differ (HP9001) or when it is empty (HP9001)."""
    given = os.environ.get(VARIABLE)
    first = given if given is not None else _ask(f"Passphrase for {place}: ", place)
    if not first:
        raise HpbuildError(codes.USAGE, place, "the passphrase is empty; --no-passphrase leaves the key open")
    if given is None and _ask("Once more: ", place) != first:
        raise HpbuildError(codes.USAGE, place, "the two passphrases differ")
    return first.encode()


def existing_passphrase(place: str) -> bytes:
    """The passphrase of an existing key. HpbuildError (HP9013) when there is nobody to ask."""
    given = os.environ.get(VARIABLE)
    return (given if given is not None else _ask(f"Passphrase for {place}: ", place)).encode()


def _ask(prompt: str, place: str) -> str:
    if not sys.stdin.isatty():
        raise HpbuildError(
            codes.NO_PASSPHRASE, place, f"{VARIABLE} is not set and there is no terminal to ask on"
        )
    from getpass import getpass

    return getpass(prompt, stream=sys.stderr)
