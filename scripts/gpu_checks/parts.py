"""The four parts. Each returns {"results": [...], "bars": [...]}; a result has a name and a state
(ok, failed, not finished, not run), a bar a question, a value and what it should be.

Not under the sanitizer: tests that hold a kernel back until the host goes on, since the tool may
wait for each kernel; and whatever launches thousands."""

import json
import shutil
import statistics
import subprocess
import sys

from . import readings

# What needs a GPU of each binary; None is all of it.
TESTS = {
    "base_test": "cuda*:range_marker*",
    "base_lanes_test": None,
    "optim_processor_test": None,
    "collectives_one_device_test": None,
    "collectives_gpu_lanes_test": None,
    "collectives_nccl_test": None,
    "engine_cuda_test": None,
    "client_cuda_test": None,
    "trainer_cuda_test": None,
}
OPTIONAL_TESTS = ("collectives_nccl_test",)  # only where it was built with NCCL
SAME_UPDATE = "places/processors.updates_equal_the_reference/cuda"

SMALL = {
    "optim_processor_test": "*an_update_that*/cuda:*a_large_update*/cuda:*decisions*/cuda:"
                            "*adopting*/cuda:*codes*/cuda:*bytes_go*/cuda",
    "collectives_one_device_test": "*in_place*:*all_to_all_twice*:*bits_of_a_scalar*",
    "collectives_gpu_lanes_test": "*sums_have_the_bits*",
    "base_lanes_test": "*second_mapping*",
    "engine_cuda_test": "*two_steps_of_two_ranks*",
    "client_cuda_test": "*small_model*",
    "trainer_cuda_test": "*gradients_are_added_to*",
}
TOOLS = ("memcheck", "racecheck", "initcheck")


def filters_without_tests(bin_folder):
    """Filters above that name no test any more, each as "program: filter"."""
    filters = [(name, one) for chosen in (TESTS, SMALL) for name, pattern in chosen.items()
               if pattern for one in pattern.split(":")]
    for name, one in [*filters, ("optim_processor_test", SAME_UPDATE)]:
        ran = subprocess.run([bin_folder / name, "--gtest_list_tests", f"--gtest_filter={one}"],
                             capture_output=True, text=True, check=True)
        if not any(line.startswith("  ") for line in ran.stdout.splitlines()):
            yield f"{name}: {one}"


ELEMENTS = 1_000_000_000
BYTES_OF_ELEMENT = 32   # of device memory that bench_update_gpu takes, rounded up
PAIRS = 3               # of runs at stages 0 and 3, in turns
PAIR_STEPS = 10


def bar(question, value, least=None, most=None):
    met = None
    if value is not None:
        met = (least is None or value >= least) and (most is None or value <= most)
    wanted = f"at least {least}" if least is not None else f"at most {most}"
    return {"question": question, "value": value, "bar": wanted, "met": met}


