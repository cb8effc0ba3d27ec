"""What runs within a namespace for HTTP and TLS: servers that say who they are, and the one that asks them. Standard
output is JSON.

    web.py serve NAME CERTIFICATE KIND:PORT:FAMILY...
                             until standard input ends; prints `null` when it listens. KIND is http, http-get, which knows no
                             HEAD, tls, or tls-proxy, which wants to be told by the PROXY protocol who asks; FAMILY is 4 or 6
    web.py ask CERTIFICATE SECONDS
                             [[KIND, address, port, host name], ...] -> [[status, name, who asked, family] or null, ...]

CERTIFICATE has the servers' key, too. Who asks claims to ask for somebody else, which no server should believe.
"""

import asyncio
import ipaddress
import json
import socket
import ssl
import sys

CLAIMED = "10.66.66.66"
FAMILIES = {"4": (socket.AF_INET, "0.0.0.0"), "6": (socket.AF_INET6, "::")}


async def read_head(reader):
    """The first line of a message and its fields, by names in lower case."""
    line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    return line, {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}


class Encrypted:
    """TLS, the server's side, behind what was already read of a connection."""

    def __init__(self, context, reader, writer):
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.link = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    async def do(self, step, *arguments):
        """Goes on with `step` until it is done, with what comes in meanwhile."""
        while True:
            try:
                return step(*arguments)
            except ssl.SSLWantReadError:
                self.writer.write(self.outgoing.read())
                if not (data := await self.reader.read(65536)):
                    raise ConnectionError from None
                self.incoming.write(data)
            finally:
                self.writer.write(self.outgoing.read())

    async def readuntil(self, end):
        data = b""
        while end not in data:
            data += await self.do(self.link.read, 65536)
        return data

    def write(self, data):
        self.link.write(data)
        self.writer.write(self.outgoing.read())


async def read_proxy(reader):
    """Who asks, as a header of the PROXY protocol, version 2, says; nobody, where haproxy asks on its own behalf."""
    header = await reader.readexactly(16)
    if header[:12] != b"\r\n\r\n\0\r\nQUIT\n":
        raise ValueError("no PROXY protocol")
    body = await reader.readexactly(int.from_bytes(header[14:16], "big"))
    if header[12] & 15 == 0:
        return None
    return str(ipaddress.ip_address(body[: 16 if header[13] >> 4 == 2 else 4]))


async def serve(name, certificate, *places):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def answers(kind, family):
        async def answer(reader, writer):
            try:
                asker = writer.get_extra_info("peername")[0]
                if kind == "tls-proxy":
                    asker = await read_proxy(reader)
                source = sink = Encrypted(context, reader, writer)
                if kind.startswith("http"):
                    source, sink = reader, writer
                else:
                    await source.do(source.link.do_handshake)
                line, fields = await read_head(source)
                if kind.startswith("http"):
                    asker = fields.get("x-forwarded-for")
                is_head = line.startswith("HEAD")
                status = "501 Not Implemented" if is_head and kind == "http-get" else "200 OK"
                body = "" if is_head else f"{name} {asker} {family}"
                sink.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
                await writer.drain()
            except (OSError, ValueError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        return answer

    servers = []
    for place in places:
        kind, port, family = place.split(":")
        kind_of_socket, address = FAMILIES[family]
        servers.append(await asyncio.start_server(answers(kind, family), address, int(port), family=kind_of_socket))
    print(json.dumps(None), flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def ask_one(context, seconds, kind, address, port, host):
    encrypted = {} if kind == "http" else {"ssl": context, "server_hostname": host}
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(address, int(port), **encrypted)
            fields = f"Host: {host}\r\nX-Forwarded-For: {CLAIMED}\r\nConnection: close\r\n"
            writer.write(f"GET / HTTP/1.1\r\n{fields}\r\n".encode())
            line, _ = await read_head(reader)
            status = int(line.split(" ")[1])
            body = (await reader.read()).decode() if status == 200 else ""
            writer.close()
            return [status, *(body.split(" ") if body else (None, None, None))]
    except (OSError, asyncio.IncompleteReadError):
        return None


async def ask(certificate, seconds):
    # Whoever decrypts has to have the servers' key.
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    questions = json.load(sys.stdin)
    return await asyncio.gather(*(ask_one(context, float(seconds), *question) for question in questions))


def main():
    match sys.argv[1:]:
        case ["serve", name, certificate, *places]:
            asyncio.run(serve(name, certificate, *places))
        case ["ask", certificate, seconds]:
            print(json.dumps(asyncio.run(ask(certificate, seconds))))


main()
