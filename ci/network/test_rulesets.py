"""nft reads every ruleset of every node, without loading it."""

import subprocess

import pytest


def nft_reads(bench, *command):
    # With a /sys of the namespace, where the board's address is read.
    done = subprocess.run(["ip", "netns", "exec", bench.name, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.strip()


def test_rules(bench, node_folder):
    nft_reads(bench, "nft", "--includepath", node_folder / "etc", "--check", "--file", node_folder / "etc/nftables.conf")


def test_rules_of_the_port(bench, node_folder):
    uplink = node_folder / "etc/portadc/guard-uplink.nft"
    if not uplink.exists():
        pytest.skip("a gateway, which has none")
    nft_reads(bench, "env", f"GUARD_UPLINK={uplink}", node_folder / "usr/lib/portadc/guard-uplink", "--check")
