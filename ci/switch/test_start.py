"""Nodes start clean, with their rules, their swap and their containers."""

import pytest
import starting
from bench import NODES


@pytest.mark.parametrize("name", NODES)
def test_portadc_finds_nothing_wrong(world, passes, name):
    passes(world.told[name])


@pytest.mark.parametrize("name", NODES)
def test_rules_are_loaded(world, name):
    tables, missing = world.nodes[name].missing_tables()
    assert tables and not missing


@pytest.mark.parametrize("name", NODES)
def test_swap_is_as_the_fleet_says(world, passes, name):
    passes(starting.check_swap(world.nodes[name]))


@pytest.mark.parametrize("name", ("red-07", "blue-23"))
def test_containers_run(world, passes, name):
    passes(starting.check_hypervisor(world.nodes[name]))
