"""Real connections between containers, and from outside."""

import connections
import outside


def test_who_reaches_whom(world, passes):
    passes(connections.check_table(world))


def test_what_is_open_to_the_internet(world, passes):
    passes(outside.check(world.fleet, world.outer, lambda questions: world.internet.ask(20, questions)))
