import pytest

from hpbuild.verify.states import Tier

ORDER = (Tier.EXACT, Tier.AUTHENTICODE, Tier.SECTIONS, Tier.FUNCTIONS)


@pytest.mark.parametrize("tier", ORDER)
@pytest.mark.parametrize("lowest", ORDER)
def test_a_tier_reaches_itself_and_everything_weaker(tier: Tier, lowest: Tier) -> None:
    assert tier.reaches(lowest) == (ORDER.index(tier) <= ORDER.index(lowest))
