"""What runs within a namespace: listeners that say who they are, and the one that tries them. Standard input and output
are JSON.

    traffic.py listen NAME PORT...    until standard input ends; prints `null` when it listens
    traffic.py try SECONDS            [[address, "80" or "ping"], ...] -> [answer or null, ...]
    traffic.py go-on ADDRESS PORT     a connection every 50 ms until standard input ends -> [made, failed]
    traffic.py echo PORT              says what it hears, until standard input ends; prints `null` when it listens
    traffic.py talk ADDRESS PORT      one connection to that: for each line of standard input, whether an answer comes within 2 s
    traffic.py keep PORT              takes connections and says nothing, until standard input ends; prints `null` when it listens
    traffic.py hold ADDRESS PORT COUNT [SOURCE...]
                                      opens COUNT connections, from each of these addresses, and says nothing; prints how many
                                      are open, and keeps them until standard input ends
"""

import asyncio
import json
import os
import resource
import socket
import struct
import sys


async def listen(name, ports):
    async def answer(_, writer):
        # Who it is, and who it was asked by.
        peer = writer.get_extra_info("peername")[0].removeprefix("::ffff:")
        writer.write(f"{name} {peer}\n".encode())
        try:
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError:
            pass

    servers = []
    for port in ports:
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            servers.append(await asyncio.start_server(answer, address, int(port), family=family, backlog=1024))
    print(json.dumps(None), flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def connect(address, port, seconds):
    """What the listener says, or nothing."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(address, int(port))
            line = await reader.readline()
            writer.close()
            return line.decode().strip() or None
    except OSError:
        return None


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


async def ping(address, number, seconds):
    """Whether this very request is answered by this very address. Asks thrice, as the first may wait for a neighbour."""
    is_v6 = ":" in address
    request, reply = (128, 129) if is_v6 else (8, 0)
    identity = (os.getpid() + number) & 0xFFFF
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if is_v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_RAW, protocol) as link:
        link.setblocking(False)
        body = struct.pack("!BBHHH", request, 0, 0, identity, number) + b"portadc!"
        # The kernel fills that of ICMPv6 in.
        body = body[:2] + struct.pack("!H", 0 if is_v6 else checksum(body)) + body[4:]

        async def ask():
            while True:
                try:
                    await loop.sock_sendto(link, body, (address, 0))
                except OSError:
                    pass
                await asyncio.sleep(seconds / 3)

        asking = asyncio.create_task(ask())
        try:
            async with asyncio.timeout(seconds):
                while True:
                    packet, source = await loop.sock_recvfrom(link, 2048)
                    message = packet if is_v6 else packet[(packet[0] & 15) * 4 :]
                    kind, _, _, answered, sequence = struct.unpack("!BBHHH", message[:8])
                    if (kind, answered, sequence, source[0]) == (reply, identity, number, address):
                        return "echo"
        except OSError:
            return None
        finally:
            asking.cancel()


async def attempt(questions, seconds):
    waiting = []
    for number, (address, what) in enumerate(questions):
        waiting.append(ping(address, number, seconds) if what == "ping" else connect(address, what, seconds))
    return await asyncio.gather(*waiting)


async def go_on(address, port):
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    made = failed = 0
    while not ended.done():
        if await connect(address, port, 5):
            made += 1
        else:
            failed += 1
        await asyncio.sleep(0.05)
    return made, failed


async def echo(port):
    async def answer(reader, writer):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()

    server = await asyncio.start_server(answer, "0.0.0.0", int(port))
    print(json.dumps(None), flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


async def talk(address, port):
    async with asyncio.timeout(6):
        reader, writer = await asyncio.open_connection(address, int(port))
    while line := await asyncio.to_thread(sys.stdin.readline):
        writer.write(line.encode())
        try:
            async with asyncio.timeout(2):
                heard = await reader.readline() == line.encode()
        except OSError:
            heard = False
        print(json.dumps(heard), flush=True)


def many_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))


async def keep(port):
    many_files()
    # Whoever is not remembered here is forgotten by asyncio, which closes the connection.
    kept = []

    async def take(*streams):
        kept.append(streams)

    servers = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        servers.append(await asyncio.start_server(take, address, int(port), family=family, backlog=4096))
    print(json.dumps(None), flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def hold(address, port, count, sources):
    many_files()

    async def opened(source):
        try:
            async with asyncio.timeout(3):
                return await asyncio.open_connection(address, int(port), local_addr=(source, 0) if source else None)
        except OSError:
            return None

    async def stays_open(link):
        """Some are closed as soon as they were taken, others with a word of why."""
        try:
            async with asyncio.timeout(1):
                while await link[0].read(4096):
                    pass
        except TimeoutError:
            return True
        except OSError:
            pass
        return False

    links = await asyncio.gather(*(opened(source) for source in sources or [None] for _ in range(int(count))))
    is_open = await asyncio.gather(*(stays_open(link) for link in links if link))
    print(json.dumps(sum(is_open)), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main():
    match sys.argv[1:]:
        case ["listen", name, *ports]:
            asyncio.run(listen(name, ports))
        case ["try", seconds]:
            print(json.dumps(asyncio.run(attempt(json.load(sys.stdin), float(seconds)))))
        case ["go-on", address, port]:
            print(json.dumps(asyncio.run(go_on(address, port))))
        case ["echo", port]:
            asyncio.run(echo(port))
        case ["talk", address, port]:
            asyncio.run(talk(address, port))
        case ["keep", port]:
            asyncio.run(keep(port))
        case ["hold", address, port, count, *sources]:
            asyncio.run(hold(address, port, count, sources))


main()
