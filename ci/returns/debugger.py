"""As much of GDB's remote protocol as it takes to have a processor of QEMU do something else."""

import socket
import struct
from contextlib import contextmanager

# Where they are among the registers that QEMU sends of an AArch64 processor: x0 to x30 and the stack pointer come before.
PC, PSTATE = slice(256, 264), slice(264, 268)
# No interrupt, no system error, no debug exception.
MASKED = 0x3C0
# `b .`
LOOP = struct.pack("<I", 0x14000000)


class Debugger:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.received = b""
        # That the machine stands still now is said unasked.
        answer = self.ask("qC")
        while not answer.startswith("QC"):
            answer = self.packet()

    def byte(self):
        if not self.received:
            self.received = self.socket.recv(65536)
            if not self.received:
                raise ConnectionError("QEMU closed the debugger's connection")
        first, self.received = self.received[:1], self.received[1:]
        return first

    def ask(self, text):
        """What QEMU answers to a packet."""
        self.socket.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())
        return self.packet()

    def packet(self):
        while self.byte() != b"$":
            pass
        answer = b""
        while (byte := self.byte()) != b"#":
            answer += byte
        self.byte()
        self.byte()
        self.socket.sendall(b"+")
        return answer.decode()

    def order(self, text):
        if (answer := self.ask(text)) != "OK":
            raise RuntimeError(f"QEMU answers {answer!r} to {text[:20]}")

    def processors(self):
        answer = self.ask("qfThreadInfo")
        listed = []
        while answer.startswith("m"):
            listed += answer[1:].split(",")
            answer = self.ask("qsThreadInfo")
        return listed

    def registers(self, processor):
        self.order(f"Hg{processor}")
        return bytearray.fromhex(self.ask("g"))

    def set_registers(self, processor, registers):
        self.order(f"Hg{processor}")
        self.order(f"G{registers.hex()}")


@contextmanager
def stopped(path):
    """The machine stands still, and goes on from what was made of it."""
    debugger = Debugger(path)
    try:
        yield debugger
        debugger.order("D")
    finally:
        debugger.socket.close()


def hang(path):
    """Each processor stays where it is, deaf to interrupts: what a hang of the whole machine is."""
    with stopped(path) as debugger:
        for processor in debugger.processors():
            registers = debugger.registers(processor)
            (pc,) = struct.unpack("<Q", registers[PC])
            (pstate,) = struct.unpack("<I", registers[PSTATE])
            registers[PSTATE] = struct.pack("<I", pstate | MASKED)
            debugger.set_registers(processor, registers)
            debugger.order(f"M{pc:x},4:{LOOP.hex()}")


def derail(path):
    """One processor that is in the kernel, on behalf of a program, goes on at address 0. Whether one was."""
    with stopped(path) as debugger:
        for processor in debugger.processors():
            registers = debugger.registers(processor)
            (pstate,) = struct.unpack("<I", registers[PSTATE])
            # EL1 with its own stack, interrupts open: no handler of one, and not the way in or out.
            if pstate & 0xF == 5 and not pstate & MASKED:
                registers[PC] = bytes(8)
                debugger.set_registers(processor, registers)
                return True
    return False
