#!/usr/bin/env python3
"""Prints the symbols of the sections that traces ran, trace by trace: link-order.py MAP TRACE...

After them come the small generic functions that no trace ran: `grow_one` of another type, the drop of what
was not dropped. Any path may run one of them, and each brings 64 KiB of what lies around it. With them comes
what valgrind cannot run, since it knows neither Landlock nor the SHA instructions, and what the C library has for
processors that valgrind does not know (`evex` where the trace has `avx`).

MAP is what ld.lld wrote with `-Map` and `--no-demangle`, a TRACE what callgrind wrote with
`--dump-instr=yes`: its addresses are those of the file.
"""
import bisect
import re
import sys

SMALL_BYTES = 128
SMALL = re.compile(r"(?<![a-z_])(alloc|core|hashbrown)(\.\.|[0-9])|drop_in_place")
NOT_TRACED = re.compile(r"deskd_core4(wall|text)|x86_sha|5slice4sort|5btree4node|drop_slow|4mpmc|shrink_unchecked")
FOR_PROCESSORS = re.compile(r"^(__\w+?)_(sse|avx|evex)")


def sections(path):
    """(address, bytes, name, symbols) of what .text is made of, sorted."""
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
                found[-1][3].append(name)
    return sorted(found)


def addresses(path):
    """Of the instructions that ran. Callgrind writes most of them as a difference to the last."""
    ran, at = set(), 0
    with open(path) as lines:
        for line in lines:
            row = re.match(r"(?:0x([0-9a-f]+)|\+(\d+)|-(\d+)|\*) ", line)
            if not row:
                continue
            if row[1]:
                at = int(row[1], 16)
            else:
                at += int(row[2] or 0) - int(row[3] or 0)
            ran.add(at)
    return ran


def symbol(part):
    """Of a part; a function's own section bears its name, those of the C library do not."""
    _, _, name, symbols = part
    own = re.search(r":\(\.text\.(?:unlikely\.|hot\.|startup\.)?([^)]+)\)$", name)
    if own and (own[1] in symbols or not symbols):
        return own[1]
    return symbols[0] if symbols else ""


def with_copies(parts):
    """The name of each part. Of a function that there is more than once all but one have a number at the end, and
    any change elsewhere gives the numbers anew: `NAME.*` is all of them."""
    names = [symbol(part) for part in parts]
    bare = [re.sub(r"\.[0-9]+$", "", name) for name in names]
    copied = {short for name, short in zip(names, bare) if short != name}
    return [f"{name}.*" if name in copied else name for name in bare]


def for_processors(part):
    """What a function of the C library does that there is for several kinds of processor."""
    return {found[1] for found in map(FOR_PROCESSORS.match, part[3]) if found}


def is_called_anywhere(part):
    """Whether a part that was not run lies with those that were."""
    name = symbol(part)
    return NOT_TRACED.search(name) or part[1] <= SMALL_BYTES and SMALL.search(name)


def main():
    parts = sections(sys.argv[1])
    starts = [part[0] for part in parts]
    names, known, listed = with_copies(parts), set(), {}
    for trace in sys.argv[2:]:
        ran = set()
        for address in addresses(trace):
            at = bisect.bisect_right(starts, address) - 1
            if at >= 0 and address < parts[at][0] + parts[at][1]:
                ran.add(at)
        for at in sorted(ran - known):
            listed[names[at]] = True
        known |= ran
    ran_for = set().union(*(for_processors(parts[at]) for at in known))
    for at, part in enumerate(parts):
        if at not in known and (is_called_anywhere(part) or for_processors(part) & ran_for):
            listed[names[at]] = True
    print(*listed, sep="\n")


main()
