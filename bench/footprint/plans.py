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


def most_of(run):
    """Bytes of the rank that holds most."""
    return max((entry["predicted"] for entry in run["memory"]), key=lambda held: held["peak"])


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
        try:
            return json.loads(ran.stdout)
        except json.JSONDecodeError:
            raise Failed(f"{self.zero} plan --json: printed no JSON") from None

    def bytes(self, options, ranks, device="cpu"):
        """{(stage, tier): bytes of every class}, of the rank that holds most."""
        key = (tuple(options), ranks, device)
        if key not in self.held:
            plan = self.plan(options, ranks, self.stages, self.tiers, ["--device", device])
            self.held[key] = {
                (run["stage"], run["offload"]): most_of(run) for run in plan["runs"]}
        return self.held[key]

    def inside(self, options, ranks, stage, tier, budget):
        """Bytes of every class inside a budget of all of a rank's memory, None where it does not
        fit. What rests on disk passes through cells of memory, smaller ones where that helps."""
        held = self.bytes(options, ranks)[stage, tier]
        if held["peak"] <= budget or tier != "nvme":
            return held if held["peak"] <= budget else None
        key = (tuple(options), ranks, stage, budget)
        if key not in self.asked:
            run = self.plan(options, ranks, [stage], [tier],
                            ["--memory-budget", str(budget)])["runs"][0]
            self.asked[key] = most_of(run) if run["fits"] else None
        return self.asked[key]

    def fits_device(self, options, ranks, stage, tier, budget):
        """In a GPU's memory alone, whatever there is of the host's."""
        held = self.bytes(options, ranks, "cuda")[stage, tier]
        return sum(held[name] for name in ON_DEVICE) <= budget
