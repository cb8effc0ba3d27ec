"""haproxy and i2pd at work on utilite, with the node's own settings, in front of servers in the containers."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import time

from namespaces import HERE, run, wait_for

# An Ed25519 private key, but for its 32 bytes: RFC 8410 in DER.
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")


# As the units run them.
AS_I2PD = ("setpriv", "--reuid=i2pd", "--regid=i2pd", "--clear-groups", "--bounding-set=-all")
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
            sys.exit(f"error: {path.name} has fewer than {least} services of the kind {kind}: nothing to judge")
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


def spoken(service, found):
    """What a container speaks: the last of those that serve HTTP knows no HEAD."""
    knows_no_head = service is [other for other in found if other.kind == "http"][-1]
    return "http-get" if knows_no_head else service.spoken


def ask(machine, certificate, questions, seconds=6):
    text = machine.run(sys.executable, "-B", HERE / "web.py", "ask", certificate, str(seconds), text=json.dumps(questions))
    return json.loads(text)


def seen_as(name, address, addresses):
    """The address under which utilite sees who asks."""
    name = {"home-pc": "toc-up"}.get(name, name)
    return addresses[name][":" in address]


def start_haproxy(node, found, log, *options):
    """haproxy with the node's settings, once it listens."""
    node.within("install", "-d", "-o", "haproxy", "/run/haproxy")
    node.within("haproxy", "-c", "-q", "-f", "/etc/haproxy/haproxy.cfg")
    with open(log, "w") as output:
        command = ("prlimit", f"--nofile={FILES}", *AS_HAPROXY, "haproxy", *options, "-f", "/etc/haproxy/haproxy.cfg")
        haproxy = node.start_within(*command, log=output)
    ports = {service.public for service in found}

    def listens():
        if haproxy.poll() is not None:
            sys.exit(f"error: haproxy ended: {log.read_text()}")
        listening = node.run("ss", "-Hltn")
        return all(f":{port} " in listening for port in ports)

    wait_for("haproxy at its ports", listens)
    return haproxy


