"""The table of who reaches whom, as reachability.txt has it, and as packets say."""

import json
import re
import sys
from pathlib import Path

PORTS = ["22", "80", "8080", "6667"]
TRIED = [*PORTS, "ping"]
FAMILIES = {4: "IPv4", 6: "IPv6"}


class Expected:
    """reachability.txt: `cells` has, for each asker and asked, who answers to what; `seen` has triples of names."""

    def __init__(self, path):
        self.cells, self.seen, self.rows = {}, [], []
        self.columns = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.name}:{number}"
            if line.startswith("seen "):
                matched = re.fullmatch(r"seen (\S+) +at (\S+) +as (\S+)", line)
                self.seen.append(matched.groups() if matched else sys.exit(f"error: {where}: not `seen X at Y as Z`"))
            elif "|" in line:
                name, *cells = (cell.strip() for cell in line.split("|"))
                if self.columns is None:
                    self.columns = cells
                    continue
                if len(cells) != len(self.columns):
                    sys.exit(f"error: {where}: {len(cells)} cells in a table of {len(self.columns)} columns")
                self.rows.append(name)
                for column, cell in zip(self.columns, cells):
                    if cell != ".":
                        self.cells[name, column] = answers(cell, column, where)


def answers(cell, column, where):
    """What is answered, by whom: {"80": "web", "ping": "echo"}."""
    name = column.removesuffix("-up")
    found = {}
    for word in [] if cell == "-" else cell.split():
        what, _, who = word.partition("=")
        if what not in ("all", *TRIED):
            sys.exit(f"error: {where}: {word!r} is none of all, {', '.join(TRIED)}")
        for tried in TRIED if what == "all" else [what]:
            found[tried] = "echo" if tried == "ping" else who or name
    return found


def listen_all(machines):
    """Makes every machine listen on every port and answer with its name in the table. Returns the processes by name."""
    processes = {name: machine.start("listen", name, *PORTS) for name, machine in machines.items()}
    for process in processes.values():
        process.stdout.readline()
    return processes


def stop(listeners, names):
    """Ends the listeners of these machines, whose ports are then free."""
    for name in names:
        process = listeners.pop(name)
        process.kill()
        process.wait()


def ask(machines, questions, seconds):
    """Tries (asker, asked, address, what) from all askers at once; returns what was answered to each."""
    askers = {}
    for question in questions:
        askers.setdefault(question[0], []).append(question)
    running = []
    for name, asked in askers.items():
        process = machines[name].start("try", str(seconds))
        process.stdin.write(json.dumps([question[2:] for question in asked]))
        process.stdin.close()
        running.append((process, asked))
    answered = {}
    for process, asked in running:
        text = process.stdout.read()
        if process.wait() != 0:
            sys.exit("error: a machine could not ask")
        answered |= dict(zip(asked, json.loads(text)))
    return answered


def check(path: Path, machines, addresses):
    """Tries everything; `addresses` has a pair (IPv4, IPv6) by the names of the table's columns. Returns faults and how
    many things were tried."""
    expected = Expected(path)
    for found, known, what in ((expected.rows, machines, "rows"), (expected.columns, addresses, "columns")):
        if set(found) != set(known):
            sys.exit(f"error: the {what} of {path.name} are {', '.join(found)}, but there are {', '.join(known)}")
    questions = [
        (asker, asked, address, what)
        for asker, asked in expected.cells
        for address in addresses[asked]
        for what in TRIED
    ]

    def fault(question):
        asker, asked, address, what = question
        wanted = expected.cells[asker, asked].get(what)
        got = (answered[question] or "").split(" ")[0] or None
        if got == wanted:
            return None
        family = FAMILIES[6 if ":" in address else 4]
        says = {None: "nothing", "echo": "it"}
        return f"{asker} asks {asked} ({family}, {what}): {says.get(got, got)} answers, not {says.get(wanted, wanted)}"

    answered = ask(machines, questions, 2)
    # On a busy machine an answer may take longer: what is missing is tried again, with time.
    if again := [question for question in questions if fault(question) and not answered[question]]:
        answered |= ask(machines, again, 6)
    faults = [text for question in questions if (text := fault(question))]
    for asker, asked, who in expected.seen:
        for address, wanted in zip(addresses[asked], addresses[who]):
            port = next(what for what in PORTS if expected.cells[asker, asked].get(what))
            got = (answered[asker, asked, address, port] or "nobody nobody").split(" ")[1]
            if got != wanted:
                faults.append(f"{asked} sees {asker} as {got}, not as {who} ({wanted})")
    return faults, len(questions)


def check_open(pairs, machines, addresses):
    """That each of these pairs reaches each other by tcp 8080. Returns faults."""
    questions = [(asker, asked, address, "8080") for asker, asked in pairs for address in addresses[asked]]
    answered = ask(machines, questions, 6)
    return [
        f"without rules, {asker} should reach {asked} at {address}"
        for asker, asked, address, what in questions
        if not answered[asker, asked, address, what]
    ]
