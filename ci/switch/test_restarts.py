"""A container whose run ends. A move stops it by `lxc-stop`, and is followed by a restart of its own: test_moves.py."""

import pytest
from restarting import kill, power_off, reboot, restarts, starve, stays_off


@pytest.fixture(scope="module", autouse=True)
def listening_again(world, web):
    web.run("sh", "-c", "cat /proc/sys/kernel/random/uuid >>/srv/kept")
    yield
    world.listen("web")


def test_one_that_is_switched_off_stays_off(web, passes):
    passes(stays_off(web, power_off))


@pytest.mark.every_end
@pytest.mark.parametrize("end", (reboot, starve))
def test_one_that_restarts_or_starves_runs_again(world, web, passes, end):
    passes(restarts(web, world.addresses["irc"][0], end))


@pytest.mark.every_end
def test_one_that_is_killed_by_hand_stays_off(web, passes):
    passes(stays_off(web, kill))
