"""scripts/plan_check.sh with a stand-in for `zero` that plans and trains as it is told."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from plan_check import configurations, report, zero_command  # noqa: E402

# Steps of 20 ms; state is 1000 bytes and holds in 800. What FAULT names is wrong.
ZERO = """#!/usr/bin/env python3
import json, sys
FAULT = "@FAULT@"
given = sys.argv[1:]
after = lambda name, other=None: given[given.index(name) + 1] if name in given else other
memory = {"parameters": 1, "gradients": 2, "optimizer": 3, "buffers": 4, "host": 5, "disk": 6,
          "peak": 1000}
said = {"all_gather": 1, "reduce_scatter": 2, "all_to_all": 0, "calls": 3}
moved = {"host_to_device": 1, "device_to_host": 2, "disk_read": 3, "disk_written": 4}
ways = {"policy": after("--stages", after("--stage", "0")), "offload": after("--offload", "none"),
        "offload_optimizer": "none", "offload_gradients": "none", "offload_parameters": "none",
        "prefetch": 1, "accumulate": 1}
budget = int(after("--memory-budget", "1000").replace("MiB", ""))
if given[0] == "plan":
    if "--calibrate" in given:
        parts = {"block": 0.01, "embedding": 0.0}
        with open(after("--ceilings"), "w") as file:
            json.dump({"passes": {"forward": parts, "backward": parts}}, file)
    step = {"estimate": 0.03 if FAULT == "slow" else 0.021, "lower_bound": 0.02,
            "bound_by": "compute"}
    choices = [dict(ways, policy="0", estimate=0.021, fits=True),
               dict(ways, policy="3", estimate=0.05, fits=True),
               dict(ways, policy="1", estimate=0.01, fits=False)]
    best = dict(choices[1 if FAULT == "recommendation" else 0], reason="so", ways=choices)
    best.update(config={"stage": best["policy"]}, step_seconds={"estimate": best["estimate"]})
    fits = budget >= (700 if FAULT == "budget" else 800)
    print(json.dumps({"runs": [dict(ways, step_seconds=step, busy_seconds={}, fits=fits,
        memory=[{"predicted": memory, "activations": 7}], communication=[said],
        offload_io=[moved])], "recommendation": best}))
    sys.exit()
if budget < 800 and "--json" not in given:
    sys.stderr.write("zero train: too small; the smallest that would do is 800 bytes\\n")
    sys.exit(6)
if "--json" not in given:
    sys.exit()
steps = int(after("--steps"))
stage = json.load(open(after("--config")))["stage"] if "--config" in given else after("--stage")
seconds = 0.04 if FAULT == "recommendation" and stage == "3" else 0.02
real = dict(memory, host=9) if FAULT == "bytes" else memory
with open(after("--json"), "w") as file:
    for i in range(steps):
        first = 5.0 if i < 3 else seconds
        file.write(json.dumps({"schema": "zero.step/1", "seconds": first}) + "\\n")
    file.write(json.dumps({"schema": "zero.run/1", "losses": [1.0] * steps,
        "seconds_by_phase": {}, "memory": [{"measured": dict(real, activations=7)}],
        "communication": [said], "offload_io": [moved]}) + "\\n")
"""


class PlanCheck(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="plan check ")
        self.out = Path(self.folder.name) / "out"

    def tearDown(self):
        self.folder.cleanup()

    def check(self, part, only, fault=""):
        zero = Path(self.folder.name) / "zero"
        zero.write_text(ZERO.replace("@FAULT@", fault), encoding="utf-8")
        zero.chmod(0o755)
        done = subprocess.run([ROOT / "scripts" / "plan_check.sh", "--zero", zero, "--folder",
                               self.folder.name, "--part", part, "--only", only, self.out],
                              capture_output=True, text=True, check=False)
        return done

    def found(self):
        return json.loads((self.out / "plan_check.json").read_text(encoding="utf-8"))

    def test_what_holds_is_reported_so(self):
        for part, only in (("predictions", "long-2"), ("feasibility", "long-2"),
                           ("recommendations", "wide-4")):
            done = self.check(part, only)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        whole = self.found()
        self.assertEqual([whole[key] for key in ("runs", "same_bytes", "close", "edges",
                                                 "edges_right", "budgets", "recommended_well")],
                         [2, 2, 2, 2, 2, 1, 1])
        run = whole["groups"][0]["runs"][0]
        # The first steps, of five seconds here, do not count.
        self.assertEqual((run["predicted"], run["measured"]), (0.021, 0.02))
        self.assertIn("| long-2 | stage 1 none | 21.0 | 20.0 | 1.05 |",
                      (self.out / "plan_check.md").read_text(encoding="utf-8"))

    def test_what_does_not_hold_fails(self):
        for fault, part, only, said in (
                ("slow", "predictions", "long-2", "step time within 15 %: 0 of 2"),
                ("bytes", "predictions", "long-2", "memory.host: 5 planned, 9 measured"),
                ("budget", "feasibility", "long-2", "planned True, trained False, expected False"),
                ("recommendation", "recommendations", "wide-4", "+100.0 %")):
            done = self.check(part, only, fault)
            self.assertEqual(done.returncode, 1, fault)
            self.assertIn(said, done.stdout, fault)

    def test_unknown_names_are_refused(self):
        done = self.check("predictions", "none such")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no none such; there are 3m-1, ", done.stderr)

    def test_a_program_that_is_another_is_told(self):
        for part, only in (("predictions", "long-2"), ("recommendations", "wide-4")):
            done = subprocess.run([ROOT / "scripts" / "plan_check.sh", "--zero", "/bin/true",
                                   "--part", part, "--only", only, self.out],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn("printed no JSON", done.stderr)

    def test_there_are_forty_configurations(self):
        runs = report.runs_of([{"runs": group.runs} for group in configurations.GROUPS])
        self.assertEqual(len(runs), report.RUNS)

    def test_options_given_beside_a_group_count(self):
        self.assertEqual(zero_command.joined(["--prefetch", "2"], ["--stage", "3", "--prefetch", 1]),
                         ["--prefetch", "2", "--stage", "3"])


if __name__ == "__main__":
    unittest.main()