class Parts:
    """`bin`: where the programs lie; `scratch`: a folder for what they write; `root`: the tree."""

    def __init__(self, commands, bin_folder, scratch, root):
        self.commands, self.bin, self.scratch, self.root = commands, bin_folder, scratch, root

    def gtest(self, name, pattern, before=(), tag="", limit=None):
        report = self.scratch / f"{tag}{name}.xml"
        command = [*before, self.bin / name, f"--gtest_output=xml:{report}", "--gtest_brief=1"]
        if pattern:
            command.append(f"--gtest_filter={pattern}")
        return self.commands.run(command, limit), report

    # ---- tests ----
    def tests(self):
        results, bars = [], []
        for name, pattern in TESTS.items():
            if name in OPTIONAL_TESTS and not (self.bin / name).exists():
                results.append({"name": name, "state": "not run", "trouble": "was not built"})
                continue
            ran, report = self.gtest(name, pattern, limit=120)
            results.append(readings.of_tests(name, ran, report))
            if name == "optim_processor_test":
                same = readings.case_passed(report, SAME_UPDATE)
                bars.append(bar("updates of equal gradients have the bits of the host (1: yes)",
                                None if same is None else int(same), least=1))
        return {"results": results, "bars": bars}

    # ---- sanitizer ----
    def sanitizer(self):
        tool_path = shutil.which("compute-sanitizer") or shutil.which(
            "compute-sanitizer", path="/usr/local/cuda/bin")
        if not tool_path:
            return {"results": [{"name": "compute-sanitizer", "state": "not run",
                                 "trouble": "it is not installed here"}], "bars": []}
        results = []
        for tool in TOOLS:
            for name, pattern in SMALL.items():
                before = [tool_path, "--tool", tool, "--error-exitcode", "66", "--print-limit", "20"]
                ran, report = self.gtest(name, pattern, before, tag=f"{tool}-", limit=60)
                results.append(readings.of_sanitizer(tool, name, ran, report))
        return {"results": results, "bars": []}

    # ---- bench ----
    def bench(self):
        ran = self.commands.run([self.bin / "bench_update_gpu", "--elements", self.elements()],
                                limit=90, apart=True)
        ours = readings.of_json("bench_update_gpu", ran, "rows")
        results = [ours]
        bars = []
        if ours["state"] == "ok":
            rates = {row["name"]: row["fraction"] for row in ours["printed"]["rows"]}
            for name in ("update/adamw/fp32/none", "update/adamw/bf16/bf16"):
                bars.append(bar(f"{name}: of the device's copy rate", rates.get(name), least=0.9))
        beside = self.scratch / "bench_update_gpu.json"
        beside.write_text(json.dumps(ours.get("printed", {})), encoding="utf-8")
        if not self.has_torch():
            results.append({"name": "torch_update.py", "state": "not run",
                            "trouble": "PyTorch is not installed here"})
            return {"results": results, "bars": bars}
        command = [sys.executable, "-B", self.root / "bench/peers/torch_update.py"]
        command += ["--beside", beside] if ours["state"] == "ok" else []
        theirs = readings.of_json("torch_update.py",
                                  self.commands.run(command, limit=90, apart=True), "rows")
        results.append(theirs)
        if theirs["state"] == "ok":
            ratios = {row["name"]: row.get("torch_over_ours") for row in theirs["printed"]["rows"]}
            bars += [bar("PyTorch's time over ours, fused AdamW on fp32",
                         ratios.get("update/adamw/fp32/none"), least=1.0),
                     bar("PyTorch's time over ours, norm, clip, update and cast",
                         ratios.get("step/adamw/bf16/bf16"), least=1.5)]
        return {"results": results, "bars": bars}

    def has_torch(self):
        return self.commands.run([sys.executable, "-c", "import torch"], limit=60).ended_well

    def elements(self):
        """As many as were asked for, or what half of the device's free memory holds."""
        ran = self.commands.run([self.bin / "zero", "info", "--json"], limit=30, apart=True)
        try:
            free = json.loads(ran.text)["cuda"]["gpus"][0]["free_bytes"]
        except (ValueError, KeyError, IndexError):
            return ELEMENTS
        return min(ELEMENTS, free // 2 // BYTES_OF_ELEMENT)

    # ---- trainer ----
    def trainer(self):
        info = self.commands.run([self.bin / "zero", "info", "--json"], 30, apart=True)
        results, bars = [readings.of_devices(info)], []
        for dtype in ("fp32", "bf16"):
            results.append(self.compare(dtype))
        row = self.train("zero train gpt2 bf16", "--model", "gpt2", "--dtype", "bf16", "--batch",
                         "16", "--steps", "20")
        results.append(row)
        fraction = (row.get("device") or {}).get("fraction_of_matrix_rate")
        bars.append(bar("gpt2 in bf16, of the card's bf16 matrix rate", fraction, least=0.45))
        pairs = self.pairs()
        results.append(pairs)
        bars.append(bar("stage 3 over stage 0 on one device, gpt2, 4 ranks, median of pairs",
                        pairs["median"], most=1.05))
        return {"results": results, "bars": bars}

    def text(self):  # what is there on every machine; the files of a folder, not of those in it
        return ["--text", self.root / "libzero/cli/src", self.root / "bench/trainer"]

    def compare(self, dtype):
        out = self.scratch / f"compare-{dtype}"
        out.mkdir()
        command = [self.bin / "zero", "compare", "--device", "cuda", "--ranks", "4", "--stages",
                   "0,1,2,3", "--model", "gpt-3m", "--dtype", dtype, "--steps", "20", "--output",
                   out, *self.text()]
        ran = self.commands.run(command, limit=90)
        return readings.of_compare(f"zero compare {dtype}", ran, out / "compare.json")

    def train(self, name, *options):
        lines = self.scratch / "train.jsonl"
        lines.unlink(missing_ok=True)
        command = [self.bin / "zero", "train", "--device", "cuda", "--json", lines, *options,
                   *self.text()]
        return readings.of_train(name, self.commands.run(command, limit=60), lines)

    def pairs(self):
        """Each pair's ratio of median steps; the stages take turns at going first."""
        row = {"name": "stage 3 and stage 0 in turns", "ratios": [], "median": None,
               "state": "ok", "trouble": ""}
        for turn in range(PAIRS):
            seconds = {}
            for stage in ((0, 3), (3, 0))[turn % 2]:
                run = self.train(f"stage {stage}", "--ranks", "4", "--stage", stage, "--model",
                                 "gpt2", "--dtype", "bf16", "--batch", "16", "--steps",
                                 PAIR_STEPS, "--prefetch", "1")
                if run["state"] != "ok":
                    row.update(state="failed", trouble=f"stage {stage}: {run['trouble']}")
                    return row
                seconds[stage] = run["step_seconds"]["median"]
            row["ratios"].append(seconds[3] / seconds[0])
            row["median"] = statistics.median(row["ratios"])
        return row
