"""Devices of the node, tried by a container."""

import devices


def test_container_opens_its_own_alone(web, passes):
    passes(devices.check(web))
