"""A container moves to the other bus, and is there what it was."""

import connections
import forging
import moving
import restarting


def test_container_moves(world, web, passes):
    passes(moving.move(web, world.nodes["blue-23"], world.bench))


def test_it_restarts_there(world, web, passes):
    passes(restarting.restarts(web, world.addresses["irc"][0], restarting.reboot))


def test_it_stays_there_while_services_start_anew(world, passes):
    nodes = (world.nodes["red-07"], world.nodes["blue-23"])
    passes(moving.start_anew(nodes, world.containers.values()))


def test_who_reaches_whom_as_before(world, passes):
    world.listen(*world.containers)
    passes(connections.check_table(world))


def test_its_forged_frames_do_not_come_out_there(world, web, passes):
    passes(forging.check_forged(web, forging.surroundings(world, "red-07")))


def test_it_stays_when_its_mover_is_killed(world, web, passes):
    passes(moving.kill_mover(web, world.nodes["red-07"]))


def test_who_reaches_whom_after_that(world, passes):
    world.listen("web")
    passes(connections.check_table(world))


def test_forged_frames_come_out_without_rules(world, web, passes):
    passes(forging.check_without_rules(web, forging.surroundings(world, "red-07")))
