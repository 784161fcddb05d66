"""contest: programs that are measured turn by turn, each with its memory and its ranks already there.

A contestant is a command, one process or many, that reads words from named pipes and answers with
lines of JSON (turns.hpp, participant.py). Nothing is measured while another contestant still uses
a processor: OpenMP's threads spin for a while after their work.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

ANSWER_SECONDS = 150


class Absent(Exception):
    """What cannot be measured here, with the reason in one line."""


def _sessions():
    """(process, session, processor ticks) of every process that lives."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it ended
        if fields[0] in "ZX":
            continue  # it too, and its parent has not looked yet
        yield int(name), int(fields[3]), int(fields[11]) + int(fields[12])


class Contestant:
    """`command` is started `ranks` times with RANK and WORLD_SIZE, or once if `launcher` says that it
    starts its ranks itself."""

    def __init__(self, name, command, ranks=1, environment=None, launcher=False):
        self.name, self.ranks = name, ranks
        self.folder = tempfile.mkdtemp(prefix="zero-peers-")
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8", errors="replace")
        self.pipes, self.processes, self.rest = [], [], b""
        for rank in range(ranks):
            os.mkfifo(os.path.join(self.folder, f"rank-{rank}"))
            self.pipes.append(os.open(os.path.join(self.folder, f"rank-{rank}"), os.O_RDWR))
        os.mkfifo(os.path.join(self.folder, "answers"))
        self.answers = os.open(os.path.join(self.folder, "answers"), os.O_RDWR | os.O_NONBLOCK)
        around = {**os.environ, **(environment or {}), "ZERO_PEERS_TURNS": self.folder}
        for rank in range(1 if launcher else ranks):
            own = {} if launcher else {"RANK": str(rank), "LOCAL_RANK": str(rank),
                                       "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
            try:
                self.processes.append(subprocess.Popen(
                    command, env={**around, **own}, stdin=subprocess.DEVNULL, stdout=self.log,
                    stderr=self.log, start_new_session=True))
            except OSError as problem:
                self.close()
                raise Absent(f"{command[0]}: {problem.strerror}") from problem
        try:
            self._collect()  # "ready" of every rank
        except Absent:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def say(self, word):
        """The answers of all ranks, in their order."""
        for pipe in self.pipes:
            os.write(pipe, word.encode() + b"\n")
        return self._collect()

    def seconds(self, word):
        """Of the rank that took longest."""
        return max(answer["seconds"] for answer in self.say(word))

    def sessions(self):
        return {process.pid for process in self.processes}

    def close(self):
        for pipe in [*self.pipes, self.answers]:
            os.close(pipe)  # a participant ends when nobody can say a word any more
        until = time.monotonic() + 20
        for process in self.processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
        self._end_all()
        self.pipes, self.processes = [], []
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_all(self):
        """Kills what is left of its sessions and sees it go; what nobody has waited for yet is gone."""
        own, until = self.sessions(), time.monotonic() + 10
        while own and time.monotonic() < until:
            left = [pid for pid, session, _ in _sessions() if session in own]
            if not left:
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for process in self.processes:
                process.wait()
            select.select([], [], [], 0.01)

    def _collect(self):
        answers, until = {}, time.monotonic() + ANSWER_SECONDS
        while len(answers) < self.ranks:
            while b"\n" in self.rest:
                line, _, self.rest = self.rest.partition(b"\n")
                answer = json.loads(line)
                answers[answer["rank"]] = answer
            if len(answers) >= self.ranks:
                break
            # Asked before: what has ended may have answered first.
            ended = any(process.poll() is not None for process in self.processes)
            if select.select([self.answers], [], [], 0.2)[0]:
                self.rest += os.read(self.answers, 1 << 16)
            elif ended:
                raise Absent(f"{self.name} ended: {self._last_line()}")
            elif time.monotonic() > until:
                raise Absent(f"{self.name} said nothing for {ANSWER_SECONDS} s")
        for rank in range(self.ranks):
            if "failed" in answers[rank]:
                raise Absent(f"{self.name}: {answers[rank]['failed']}")
        return [answers[rank] for rank in range(self.ranks)]

    def _last_line(self):
        self.log.seek(0)
        lines = [line.strip() for line in self.log.read().splitlines() if line.strip()]
        told = [line for line in lines if "Error" in line or "error" in line or ": " in line]
        return (told or lines or ["without a word"])[-1][:200]


def settle(*contestants):
    """Waits until none of them has used a processor for 30 ms: for at most 5 s, as a contestant that
    never rests is part of what is compared with it."""
    sessions = set().union(*(c.sessions() for c in contestants if isinstance(c, Contestant)))
    before, until = None, time.monotonic() + 5
    while time.monotonic() < until:
        now = sum(ticks for _, session, ticks in _sessions() if session in sessions)
        if now == before:
            return
        before = now
        select.select([], [], [], 0.03)


def pairs(ours, theirs, count, warm=2):
    """`ours` and `theirs` are (contestant, word) or functions that give seconds. Lists of seconds of
    `count` pairs; who comes first changes from pair to pair."""

    def turn(side):
        if callable(side):
            return side()
        return side[0].seconds(side[1])

    both = [side[0] for side in (ours, theirs) if not callable(side)]
    own, other = [], []
    for pair in range(-warm, count):
        order = [(ours, own), (theirs, other)]
        for side, results in order if pair % 2 == 0 else reversed(order):
            settle(*both)
            seconds = turn(side)
            if pair >= 0:
                results.append(seconds)
    return own, other
