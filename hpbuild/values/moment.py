"""Moments as documents write them: RFC 3339 in UTC, in whole seconds, such as ``2025-01-31T12:00:00Z``."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from datetime import datetime

_MOMENT = r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z"


def moment_text(moment: datetime) -> str:
    """The text of ``moment``, which has a time zone; fractions of a second are left out (RFC 3339, section
    5.6). Raises OverflowError when it has no place in the calendar of UTC."""
    from datetime import UTC

    # Not strftime: it writes years before 1000 with fewer digits on some systems.
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def parse_moment(text: str) -> datetime:
    """The moment, in UTC, that ``text`` names as ``moment_text`` would; ValueError when it names none: not
    of that form, or no day and time of the calendar (leap seconds are none)."""
    from datetime import UTC, datetime

    found = re.fullmatch(_MOMENT, text)
    if not found:
        raise ValueError(f"{text!r} is not of the form 2025-01-31T12:00:00Z")
    try:
        year, month, day, hour, minute, second = map(int, found.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{text!r} is not a day and time of the calendar") from None
