"""MuJoCo's log is off inside the block only, also when it is left by an error."""

import mujoco
import pytest

from metarl.envs.mujoco_log import quiet


def logs() -> tuple[bool, bool]:
    config = mujoco.MjLogConfig.get()
    return bool(config.logto_console), bool(config.logto_file)


def test_the_log_is_off_inside_and_as_before_outside():
    before = logs()
    assert any(before)
    with quiet():
        assert logs() == (False, False)
        with quiet():
            assert logs() == (False, False)
        assert logs() == (False, False)
    assert logs() == before


def test_an_error_inside_restores_the_log():
    before = logs()
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert logs() == before
