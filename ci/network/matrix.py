"""Reachability: reachability.txt, and how machines are asked."""

import json
import re

PORTS = ["22", "80", "8080", "6667"]
TRIED = [*PORTS, "ping"]


class Expected:
    """reachability.txt: `cells` has, for each asker and asked, who answers to what; `seen` has triples of names."""

    def __init__(self, path):
        self.cells, self.seen, self.rows = {}, [], []
        self.columns = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.name}:{number}"
            if line.startswith("seen "):
                matched = re.fullmatch(r"seen (\S+) +at (\S+) +as (\S+)", line)
                if not matched:
                    raise ValueError(f"{where}: not `seen X at Y as Z`")
                self.seen.append(matched.groups())
            elif "|" in line:
                name, *cells = (cell.strip() for cell in line.split("|"))
                if self.columns is None:
                    self.columns = cells
                    continue
                if len(cells) != len(self.columns):
                    raise ValueError(f"{where}: {len(cells)} cells in a table of {len(self.columns)} columns")
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
            raise ValueError(f"{where}: {word!r} is none of all, {', '.join(TRIED)}")
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
            raise RuntimeError("a machine could not ask")
        answered |= dict(zip(asked, json.loads(text)))
    return answered
