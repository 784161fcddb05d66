"""What `zero train` really holds: a step of a model, and the refusal of the next larger one."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from plans import CLASSES, FORMATS, SCHEDULE, Failed

OUT_OF_A_RESOURCE = 6


def tier_options(stage, tier):
    """Everything that the stage lets rest there does, and what it does not stays."""
    parts = {"optimizer": tier, "gradients": tier if stage >= 2 else "none",
             "parameters": tier if stage >= 3 else "none"}
    return [word for part, where in parts.items() for word in (f"--offload-{part}", where)]


def available():
    """Bytes of memory that could be had now."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


class Trainer:
    """`most_memory`, `most_disk`: bytes that all ranks of a run may take together."""

    def __init__(self, zero, folder, most_memory=None, most_disk=None):
        self.zero, self.folder = zero, folder
        self.most_memory = most_memory or available() // 2
        self.most_disk = most_disk or shutil.disk_usage(folder).free // 4
        self.most_ranks = max(4, 2 * (os.cpu_count() or 1))

    def too_much(self, ranks, held):
        """Why this machine does not run it, "" if it does."""
        if ranks > self.most_ranks:
            return f"{ranks} ranks"
        if ranks * held["peak"] > self.most_memory:
            return "memory"
        if ranks * held["disk"] > self.most_disk:
            return "disk"
        return ""

    def train(self, options, ranks, stage, tier, budget, output):
        """The exit code; what was said last."""
        command = [self.zero, "train", *options, "--ranks", str(ranks), "--batch", str(ranks),
                   "--stage", str(stage), *tier_options(stage, tier), *FORMATS, *SCHEDULE,
                   "--steps", "1", "--measure-links", "off", "--nvme-path", self.folder,
                   "--json", str(output)]
        if budget is not None:
            command += ["--memory-budget", str(budget)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        return ran.returncode, (ran.stderr.strip().splitlines() or ["no word"])[-1]

    def measure(self, options, ranks, stage, tier, budget=None):
        """{"predicted":, "measured":, "equal":} of the rank that held most."""
        with tempfile.TemporaryDirectory(prefix="zero_footprint_", dir=self.folder) as folder:
            output = Path(folder, "run.json")
            code, said = self.train(options, ranks, stage, tier, budget, output)
            if code != 0:
                raise Failed(f"zero train ended with {code}: {said}")
            last = output.read_text(encoding="utf-8").splitlines()[-1]
        memory = json.loads(last)["memory"]
        equal = all(entry["predicted"][name] == entry["measured"][name]
                    for entry in memory for name in CLASSES)
        most = max(memory, key=lambda entry: entry["measured"]["peak"])
        return {"predicted": {name: most["predicted"][name] for name in CLASSES},
                "measured": {name: most["measured"][name] for name in CLASSES}, "equal": equal,
                "resident": most["measured"]["process_rss_peak"]}

    def refuses(self, options, ranks, stage, tier, budget):
        """Whether the budget is said to be too small, before anything is trained."""
        with tempfile.TemporaryDirectory(prefix="zero_footprint_", dir=self.folder) as folder:
            output = Path(folder, "run.json")
            code, said = self.train(options, ranks, stage, tier, budget, output)
            return code == OUT_OF_A_RESOURCE and "--memory-budget" in said and not output.exists()
