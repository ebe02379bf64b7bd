#!/usr/bin/env python3
"""Which functions of deskd and deskd-keeper run, and the order for the linker that follows from it.

    link-order.py trace DIR PROGRAM...   runs PROGRAM and everything that it starts, with a breakpoint at each function
                                         of deskd and deskd-keeper that is met once: a line `PHASE ADDRESS` for each in
                                         DIR/deskd.ran and DIR/keeper.ran. SIGUSR1 begins the next phase.
    link-order.py list DIR NAME          prints the symbols of the sections that ran, phase by phase

DIR has deskd and deskd-keeper, with deskd.map and keeper.map: what ld.lld wrote with `-Map` and `--no-demangle`. After what
ran comes what any path may run: small generic functions (`grow_one` of another type, the drop of what was not dropped), and what the C library has
for other processors (`evex` where `avx` ran). For x86-64.
"""
import bisect
import ctypes
import os
import re
import signal
import sys

SMALL_BYTES = 128
SMALL = re.compile(r"(?<![a-z_])(alloc|core|hashbrown)(\.\.|[0-9])|drop_in_place")
FOR_PROCESSORS = re.compile(r"^(__\w+?)_(sse|avx|evex)")
BINARIES = {"deskd": "deskd", "keeper": "deskd-keeper"}

# ptrace(2)
CONT, GETREGS, SETREGS, DETACH, SEIZE, LISTEN = 7, 12, 13, 17, 0x4206, 0x4208
# Forks, clones and executions are followed, and nobody outlives this program.
OPTIONS = 0x2 | 0x4 | 0x8 | 0x10 | 0x100000
EVENT_EXEC, EVENT_STOP = 4, 128
WALL = 0x40000000
# `struct user_regs_struct`: its words, and which of them is the instruction pointer.
REGISTERS, RIP = 27, 16
INT3 = 0xCC


def sections(path):
    """(address, bytes, name, [(address, symbol)]) of what .text is made of, sorted."""
    found, in_text = [], False
    with open(path) as lines:
        for line in lines:
            row = re.match(r"\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+\d+ (\s*)(.*)", line)
            if not row:
                continue
            address, size, indent, name = int(row[1], 16), int(row[2], 16), len(row[3]), row[4]
            if indent == 0:
                in_text = name.startswith(".text")
            elif in_text and indent < 12:
                found.append((address, size, name, []))
            elif in_text:
                found[-1][3].append((address, name))
    return sorted(found)


class Program:
    """One of the two binaries, and which of its functions ran in which phase."""

    def __init__(self, directory, name):
        self.path, self.bytes = f"{directory}/{name}", os.stat(f"{directory}/{BINARIES[name]}").st_size
        parts = [part for part in sections(f"{self.path}.map") if part[1]]
        self.entries = sorted({address for part in parts for address, _ in part[3]} | {part[0] for part in parts})
        self.known, self.text, self.ran = set(self.entries), b"", {}

    def watch(self, memory, base):
        """Puts a breakpoint at each function."""
        first, last = self.entries[0], self.entries[-1] + 1
        self.text = os.pread(memory, last - first, base + first)
        watched = bytearray(self.text)
        for address in self.entries:
            watched[address - first] = INT3
        os.pwrite(memory, watched, base + first)

    def original(self, address):
        at = address - self.entries[0]
        return self.text[at : at + 1]


