"""Runs programs, each with a time limit, and keeps what they printed."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass

KEPT_BYTES = 100_000  # of what one command printed, in the log
TIME_TO_START = 2.0   # seconds; nothing is begun with less left


@dataclass
class Ran:
    """How one command ended. `why` is set where it was not run at all."""
    code: int = None
    seconds: float = 0.0
    timed_out: bool = False
    text: str = ""
    why: str = ""

    @property
    def ended_well(self):
        return self.code == 0 and not self.timed_out and not self.why

    def trouble(self):
        """One line, empty if there was none."""
        if self.why:
            return self.why
        if self.timed_out:
            return f"stopped after {self.seconds:.0f} s"
        if self.code == 0:
            return ""
        said = [line.strip() for line in self.text.splitlines() if line.strip()]
        return f"exit code {self.code}: {said[-1][:200] if said else 'said nothing'}"


class Commands:
    """Runs commands until `ends` (time.monotonic); `log` is an open text file."""

    def __init__(self, log, ends, folder):
        self.log, self.ends, self.folder = log, ends, folder

    def left(self):
        return self.ends - time.monotonic()

    def run(self, command, limit=None, apart=False):
        """Standard error is part of the text unless `apart`, when it goes to the log alone."""
        command = [str(word) for word in command]
        limit = min(self.left(), limit or self.left())
        if limit < TIME_TO_START:
            return self._logged(command, Ran(why="no time was left"))
        begun = time.monotonic()
        try:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if apart else subprocess.STDOUT, text=True,
                errors="replace", start_new_session=True)
        except OSError as failed:
            return self._logged(command, Ran(why=f"could not be started: {failed.strerror}"))
        timed_out = False
        try:
            text, beside = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            timed_out = True
            os.killpg(process.pid, signal.SIGKILL)  # its own session: what it started goes too
            text, beside = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        ran = Ran(process.returncode, time.monotonic() - begun, timed_out, text or "")
        if beside and not ran.text.strip():
            ran.text = beside
        return self._logged(command, ran, beside)

    def _logged(self, command, ran, beside=""):
        said = ran.text + (beside if beside and beside != ran.text else "")
        print(f"$ {' '.join(command)}\n{said[-KEPT_BYTES:].rstrip()}\n"
              f"-- {ran.trouble() or 'ok'} ({ran.seconds:.1f} s)\n", file=self.log, flush=True)
        return ran
