"""participant: the Python side of turns.hpp. Words from a named pipe, answers as lines of JSON."""

import json
import os
import sys
import time


def rank():
    return int(os.environ.get("RANK", "0"))


def world_size():
    return int(os.environ.get("WORLD_SIZE", "1"))


def serve(act):
    """`act(word)` returns what to answer. What it raises is the answer too, and ends this rank."""
    folder = os.environ["ZERO_PEERS_TURNS"]
    with open(os.path.join(folder, f"rank-{rank()}"), encoding="utf-8") as words, \
            open(os.path.join(folder, "answers"), "w", encoding="utf-8") as answers:

        def answer(what):
            answers.write(json.dumps({"rank": rank(), **what}) + "\n")
            answers.flush()

        answer({"ready": True})
        for word in words:
            try:
                answer(act(word.strip()))
            except Exception as problem:  # the other side must hear of it, whatever it is
                lines = str(problem).strip().splitlines() or [""]
                answer({"failed": f"{type(problem).__name__}: {lines[0]}"[:400]})
                raise


def seconds_of(work):
    begin = time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - begin}


def made_up(torch, count, factor, unit):
    """made_up of turns.hpp for all indices below count: the same values, bit for bit."""
    values = torch.empty(count)
    piece = 1 << 22
    for begin in range(0, count, piece):
        index = torch.arange(begin, min(begin + piece, count), dtype=torch.int64)
        bits = ((index * factor) & 0xffffffff) >> 16
        values[begin:begin + piece] = (bits.float() - 32767.5) * unit
    return values


def group(torch):
    """torch.distributed over gloo on this machine, by a file that goes with the turns."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    meeting = os.path.join(os.environ["ZERO_PEERS_MEETING"], "meeting")
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank(),
                                         world_size=world_size())


def status_bytes(field):
    """A field of this process's status, in bytes: VmHWM, VmRSS."""
    with open("/proc/self/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    sys.exit(f"no {field} in /proc/self/status")


def proportional_bytes():
    """Pss: pages that several processes share count as a part for each."""
    with open("/proc/self/smaps_rollup", encoding="utf-8") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
