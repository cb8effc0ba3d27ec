"""haproxy at work on utilite, with the node's own settings, in front of servers in the containers."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from namespaces import HERE, wait_for

# As the unit runs it.
PORTS = "-all,+net_bind_service"
FILES = 16384
AS_HAPROXY = (
    *("setpriv", "--reuid=haproxy", "--regid=haproxy", "--clear-groups"),
    *(f"--inh-caps={PORTS}", f"--ambient-caps={PORTS}", f"--bounding-set={PORTS}"),
)


class Service:
    """A service of haproxy.cfg: `kind` (http, tls, tls-proxy, tcp), host names, the port by which it is reached, and the
    container's addresses and port."""

    def __init__(self, name, lines, hosts, public):
        servers = [re.match(r"server ipv[46] \[?([^]]+?)]?:(\d+)( send-proxy-v2)?(?: backup)?$", line) for line in lines]
        servers = [server for server in servers if server]
        self.name, self.hosts, self.public = name, hosts, public
        self.addresses = {server[1] for server in servers}
        self.port = servers[0][2]
        self.kind = name.split("-")[0] + ("-proxy" if servers[0][3] else "")

    @property
    def spoken(self):
        """What its container speaks. To haproxy, TCP is anything."""
        return self.kind.replace("tcp", "http")

    def question(self, address, host=None):
        # Who asks knows nothing of the PROXY protocol.
        return [self.spoken.split("-")[0], address, self.public, host or self.hosts[0]]


def services(path):
    """What haproxy.cfg has."""
    sections, hosts, lines = {}, {}, []
    for line in path.read_text().splitlines():
        if matched := re.match(r"(?:backend|listen|frontend) (\S+)$", line):
            lines = sections[matched[1]] = []
        elif line.startswith("    "):
            lines.append(line.strip())
            if matched := re.match(r"use_backend (\S+) if .* -i (.+) \}$", line.strip()):
                hosts[matched[1]] = matched[2].split()
    publics = {name: re.search(r"bind :(\d+)", "\n".join(lines)) for name, lines in sections.items()}
    found = []
    for name, lines in sections.items():
        if any(line.startswith("server ") for line in lines):
            public = publics[name] or publics[name.split("-")[0]]
            found.append(Service(name, lines, hosts.get(name, ["any"]), public[1]))
    kinds = [service.kind for service in found]
    for kind, least in (("http", 2), ("tls", 1), ("tls-proxy", 1), ("tcp", 1)):
        if kinds.count(kind) < least:
            raise ValueError(f"{path.name} has fewer than {least} services of the kind {kind}: nothing to check")
    return found


class Servers:
    """What the containers serve, with each family a process of its own."""

    def __init__(self, certificate):
        self.certificate, self.running = certificate, {}

    def start(self, name, container, kinds, family):
        places = [f"{kind}:{port}:{family}" for kind, port in kinds]
        command = container.command(sys.executable, "-B", HERE / "web.py", "serve", name, self.certificate, *places)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        self.running[name, family] = process

    def stop(self, name, family):
        process = self.running.pop((name, family))
        process.kill()
        process.wait()

    def stop_all(self):
        for name, family in list(self.running):
            self.stop(name, family)


def spoken(service, found):
    """What a container speaks: the last of those that serve HTTP knows no HEAD."""
    knows_no_head = service is [other for other in found if other.kind == "http"][-1]
    return "http-get" if knows_no_head else service.spoken


def ask(machine, certificate, questions, seconds=6):
    text = machine.run(sys.executable, "-B", HERE / "web.py", "ask", certificate, str(seconds), text=json.dumps(questions))
    return json.loads(text)


@contextmanager
def haproxy(node, found, log, *options):
    """haproxy with the node's settings, listening; it and its workers end with the block."""
    node.within("install", "-d", "-o", "haproxy", "/run/haproxy")
    node.within("haproxy", "-c", "-q", "-f", "/etc/haproxy/haproxy.cfg")
    with open(log, "w") as output:
        command = ("prlimit", f"--nofile={FILES}", *AS_HAPROXY, "haproxy", *options, "-f", "/etc/haproxy/haproxy.cfg")
        process = node.start_within(*command, log=output)
    ports = {service.public for service in found}

    def listens():
        if process.poll() is not None:
            raise RuntimeError(f"haproxy ended: {log.read_text()}")
        listening = node.run("ss", "-Hltn")
        return all(f":{port} " in listening for port in ports)

    try:
        wait_for("haproxy at its ports", listens)
        yield process
    finally:
        if process.poll() is None:
            for worker in workers(process.pid):
                os.kill(worker, signal.SIGKILL)
            process.kill()
            process.wait()


def workers(pid):
    """The processes that a process called."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
