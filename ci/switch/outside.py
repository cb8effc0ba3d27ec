"""What answers outside: the services that the fleet publishes, and what utilite itself has there."""

import ssl

# What of utilite itself anybody reaches, and how it begins: its rules take whoever gets through to it.
OWN = {22: "SSH-2.0-"}
# Ports that are tried: those that need rights, and what is often found open, or is something of ours that must not be.
TRIED = [
    *range(1, 1025),
    *(1080, 1194, 1433, 1883, 2049, 2375, 3128, 3260, 3306, 3389, 4444, 4447, 5000, 5201, 5353, 5355, 5432, 5666, 5672),
    *(5900, 6379, 6443, 6667, 6668, 6697, 7070, 7656, 8000, 8080, 8404, 8443, 9000, 9050, 9090, 9100),
]


def http(host):
    """A request in hexadecimal digits."""
    return f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode().hex()


def client_hello(host):
    """The first thing that a client of TLS says, by which it names the host."""
    outgoing = ssl.MemoryBIO()
    link = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    try:
        link.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read().hex()


def published(fleet):
    """The public port of each TCP service, what to say there first, and the container that answers."""
    for service in fleet["services"].values():
        if service.get("protocol", "tcp") != "tcp":
            continue
        container = service["container"]
        if "public" in service:
            yield service["public"], http("anybody"), container
        for host in service.get("hostnames", []):
            if service.get("tls"):
                yield 443, client_hello(host), container
            else:
                yield 80, http(host), container


def check(fleet, addresses, ask):
    """Tries the published services and all other ports at each of utilite's outer `addresses`. `ask` is that of a machine on
    the internet. Returns faults and a text."""
    services = list(published(fleet))
    questions, wanted = [], []
    for address in addresses:
        for port, what, container in services:
            questions.append(f"{address},{port},{what}")
            wanted.append((f"{container} ", f"{container} answers"))
        for port in TRIED:
            if port in {port for port, *_ in services}:
                continue
            questions.append(f"{address},{port},{http('anybody')}")
            own = OWN.get(port)
            wanted.append((own, "utilite answers") if own else (("-", "refused"), "nobody answers"))
    faults = []
    for question, answer, (start, says) in zip(questions, ask(questions), wanted):
        if not answer.startswith(start):
            address, port, _ = question.split(",")
            faults.append(f"internet asks {address} port {port}: {answer!r}, where {says}")
    closed = sum(says == "nobody answers" for _, says in wanted)
    names = ", ".join(f"{port} of {container}" for port, _, container in services)
    return faults, f"{names} and {', '.join(map(str, OWN))} of utilite answer to the internet; {closed} other ports do not"
