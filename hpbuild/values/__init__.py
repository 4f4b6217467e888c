"""Values shared by every stage: addresses, half-open intervals, digests. Standard library only."""

from hpbuild.values.digest import Digest
from hpbuild.values.interval import Interval
from hpbuild.values.rva import Rva

__all__ = ["Digest", "Interval", "Rva"]
