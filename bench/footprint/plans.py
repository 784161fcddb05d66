"""What `zero plan --json` says a rank would hold."""

import json
import subprocess

CLASSES = ["parameters", "gradients", "optimizer", "buffers", "host", "disk", "peak"]
ON_DEVICE = ["parameters", "gradients", "optimizer", "buffers"]
TIERS = ["none", "cpu", "nvme"]

# What is trained: 16 bytes of state a parameter, nothing gathered ahead, short sequences.
FORMATS = ["--dtype", "bf16", "--gradient-dtype", "same"]
SCHEDULE = ["--prefetch", "0", "--sequence", "8"]


class Failed(Exception):
    """A command did not do what it should; the text is one line."""


class Planner:
    """Asks each question once."""

    def __init__(self, zero, stages, tiers):
        self.zero, self.stages, self.tiers = zero, stages, tiers
        self.held = {}
        self.asked = {}

    def plan(self, options, ranks, stages, tiers, more=()):
        command = [self.zero, "plan", *options, "--ranks", str(ranks), "--batch", str(ranks),
                   "--stages", ",".join(map(str, stages)), "--offload", ",".join(tiers),
                   *FORMATS, *SCHEDULE, *more, "--json"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise Failed(f"zero plan: {(ran.stderr.strip().splitlines() or ['no word'])[-1]}")
        return json.loads(ran.stdout)

    def bytes(self, options, ranks, device="cpu"):
        """{(stage, tier): bytes of every class}, of the rank that holds most."""
        key = (tuple(options), ranks, device)
        if key not in self.held:
            plan = self.plan(options, ranks, self.stages, self.tiers, ["--device", device])
            self.held[key] = {
                (run["stage"], run["offload"]):
                    max((entry["predicted"] for entry in run["memory"]), key=lambda p: p["peak"])
                for run in plan["runs"]}
        return self.held[key]

    def fits(self, options, ranks, stage, tier, budget):
        """In all of a rank's memory. What rests on disk passes through cells of memory, which a
        budget makes as small as it takes: then the plan's recommendation says whether."""
        if self.bytes(options, ranks)[stage, tier]["peak"] <= budget:
            return True
        if tier != "nvme":
            return False
        key = (tuple(options), ranks, stage, budget)
        if key not in self.asked:
            plan = self.plan(options, ranks, [stage], [tier], ["--memory-budget", str(budget)])
            self.asked[key] = plan["recommendation"] is not None
        return self.asked[key]

    def fits_device(self, options, ranks, stage, tier, budget):
        """In a GPU's memory alone, whatever there is of the host's."""
        held = self.bytes(options, ranks, "cuda")[stage, tier]
        return sum(held[name] for name in ON_DEVICE) <= budget