class Tracer:
    def __init__(self, directory, argv):
        self.programs = [Program(directory, name) for name in BINARIES]
        self.phase, self.images = 1, {}
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.libc.ptrace.restype = ctypes.c_long
        reader, writer = os.pipe()
        self.root = os.fork()
        if self.root == 0:
            os.read(reader, 1)
            os.execvp(argv[0], argv)
        signal.signal(signal.SIGUSR1, self.next_phase)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(self.root, signal.SIGTERM))
        self.ptrace(SEIZE, self.root, 0, OPTIONS)
        os.write(writer, b".")

    def next_phase(self, *_):
        self.phase += 1

    def ptrace(self, request, pid, address, data):
        """One that is gone is no matter: its end is told."""
        return self.libc.ptrace(request, pid, address, data)

    def image(self, pid):
        """Which program a process runs, and where it lies."""
        if pid not in self.images:
            size = os.stat(f"/proc/{pid}/exe").st_size
            program = next((program for program in self.programs if program.bytes == size), None)
            exe = os.readlink(f"/proc/{pid}/exe")
            with open(f"/proc/{pid}/maps") as maps:
                own = (line for line in maps if line.rstrip("\n").endswith(exe))
                self.images[pid] = program, int(next(own, "0-").split("-")[0], 16)
        return self.images[pid]

    def write(self, pid, act):
        memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
        try:
            act(memory)
        finally:
            os.close(memory)

    def executed(self, pid):
        self.images.pop(pid, None)
        program, base = self.image(pid)
        if program is None:
            return self.ptrace(DETACH, pid, 0, 0)
        self.write(pid, lambda memory: program.watch(memory, base))
        return self.ptrace(CONT, pid, 0, 0)

    def trapped(self, pid):
        """At a breakpoint: it is taken away, and the function runs."""
        program, base = self.image(pid)
        registers = (ctypes.c_ulong * REGISTERS)()
        self.ptrace(GETREGS, pid, 0, ctypes.addressof(registers))
        address = registers[RIP] - 1 - base
        if program is None or address not in program.known:
            return self.ptrace(CONT, pid, 0, signal.SIGTRAP)
        program.ran.setdefault(address, self.phase)
        self.write(pid, lambda memory: os.pwrite(memory, program.original(address), base + address))
        registers[RIP] -= 1
        self.ptrace(SETREGS, pid, 0, ctypes.addressof(registers))
        return self.ptrace(CONT, pid, 0, 0)

    def run(self):
        while True:
            try:
                pid, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                break
            if not os.WIFSTOPPED(status):
                self.images.pop(pid, None)
                continue
            stop, event = os.WSTOPSIG(status), status >> 16
            try:
                if event == EVENT_EXEC:
                    self.executed(pid)
                elif event == EVENT_STOP and stop != signal.SIGTRAP:
                    self.ptrace(LISTEN, pid, 0, 0)
                elif event:
                    self.ptrace(CONT, pid, 0, 0)
                elif stop == signal.SIGTRAP:
                    self.trapped(pid)
                else:
                    self.ptrace(CONT, pid, 0, stop)
            except (FileNotFoundError, ProcessLookupError):
                pass  # It was killed meanwhile.
        for program in self.programs:
            with open(f"{program.path}.ran", "a") as file:
                file.writelines(f"{phase} {address:x}\n" for address, phase in program.ran.items())


def symbol(part):
    """Of a part; a function's own section bears its name, those of the C library do not."""
    _, _, name, symbols = part
    names = [name for _, name in symbols]
    own = re.search(r":\(\.text\.(?:unlikely\.|hot\.|startup\.)?([^)]+)\)$", name)
    if own and (own[1] in names or not names):
        return own[1]
    return names[0] if names else ""


def with_copies(parts):
    """The name of each part. Of a function that there is more than once all but one have a number at the end, and
    any change elsewhere gives the numbers anew: `NAME.*` is all of them."""
    names = [symbol(part) for part in parts]
    bare = [re.sub(r"\.[0-9]+$", "", name) for name in names]
    copied = {short for name, short in zip(names, bare) if short != name}
    return [f"{name}.*" if name in copied else name for name in bare]


def for_processors(part):
    """What a function of the C library does that there is for several kinds of processor."""
    return {found[1] for _, name in part[3] if (found := FOR_PROCESSORS.match(name))}


def print_list(path):
    parts = sections(f"{path}.map")
    starts = [part[0] for part in parts]
    ran = {}
    with open(f"{path}.ran") as lines:
        for line in lines:
            phase, address = line.split()
            at = bisect.bisect_right(starts, int(address, 16)) - 1
            ran[at] = min(int(phase), ran.get(at, int(phase)))
    names, ran_for = with_copies(parts), set().union(*(for_processors(parts[at]) for at in ran))
    listed = [names[at] for at in sorted(ran, key=lambda at: (ran[at], at))]
    for at, part in enumerate(parts):
        is_small = part[1] <= SMALL_BYTES and SMALL.search(names[at])
        if at not in ran and (is_small or for_processors(part) & ran_for):
            listed.append(names[at])
    print(*dict.fromkeys(name for name in listed if name), sep="\n")


if sys.argv[1] == "trace":
    Tracer(sys.argv[2], sys.argv[3:]).run()
else:
    print_list(f"{sys.argv[2]}/{sys.argv[3]}")
