import gc

import pytest

from hpbuild.assembly.collector import collector_aside


def test_it_is_off_within_and_on_afterwards() -> None:
    assert gc.isenabled()
    with collector_aside():
        assert not gc.isenabled()
        with collector_aside():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_on_again_after_an_error() -> None:
    with pytest.raises(KeyError), collector_aside():
        raise KeyError
    assert gc.isenabled()


def test_who_had_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with collector_aside():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
