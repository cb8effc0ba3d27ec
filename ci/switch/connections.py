"""Reachability: reachability.txt, as far as who asks and who is asked is here."""

from concurrent.futures import ThreadPoolExecutor

import matrix
import outside
from namespaces import HERE

# Those who ask: the others are ci/check-network's.
ASKERS = ("internet", "router", "web", "irc")


def ask_all(machines, questions, seconds):
    """Tries (asker, asked, address, what) from all askers at once; returns what was answered to each."""

    def ask(asker):
        own = [question for question in questions if question[0] == asker]
        words = [
            f"{address},{what}" if what == "ping" else f"{address},{what},{outside.http(asked)}" for _, asked, address, what in own
        ]
        return dict(zip(own, machines[asker].ask(seconds, words), strict=True))

    answered = {}
    with ThreadPoolExecutor() as pool:
        for answers in pool.map(ask, sorted({question[0] for question in questions})):
            answered |= answers
    return answered


def check_table(world):
    """The table's rows of who asks here, and columns of who is here. Returns faults and a text."""
    addresses, containers = world.addresses, world.containers
    machines = {"internet": world.internet, "router": world.bench, **containers}
    expected = matrix.Expected(HERE / "reachability.txt")
    questions = [
        (asker, asked, address, what)
        for asker, asked in expected.cells
        if asker in ASKERS and asked in addresses
        for address in addresses[asked]
        for what in matrix.TRIED
    ]

    def is_right(question):
        asker, asked, _, what = question
        wanted, got = expected.cells[asker, asked].get(what), answered[question]
        if wanted is None:
            # Where rules refuse, there is silence; `refused` would be said by the machine behind them.
            return got == "-"
        # Listeners of this check are in containers. A node has sshd, and refuses by itself what it has no program for.
        return got.split(" ")[0] == wanted if wanted == "echo" or asked in containers else got != "-"

    answered = ask_all(machines, questions, 5)
    # On a busy machine an answer may take longer: what is missing is tried again, with time.
    again = [question for question in questions if not is_right(question) and answered[question] == "-"]
    answered |= ask_all(machines, again, 20)
    faults = [
        f"{asker} asks {asked} at {address} ({what}): {answered[asker, asked, address, what]!r}, "
        f"where {expected.cells[asker, asked].get(what, 'nothing')} answers"
        for asker, asked, address, what in questions
        if not is_right((asker, asked, address, what))
    ]
    seen = 0
    for asker, asked, who in expected.seen:
        if asker not in ASKERS or asked not in containers or who not in addresses:
            continue
        for address, wanted in zip(addresses[asked], addresses[who]):
            port = next(what for what in matrix.PORTS if expected.cells[asker, asked].get(what))
            got = answered[asker, asked, address, port].split(" ")[-1]
            seen += 1
            if got != wanted:
                faults.append(f"{asked} sees {asker} as {got}, not as {who} ({wanted})")
    reached = sum(answer != "-" for answer in answered.values())
    return faults, (
        f"{len(questions)} connections and echoes of {', '.join(ASKERS)} as reachability.txt says, by IPv4 and IPv6: "
        f"{reached} let through, {len(questions) - reached} not; {seen} seen as who they are"
    )
