"""One life of a job, from the outside: its processes, stopped, killed and counted.

Kills are counted by what the kernel says of the dead: waitid for the starter and for whatever was
left to us as the nearest subreaper, and, for a rank whose starter lives, the exit status that
/proc shows of the zombie while the starter is held and cannot have reaped it.
"""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
EXIT_CODE_FIELD = 52 - 3  # of /proc/PID/stat, counted from the state


def become_subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def stat_of(path):
    """The fields from the state on, or nothing for what is gone."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return []


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.0002)
    return True


class Life:
    def __init__(self, command, errors):
        with open(errors, "wb") as stream:
            self.starter = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=stream).pid
        self.begun = time.monotonic()
        self.status = None  # of the starter, from waitid: (code, status)
        self.held = []
        self.known = {}  # ranks that were seen; none of them is reaped while the starter is one

    # ---- who there is ----

    def ranks(self):
        """Process by rank, of those that live."""
        path = f"/proc/{self.starter}/task/{self.starter}/children"
        try:
            children = [int(word) for word in Path(path).read_text(encoding="utf-8").split()]
        except OSError:
            return {}
        found = {}
        for child in children:
            try:
                environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            for entry in environment:
                if entry.startswith(b"RANK=") and stat_of(f"/proc/{child}/stat")[:1] != ["Z"]:
                    found[int(entry[5:])] = child
        return found

    def learn(self, ranks):
        """Looks who the ranks are, until all are there: to stop them later takes no looking."""
        if len(self.known) < ranks:
            self.known = self.ranks()

    def ended(self):
        """Whether the starter has ended. Keeps how."""
        if self.status is None:
            seen = os.waitid(os.P_PID, self.starter, os.WEXITED | os.WNOHANG)
            if seen is not None:
                self.status = (seen.si_code, seen.si_status)
        return self.status is not None

    # ---- what is done to them ----

    def hold(self):
        """Stops the ranks, those that are known at once, and the starter; returns the ranks."""
        for rank in sorted(self.known):
            if stat_of(f"/proc/{self.known[rank]}/stat")[1:2] == [str(self.starter)]:
                self.send(self.known[rank], signal.SIGSTOP)
        os.kill(self.starter, signal.SIGSTOP)
        ranks = self.ranks()
        for process in ranks.values():
            os.kill(process, signal.SIGSTOP)
        self.held = [self.starter, *ranks.values()]
        if not until(lambda: all(self.is_still(process) for process in self.held), 5):
            raise RuntimeError("processes that were stopped go on")
        return ranks

    @staticmethod
    def is_still(process):
        try:
            threads = os.listdir(f"/proc/{process}/task")
        except OSError:
            return True
        return all(stat_of(f"/proc/{process}/task/{thread}/stat")[:1] in ([], ["T"], ["t"], ["Z"],
                                                                          ["X"])
                   for thread in threads)

    def kill(self, victims):
        """Kills processes that are held, and lets the others go on. How each died, by the kernel:
        the number of a signal, or None for one that did not die of a signal."""
        deaths = []
        for process in victims:
            os.kill(process, signal.SIGKILL)
        if self.starter in victims:
            seen = os.waitid(os.P_PID, self.starter, os.WEXITED)
            self.status = (seen.si_code, seen.si_status)
            deaths.append(seen.si_status if seen.si_code == os.CLD_KILLED else None)
        for process in victims:
            if process == self.starter:
                continue
            if self.starter in victims:  # its children are ours now
                seen = os.waitid(os.P_PID, process, os.WEXITED)
                deaths.append(seen.si_status if seen.si_code == os.CLD_KILLED else None)
            else:
                deaths.append(self.signal_of_zombie(process))
        for process in self.held:
            if process not in victims:
                self.send(process, signal.SIGCONT)
        self.held = []
        return deaths

    def let_go(self):
        for process in self.held:
            self.send(process, signal.SIGCONT)
        self.held = []

    @staticmethod
    def signal_of_zombie(process):
        stat = f"/proc/{process}/stat"
        if not until(lambda: stat_of(stat)[:1] == ["Z"], 5):
            raise RuntimeError("a process that was killed lives on")
        code = int(stat_of(stat)[EXIT_CODE_FIELD])
        return code & 0x7F if code & 0x7F else None

    @staticmethod
    def send(process, number):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass

    def finish(self, seconds):
        """Waits until the starter and all it left behind have ended. True if they did."""
        if not until(self.ended, seconds):
            return False
        return until(self.reaped_all, seconds)

    @staticmethod
    def reaped_all():
        try:
            while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is not None:
                pass
        except ChildProcessError:
            return True
        return False

    def end(self):
        """Whatever became of it: nothing is left."""
        if not self.ended():
            for process in [self.starter, *self.ranks().values()]:
                self.send(process, signal.SIGKILL)
        self.finish(5)
