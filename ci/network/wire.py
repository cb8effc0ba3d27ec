"""What runs within a namespace on raw frames.

wire.py send INTERFACE [N]    frames in hexadecimal digits, one a line, until standard input ends; N of them a second
wire.py capture INTERFACE     prints `null`, then, when standard input has ended, how often each marker came in
"""

import collections
import errno
import json
import re
import select
import socket
import sys
import time

# ETH_P_ALL.
ALL = 0x0003
# Of <asm-generic/socket.h>, which this version of Python may not name.
SO_RCVBUFFORCE = 33
MARKER = re.compile(rb"<<([a-z0-9-]+)>>")


def send(link, a_second=None):
    start = time.monotonic()
    for number, line in enumerate(sys.stdin):
        if a_second:
            time.sleep(max(0, start + number / int(a_second) - time.monotonic()))
        try:
            link.send(bytes.fromhex(line))
        except OSError as error:
            # What the rules of the port refuse, the kernel reports so.
            if error.errno != errno.ENOBUFS:
                raise


def capture(link):
    seen = collections.Counter()
    print(json.dumps(None), flush=True)
    end = None
    # What is on its way when input ends still has time to come in.
    while end is None or time.monotonic() < end:
        ready, _, _ = select.select([link] if end else [link, sys.stdin], [], [], 0.1)
        if link in ready:
            frame, (_, _, direction, *_) = link.recvfrom(65535)
            if direction != socket.PACKET_OUTGOING:
                seen.update(name.decode() for name in MARKER.findall(frame))
        elif ready:
            sys.stdin.read()
            end = time.monotonic() + 0.5
    print(json.dumps(seen))


def main():
    task, interface, *more = sys.argv[1:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as link:
        link.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        # With a protocol, frames come in from here on.
        link.bind((interface, ALL if task == "capture" else 0))
        {"send": send, "capture": capture}[task](link, *more)


main()