def check(node, machines, addresses, work):
    """haproxy. Returns faults and a text."""
    certificate = work / "containers.pem"
    subject = ["-subj", "/CN=containers", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    run("openssl", "req", "-x509", *subject, "-keyout", certificate, "-out", work / "certificate.pem")
    certificate.write_text(certificate.read_text() + (work / "certificate.pem").read_text())
    found = services(node.folder / "etc/haproxy/haproxy.cfg")
    owner = {address: name for name in machines for address in addresses[name]}
    owners = {service.name: owner[next(iter(service.addresses))] for service in found}

    servers = Servers(certificate)
    kinds = {}
    for service in found:
        kinds.setdefault(owners[service.name], set()).add((spoken(service, found), service.port))
    for name, of in kinds.items():
        for family in "46":
            servers.start(name, machines[name], of, family)

    haproxy = start_haproxy(node, found, work / "haproxy.log", "-db")
    faults, tried = [], 0
    for asker in ("internet", "router", "home-pc"):
        questions = [
            (service, host, address) for service in found for host in service.hosts for address in addresses["utilite-up"]
        ]
        answers = ask(machines[asker], certificate, [service.question(at, host) for service, host, at in questions])
        for (service, host, address), answer in zip(questions, answers):
            tried += 1
            wanted = [200, owners[service.name], seen_as(asker, address, addresses), "6"]
            if answer and service.kind in ("tls", "tcp"):
                # haproxy asks, and nobody says for whom.
                answer[2] = wanted[2]
            if answer != wanted:
                faults.append(f"{asker} asks {service.name} ({host}) at {address}: {answer}, not {wanted}")

    of_http = [service for service in found if service.kind == "http"]
    of_tls = next(service for service in found if service.kind.startswith("tls"))
    at = addresses["utilite-up"][0]
    strange = ask(
        machines["internet"],
        certificate,
        [of_http[0].question(at, "nobody.example.net"), of_tls.question(at, "nobody.example.net")],
    )
    # The same name in other letters, with the dot of the root, with a port.
    host = of_http[0].hosts[0]
    spelt = [host.upper(), f"{host}.", f"{host.upper()}.:80"]
    for name, answer in zip(spelt, ask(machines["internet"], certificate, [of_http[0].question(at, name) for name in spelt])):
        if not answer or answer[:2] != [200, owners[of_http[0].name]]:
            faults.append(f"for {name}, {answer} was answered, not what {host} is")
    if not strange[0] or strange[0][0] != 421 or strange[1] is not None:
        faults.append(f"for names of nobody, {strange} was answered, not 421 and nothing")

    text = dying(servers, machines["internet"], certificate, of_http, owners, machines, kinds, at, faults)
    for name, family in list(servers.running):
        servers.stop(name, family)
    haproxy.kill()
    haproxy.wait()
    return faults, f"{tried} requests of {len(found)} services as they should be; {text}"


def dying(servers, asker, certificate, of_http, owners, machines, kinds, at, faults):
    """A container's IPv6, then all of it, stops answering, and it comes back."""
    dies = of_http[0]
    name = owners[dies.name]
    other = next((service for service in of_http if owners[service.name] != name), None)
    if other is None:
        sys.exit("error: no two containers serve HTTP: nothing to judge")

    def until(wanted, seconds=15):
        """How long it takes, and what came meanwhile that was neither the old answer nor the new one."""
        start, others = time.monotonic(), []
        while True:
            answer = ask(asker, certificate, [dies.question(at)], 8)[0]
            if answer and wanted(answer):
                return time.monotonic() - start, others
            others.append(answer)
            if time.monotonic() - start > seconds:
                faults.append(f"{name} changed, but {dies.name} still answers {answer}")
                return seconds, others

    servers.stop(name, "6")
    over, lost = until(lambda answer: answer[0] == 200 and answer[3] == "4")
    if lost:
        faults.append(f"when IPv6 of {name} died, {len(lost)} requests were not answered: {lost[0]}")
    servers.stop(name, "4")
    gone, _ = until(lambda answer: answer[0] == 503)
    # Taken out: nobody waits for it any more.
    time.sleep(3)
    # On a busy machine, also one that is there takes a while to be asked.
    start = time.monotonic()
    ask(asker, certificate, [other.question(at)])
    usual = time.monotonic() - start
    start = time.monotonic()
    answers = ask(asker, certificate, [dies.question(at), other.question(at)])
    waited = max(0, time.monotonic() - start - usual)
    if not answers[0] or answers[0][0] != 503 or waited > 1.5:
        faults.append(f"{waited:.1f} s after a request to {name}, which is down: {answers[0]}, not 503 at once")
    if not answers[1] or answers[1][:2] != [200, owners[other.name]]:
        faults.append(f"with {name} down, {other.name} answers {answers[1]}")
    for family in "46":
        servers.start(name, machines[name], kinds[name], family)
    back, _ = until(lambda answer: answer[0] == 200 and answer[3] == "6", 30)
    return f"IPv4 stands in after {over:.1f} s, a dead container is out after {gone:.1f} s, back after {back:.1f} s"


def check_i2p(node, work):
    """The keys, and i2pd with them. Returns faults and how many addresses there are."""
    keys = [line.split() for line in (node.folder / "etc/portadc/i2p-keys").read_text().splitlines()]
    if not keys:
        sys.exit("error: no service has an address of I2P: nothing to judge")
    faults = []
    for service, address, text in keys:
        content = base64.b64decode(text, validate=True)
        destination, seed = content[:391], content[647:]
        name = base64.b32encode(hashlib.sha256(destination).digest()).decode().rstrip("=").lower()
        if f"{name}.b32.i2p" != address:
            faults.append(f"the address of {service} is {name}.b32.i2p, not {address}")
        public = subprocess.run(
            ["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"],
            input=PKCS8 + seed,
            capture_output=True,
            check=True,
        ).stdout[-32:]
        if destination[352:384] != public:
            faults.append(f"the public key of {service} is not that of its private key")

    node.within("install", "-d", "-o", "i2pd", "/run/i2pd")
    node.within("/usr/lib/portadc/i2p-keys", "/etc/portadc/i2p-keys", "/run/i2pd")
    wrong = work / "i2p-keys"
    service, address, text = keys[0]
    wrong.write_text(f"{service} {address} {'B' if text[0] == 'A' else 'A'}{text[1:]}\n")
    (work / "keys").mkdir()
    if subprocess.run([node.folder / "usr/lib/portadc/i2p-keys", wrong, work / "keys"], capture_output=True).returncode == 0:
        faults.append("i2p-keys takes a key that is of another address")

    log = work / "i2pd.log"
    options = ["--datadir=/run/i2pd", "--conf=/etc/i2pd/i2pd.conf", "--tunconf=/etc/i2pd/tunnels.conf"]
    with open(log, "w") as output:
        # Nobody is there whom it could ask for routers.
        i2pd = node.start_within(*AS_I2PD, "i2pd", *options, "--loglevel=info", "--reseed.threshold=0", log=output)

    def made():
        if i2pd.poll() is not None:
            sys.exit(f"error: i2pd ended: {log.read_text()}")
        return re.search(r"Clients: (\d+) I2P server tunnels created", log.read_text())

    count = int(wait_for("tunnels of i2pd", made)[1])
    text = log.read_text()
    i2pd.kill()
    i2pd.wait()
    loaded = set(re.findall(r"Clients: Local address (\S+) loaded", text))
    if loaded != {address for _, address, _ in keys} or count != len(keys):
        faults.append(f"i2pd serves {count} tunnels, at {', '.join(sorted(loaded))}")
    for line in text.splitlines():
        if "New private keys file" in line or "Older EdDSA" in line:
            faults.append(f"i2pd: {line}")
    return faults, len(keys)
