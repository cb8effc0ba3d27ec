"""Frames in another's name that containers send, and what comes out at the switch."""

import time
from types import SimpleNamespace

import spoofing
from bench import INTERNET


def surroundings(world, other_node):
    """Whose names are taken: that of the router, of `other_node` and of a container there."""
    return SimpleNamespace(
        switch=world.bench,
        internet=INTERNET,
        router=world.addresses["utilite"],
        other_node=world.addresses[other_node],
        other_container=world.addresses["irc"],
    )


def check_forged(container, world):
    """Frames of a container in another's name, and whether its node counts them. Returns faults and a text."""
    forged, *honest = spoofing.container_frames(container, world)
    node = container.node
    # What an honest machine does first: the node learns who the router is.
    container.ask(5, [f"{world.router[0]},ping", f"{world.router[1]},ping"])
    before = node.counters()
    capture = spoofing.Capture(world.switch, node.name)
    container.send([frame for _, frame, _ in forged] + [frame for _, frame in honest])
    time.sleep(1)
    seen, after = capture.end(), node.counters()
    faults = [f"{container.name}: {name!r} came out at the switch" for name, *_ in forged if name in seen]
    faults += [f"{container.name}: {name!r} did not come out at the switch" for name, _ in honest if name not in seen]
    for counter in {counter for *_, counter in forged if counter}:
        sent = sum(counter == other for *_, other in forged)
        if after[counter] - before[counter] < sent:
            faults.append(f"{node.name}: of {sent} frames, `{counter}` counted {after[counter] - before[counter]}")
    return faults, (
        f"{len(forged)} kinds of forged frames of {container.name} at {node.name}: none came out at the switch, "
        f"{len(honest)} honest ones did"
    )


def check_without_rules(container, world):
    """That forged frames can come out: without the rules and the kernel's own filter of sources, those do that are forwarded
    at all. Returns faults and a text."""
    node = container.node
    node.run("nft", "flush", "ruleset")
    node.sysctl("net.ipv4.conf.*.rp_filter", 0)
    forged, *_ = spoofing.container_frames(container, world)
    routed = {name: frame for name, frame, _ in forged if name.startswith(("mac", "ipv4", "ipv6"))}
    capture = spoofing.Capture(world.switch, node.name)
    container.send(routed.values())
    time.sleep(1)
    seen = capture.end()
    faults = [f"without rules, {name!r} of {container.name} should come out" for name in routed if name not in seen]
    return faults, f"without rules, {len(routed)} of them do"
