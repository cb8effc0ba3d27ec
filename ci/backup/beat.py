"""What runs in a container: a web server of /srv that counts on in a file, where it ended last time.

Told to end, it takes a moment, as a system does that stops its services.

Each number is in the file before the next request is answered, so a number that a client has seen and the file has not
is data that was lost."""

import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer

root = Path(sys.argv[1])
# Open for as long as the container runs.
beats = open(root / "srv/beats", "a+")  # noqa: SIM115
beats.seek(0)
last = len(beats.readlines())
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global last
        with lock:
            last += 1
            beats.write(f"{last}\n")
            beats.flush()
            answer = str(last).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


# An HTTPServer would ask for the name of its address first, of which nobody here knows one, and wait for that.
class Server(ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


def end(*_):
    time.sleep(0.3)
    with lock:
        os._exit(0)


signal.signal(signal.SIGTERM, end)
os.chdir("/")
Server(("::", 80), Handler).serve_forever()
