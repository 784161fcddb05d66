"""rows_training: the same GPT trained by others: seconds of a step, losses, memory of a rank.

Theirs stay where they are between turns and train on; a turn of ours is a `zero train` that starts
anew from the same weights, whose first two steps are left out.
"""

import json
import os
import statistics
import subprocess
import tempfile

from contest import Absent, Contestant, pairs
from rows_host import absent, largest_difference

RANKS = 2
SIZES = {"gpt-3m": (4, 256, 4, 256, 64), "gpt-11m": (6, 384, 6, 256, 256)}
RATE = 3e-4
ALLOWED = 1e-4  # of a loss: fp32 sums in another order, over some steps of training
SLOTS = ("after the backward ours still has the slots that units are gathered into, which are "
         "there for good; theirs come and go, and are in the peaks")

PEERS = (  # how, name, stage of ours, ranks
    ("plain", "torch, one process", 0, 1),
    ("ddp", "torch DDP", 0, RANKS),
    ("zero1", "torch ZeroRedundancyOptimizer", 1, RANKS),
    ("fsdp2", "torch FSDP2 (fully_shard)", 3, RANKS),
    ("deepspeed1", "DeepSpeed stage 1", 1, RANKS),
    ("deepspeed2", "DeepSpeed stage 2", 2, RANKS),
    ("deepspeed3", "DeepSpeed stage 3", 3, RANKS))


def openblas():
    """OpenBLAS before 0.3.22 does not know newer processors and takes slower kernels."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return {"OPENBLAS_CORETYPE": "SKYLAKEX"} if "avx512f" in file.read() else {}


def row_of(how):
    """DeepSpeed's are a row of their own, so that no turn on a shared machine is a long one."""
    return "deepspeed" if how.startswith("deepspeed") else "training"


class Ours:
    """`zero train` of one model, from `initial` on."""

    def __init__(self, place, folder):
        self.model, self.batch, self.sequence = (("gpt-3m", 8, 64) if place.quick
                                                 else ("gpt-11m", 8, 128))
        self.zero, self.folder = place.program("zero"), folder
        self.initial = os.path.join(folder, "initial.safetensors")
        self.environment = {**openblas(), **os.environ}
        self.run(1, 0, 1, "--export", self.initial)

    def run(self, ranks, stage, steps, *more):
        """The lines of JSON that it wrote."""
        lines = os.path.join(self.folder, "run.json")
        command = [self.zero, "train", "--ranks", ranks, "--stage", stage, "--model", self.model,
                   "--batch", self.batch, "--sequence", self.sequence, "--steps", steps,
                   "--schedule", "constant", "--warmup-steps", 0, "--learning-rate", RATE,
                   "--json", lines, *more]
        ran = subprocess.run([str(word) for word in command], env=self.environment, check=False,
                             capture_output=True, text=True)
        if ran.returncode != 0:
            raise RuntimeError("zero train: " + ran.stderr.strip()[-300:])
        with open(lines, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def turn(self, ranks, stage, steps):
        told = self.run(ranks, stage, steps + 2, "--init-from", self.initial)
        return statistics.median(line["seconds"] for line in told[2:-1])

    def settings(self):
        names = ("layers", "channels", "heads", "vocabulary", "context")
        return json.dumps({**dict(zip(names, SIZES[self.model])), "initial": self.initial,
                           "batch": self.batch, "sequence": self.sequence, "learning_rate": RATE})


def held(run):
    """Bytes of the rank that holds most: of model state and buffers, and of the whole process."""
    measured = [rank["measured"] for rank in run["memory"]]
    state = max(sum(m[part] for part in ("parameters", "gradients", "optimizer", "buffers"))
                for m in measured)
    return state, max(m["process_rss_peak"] for m in measured)


def against(place, ours, peer):
    how, name, stage, ranks = peer
    count, steps, compared = (2, 2, 5) if place.quick else (4, 3, 12)
    of = (f"{ours.model}, {ours.batch} x {ours.sequence} tokens, fp32, {ranks} "
          f"process{'es' if ranks > 1 else ''}, ours at stage {stage}")
    base = {"row": row_of(how), "peer": name, "unit": "seconds", "what": f"step of {of}"}
    needs = ("torch", "deepspeed") if how.startswith("deepspeed") else ("torch",)
    threads = max(1, place.cores // ranks)
    try:
        with tempfile.TemporaryDirectory() as meeting, \
                Contestant(name, place.python("torch_training.py", how, ours.settings(),
                                              needs=needs), ranks,
                           place.around(threads, meeting)) as theirs:
            losses = theirs.say(str(compared))[0]["losses"]
            own = ours.run(ranks, stage, compared, "--init-from", ours.initial)[-1]
            mine, other = pairs(lambda: ours.turn(ranks, stage, steps), (theirs, str(steps)),
                                count, warm=0)
            memory = theirs.say("memory")
    except Absent as problem:
        return [absent(base, problem)]
    check = {"what": f"losses of {compared} steps differ by", "allowed": ALLOWED,
             "difference": largest_difference(own["losses"], losses)}
    rows = [{**base, "ours": mine, "theirs": other, "check": check,
             "losses": {"ours": own["losses"], "theirs": losses}}]
    rows += memory_rows(base, of, own, memory)
    if stage == 3:
        rows[1]["note"] = SLOTS
    return rows


def memory_rows(base, of, own, memory):
    """What a rank holds, of the rank that holds most. Theirs has Python and its libraries in it; so
    the last row leaves out what their process was before there was a model, and nothing of ours."""
    state, peak = held(own)
    most = {key: max(rank[key] for rank in memory)
            for key in ("state", "peak", "proportional", "empty")}
    return [{**base, "unit": "bytes", "what": f"memory of a rank, {what}; {of}", "ours": [mine],
             "theirs": [their], "of_theirs": most}
            for what, mine, their in (
                ("model state and buffers after the backward", state, most["state"]),
                ("peak of the process", peak, most["peak"]),
                ("peak of the process, theirs less an empty one", peak,
                 most["peak"] - most["empty"]))]


def trained(place, row):
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(place, folder)
        quick = ("fsdp2", "deepspeed3")
        chosen = [peer for peer in PEERS
                  if row_of(peer[0]) == row and (not place.quick or peer[0] in quick)]
        return [found for peer in chosen for found in against(place, ours, peer)]


def training(place):
    return trained(place, "training")


def deepspeed(place):
    return trained(place, "deepspeed")
