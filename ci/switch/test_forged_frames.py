"""Frames of a container in another's name."""

import forging


def test_they_do_not_come_out_at_the_switch(world, web, passes):
    passes(forging.check_forged(web, forging.surroundings(world, "blue-23")))
