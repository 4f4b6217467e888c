"""Write the figures of a run into a page between markers; the words around them stay as they are.

``<!-- figures: NAME -->`` and ``<!-- end of figures -->`` stand on lines of their own.
"""

import re
from collections.abc import Mapping
from functools import partial

PLACE = re.compile(r"^<!-- figures: ([a-z-]+) -->\n(.*?)^<!-- end of figures -->$", re.MULTILINE | re.DOTALL)


class PageError(Exception):
    """A page whose markers do not fit the figures: what is wrong."""


def rewritten(page: str, parts: Mapping[str, str]) -> str:
    """*page* with the text of every place replaced by that of *parts*. Raises PageError for a place that has
    no figures and for figures without a place."""
    names = [match[1] for match in PLACE.finditer(page)]
    if sorted(names) != sorted(parts):
        raise PageError(f"the page has places for {sorted(names)}, the run has {sorted(parts)}")
    return PLACE.sub(partial(_filled, parts), page)


def _filled(parts: Mapping[str, str], match: re.Match[str]) -> str:
    return f"<!-- figures: {match[1]} -->\n\n{parts[match[1]]}\n\n<!-- end of figures -->"
