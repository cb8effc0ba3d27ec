"""The units of nodes, read by systemd."""

import pytest
from topology import NODES


@pytest.mark.parametrize("name", NODES)
def test_systemd_finds_nothing_wrong(network, name):
    assert network[name].faults_of_units() == ""
