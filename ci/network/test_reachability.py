"""Reachability: each pair of machines, as reachability.txt has it."""

from contextlib import ExitStack

import matrix
import pytest
from namespaces import HERE

EXPECTED = matrix.Expected(HERE / "reachability.txt")
# Some that reach nobody, and do where toc, utilite and red-07 have no rules.
REFUSED = [
    ("internet", "home-pc"),
    ("internet", "red-07"),
    ("internet", "web"),
    ("blue-23", "red-07"),
    ("red-07", "router"),
    ("web", "toc-up"),
    ("web", "red-07"),
    ("web", "utilite"),
]


def ids(pairs):
    return ["-".join(pair) for pair in pairs]


@pytest.fixture(scope="module")
def answers(network):
    """What each pair was answered, by asker, asked, address and what was tried: all of them at once."""
    questions = [
        (asker, asked, address, what)
        for asker, asked in EXPECTED.cells
        for address in network.addresses[asked]
        for what in matrix.TRIED
    ]
    answered = network.ask(questions, 2)
    # On a busy machine an answer may take longer: what is missing is tried again, with time.
    missing = [question for question in questions if not answered[question] and question[3] in EXPECTED.cells[question[:2]]]
    if missing:
        answered |= network.ask(missing, 6)
    return answered


def test_table_has_all_machines(network):
    assert set(EXPECTED.rows) == set(network.machines)
    assert set(EXPECTED.columns) == set(network.addresses)


@pytest.mark.parametrize("pair", EXPECTED.cells, ids=ids(EXPECTED.cells))
def test_pair(network, answers, pair):
    asker, asked = pair
    for address in network.addresses[asked]:
        said = {what: answers[asker, asked, address, what] for what in matrix.TRIED}
        # A listener says its name, and who asks.
        found = {what: answer.split(" ")[0] for what, answer in said.items() if answer}
        assert found == EXPECTED.cells[pair], address


@pytest.mark.parametrize(("asker", "asked", "who"), EXPECTED.seen, ids=ids(EXPECTED.seen))
def test_source_address_that_a_listener_sees(network, answers, asker, asked, who):
    port = next(what for what in matrix.PORTS if what in EXPECTED.cells[asker, asked])
    for address, wanted in zip(network.addresses[asked], network.addresses[who]):
        answer = answers[asker, asked, address, port]
        assert answer and answer.split(" ")[1] == wanted


def test_without_rules_refused_pairs_reach_each_other(network):
    """It is the rules that refuse."""
    for asker, asked in REFUSED:
        assert "8080" not in EXPECTED.cells[asker, asked]
    questions = [(asker, asked, address, "8080") for asker, asked in REFUSED for address in network.addresses[asked]]
    with ExitStack() as stack:
        for name in ("toc", "utilite", "red-07"):
            stack.enter_context(network[name].without_rules())
        network.forget_neighbours()
        answered = network.ask(questions, 6)
    assert [question for question in questions if not answered[question]] == []
