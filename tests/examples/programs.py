"""Starts the examples as ranks of one run, and reads what they print.

The ranks are told who they are by plain environment variables, so nothing but the programs is needed. A run whose rank fails ends the others at once: none is left behind.
"""

import itertools
import os
import re
import subprocess
import tempfile
import time

_runs = itertools.count()
DEADLINE = 300  # seconds of a run; far more than any takes


class Run:
    """What the ranks of a run wrote, by rank, and how each ended."""

    def __init__(self, codes, outputs, errors):
        self.codes, self.outputs, self.errors = codes, outputs, errors

    @property
    def losses(self):
        """The text of each loss, as printed: equal text is equal bits."""
        return re.findall(r"^step \d+ loss (\S+)$", self.outputs[0], re.MULTILINE)

    @property
    def digests(self):
        return [re.findall(r"^digest ([0-9a-f]{32})$", text, re.MULTILINE) for text in self.outputs]


def environment(rank, size, run, settings):
    """Variables of the caller that would configure libzero or name ranks are left out."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("LIBZERO_", "ZERO_", "OMPI_", "PMI", "SLURM_", "TORCHELASTIC_", "MASTER_"))
            and name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
    if size:
        kept.update(RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank),
                    LOCAL_WORLD_SIZE=str(size), ZERO_MEETING=run)
    # What lives as long as the process is not freed by the examples.
    kept["ASAN_OPTIONS"] = kept.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return {**kept, **settings}


def start(command, ranks, settings=None, observe=None, pause=0.005):
    """Runs `command` on that many ranks; 0: as a program that nobody launched. `observe`, if given,
    is called with the processes every `pause` seconds until all have ended."""
    name = f"examples-{os.getpid()}-{next(_runs)}"
    processes, files = [], []
    try:
        for rank in range(max(ranks, 1)):
            files.append((tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")))
            processes.append(subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=files[-1][0], stderr=files[-1][1],
                env=environment(rank, ranks, name, settings or {})))
        end = time.monotonic() + DEADLINE
        while any(process.poll() is None for process in processes):
            if any(process.returncode for process in processes) or time.monotonic() > end:
                break
            if observe:
                observe(processes)
            time.sleep(pause)
    finally:
        failed = [process.returncode for process in processes]
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
    texts = []
    for pair in files:
        texts.append([])
        for file in pair:
            file.seek(0)
            texts[-1].append(file.read())
            file.close()
    return Run(failed, [text[0] for text in texts], [text[1] for text in texts])
