"""Values shared by every stage: addresses, half-open intervals, digests, moments. Standard library only."""

from hpbuild.values.digest import Digest
from hpbuild.values.interval import Interval
from hpbuild.values.moment import moment_text, parse_moment
from hpbuild.values.rva import Rva

__all__ = ["Digest", "Interval", "Rva", "moment_text", "parse_moment"]
