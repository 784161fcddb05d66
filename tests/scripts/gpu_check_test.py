"""scripts/gpu_check.sh on a machine of stand-ins: nvidia-smi, compute-sanitizer and every program
of the kit are scripts that print what the real ones do."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CHECK = ROOT / "scripts" / "gpu_check.sh"
sys.path.insert(0, str(ROOT / "scripts"))
from gpu_checks import parts  # noqa: E402

NVIDIA_SMI = """#!/bin/bash
if [ "$1" = -L ]; then echo "GPU 0: Stand-in (UUID: GPU-1)"; else echo "Stand-in, 580.1, 9 MiB"; fi
"""
# Prints what the file of its name says, or else no errors, and ends as its program does.
SANITIZER = """#!/bin/bash
shift; tool=$1; shift 5
"$@"; code=$?
cat "$MACHINE/$tool" 2>/dev/null || echo "========= ERROR SUMMARY: 0 errors"
grep -q "SUMMARY: [1-9]" "$MACHINE/$tool" 2>/dev/null && exit 66
exit $code
"""
# NAME.sh, where there is one, is what a test binary does besides.
TEST_PROGRAM = """#!/bin/bash
name=$(basename "$0")
[ -e "$MACHINE/$name.sh" ] && { source "$MACHINE/$name.sh"; }
for word; do case $word in --gtest_output=xml:*) report=${word#*xml:} ;; esac; done
cat "$MACHINE/report.xml" > "$report"
"""
REPORT = """<testsuites><testsuite name="s">
<testcase name="updates_equal_the_reference/cuda" classname="places/processors" result="completed"/>
<testcase name="b" classname="s" result="skipped"><skipped message="x.cpp:1&#x0A;one card"/></testcase>
</testsuite></testsuites>"""
FAILED_REPORT = REPORT.replace('result="completed"/>',
                               'result="completed"><failure message="no"/></testcase>')
ZERO = """#!/usr/bin/env python3
import json, os, sys
given = sys.argv[1:]
after = lambda name: given[given.index(name) + 1]
machine = os.environ["MACHINE"]
run = {"schema": "zero.run/1", "ranks": 4, "losses": [5.5, 4.5], "tokens_per_second": 100.0,
       "device": {"fraction_of_matrix_rate": 0.5}}
if given[0] == "info":
    print(json.dumps({"cuda": {"devices": 1, "gpus": [{"free_bytes": 3200}]}}))
    sys.exit()
for folder in given[given.index("--text") + 1:]:
    if not any(os.path.isfile(os.path.join(folder, name)) for name in os.listdir(folder)):
        sys.exit(f"zero: --text: folder '{folder}' has no regular file in it")
if given[0] == "compare":
    different = os.path.exists(machine + "/digests_differ")
    runs = [{**run, "stage": s, "dtype": after("--dtype"), "step_seconds": {"median": 0.1},
             "parameters_digest": "ab" + str(s if different else 0)} for s in range(4)]
    with open(after("--output") + "/compare.json", "w") as file:
        json.dump({"schema": "zero.compare/1", "runs": runs}, file)
else:
    seconds = 0.104 if "--stage" in given and after("--stage") == "3" else 0.1
    with open(after("--json"), "w") as file:
        file.write(json.dumps({"schema": "zero.step/1"}) + "\\n")
        file.write(json.dumps({**run, "step_seconds": {"median": seconds}}) + "\\n")
"""
BENCH = """#!/bin/bash
echo "$*" > "$MACHINE/bench_arguments"
echo '{"elements": 50, "rows": [{"name": "update/adamw/fp32/none", "seconds": 0.01,
 "gb_per_second": 2800.0, "ceiling_gb_per_second": 3000.0, "fraction": 0.9333}]}'
"""


class GpuCheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.machine = Path(folder.name, "a machine")
        self.out = self.machine / "results"
        self.program("bin/nvidia-smi", NVIDIA_SMI)
        self.program("bin/compute-sanitizer", SANITIZER)
        for name in parts.TESTS:
            if name not in parts.OPTIONAL_TESTS:
                self.program(f"kit/{name}", TEST_PROGRAM)
        self.program("kit/zero", ZERO)
        self.program("kit/bench_update_gpu", BENCH)
        self.write("kit/gpu_build.json", json.dumps({"commit": "abc123", "cuda": "13.0"}))
        self.write("report.xml", REPORT)
        self.write("python/torch.py", "raise ImportError('no torch on this machine')\n")

    def write(self, name, text):
        path = self.machine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def program(self, name, text):
        self.write(name, text).chmod(0o755)

    def check(self, *options):
        """(exit code, standard output and error, gpu_check.json, gpu_check.md)"""
        environment = {**os.environ, "MACHINE": str(self.machine),
                       "PATH": f"{self.machine}/bin:{os.environ['PATH']}",
                       "PYTHONPATH": str(self.machine / "python")}
        ran = subprocess.run([CHECK, "--out", self.out, "--bin", self.machine / "kit", *options],
                             env=environment, capture_output=True, text=True, timeout=300,
                             check=False)
        report, table = self.out / "gpu_check.json", self.out / "gpu_check.md"
        return (ran.returncode, ran.stdout + ran.stderr,
                json.loads(report.read_text(encoding="utf-8")) if report.exists() else None,
                table.read_text(encoding="utf-8") if table.exists() else "")

    def results(self, report, part):
        return {row.get("tool", "") + row["name"]: row for row in report["parts"][part]["results"]}

    def test_without_a_gpu_it_says_so_in_one_line(self):
        self.program("bin/nvidia-smi", "#!/bin/bash\necho 'No devices were found'\nexit 6\n")
        code, text, report, _ = self.check()
        self.assertEqual((code, len(text.splitlines()), report), (77, 1, None))
        self.assertIn("no GPU here", text)

    def test_wrong_usage_is_refused(self):
        for options in (["--only", "everything"], ["--limit", "soon"], ["--fast"], ["--what", "1"]):
            code, text, report, _ = self.check(*options)
            self.assertEqual((code, len(text.splitlines()), report), (2, 1, None), text)
            self.assertIn(options[0], text)

    def test_without_what_was_built_it_says_how_to_build_it(self):
        (self.machine / "kit" / "gpu_build.json").unlink()
        code, text, _, _ = self.check()
        self.assertEqual(code, 2)
        self.assertIn("gpu_build.sh", text)

    def test_a_machine_where_all_is_well(self):
        code, text, report, table = self.check()
        self.assertEqual(code, 0, text)
        self.assertEqual(report["schema"], "zero.gpu_check/1")
        self.assertEqual((report["commit"], report["machine"]["gpu"], report["machine"]["driver"]),
                         ("abc123", "Stand-in", "580.1"))
        self.assertIn("scripts/gpu_check.sh --out", report["command"])
        self.assertEqual(list(report["parts"]), ["tests", "trainer", "bench", "sanitizer"])
        tests = self.results(report, "tests")
        self.assertEqual(tests["engine_cuda_test"]["passed"], 1)
        self.assertEqual(tests["engine_cuda_test"]["skipped"], ["s.b: one card"])
        self.assertEqual(tests["collectives_nccl_test"]["state"], "not run")
        sanitizer = self.results(report, "sanitizer")
        self.assertEqual(len(sanitizer), 3 * len(parts.SMALL))
        self.assertEqual({row["state"] for row in sanitizer.values()}, {"ok"})
        trainer = self.results(report, "trainer")
        self.assertEqual(trainer["zero compare bf16"]["digests"], ["ab0"])
        self.assertIn("Nothing failed.", table)
        self.assertIn("one card", table)
        met = {row["question"]: (row["value"], row["met"])
               for part in report["parts"].values() for row in part["bars"]}
        self.assertEqual(met["gpt2 in bf16, of the card's bf16 matrix rate"], (0.5, True))
        self.assertEqual(met["update/adamw/fp32/none: of the device's copy rate"], (0.9333, True))
        self.assertEqual(met["update/adamw/bf16/bf16: of the device's copy rate"], (None, None))
        ratio = next(value for name, value in met.items() if name.startswith("stage 3 over"))
        self.assertAlmostEqual(ratio[0], 1.04)
        arguments = (self.machine / "bench_arguments").read_text(encoding="utf-8")
        self.assertEqual(arguments, "--elements 50\n")  # half of 3200 bytes, at 32 an element

    def test_one_part_alone(self):
        code, _, report, _ = self.check("--only", "bench", "--only", "tests")
        self.assertEqual((code, list(report["parts"])), (0, ["tests", "bench"]))

    def test_a_test_that_fails_and_one_that_crashes(self):
        self.write("base_test.sh", "exec kill -SEGV $$\n")
        self.write("report.xml", FAILED_REPORT)
        code, _, report, table = self.check("--only", "tests", "--only", "bench")
        self.assertEqual(code, 1)
        tests = self.results(report, "tests")
        self.assertEqual(tests["base_test"]["state"], "failed")
        self.assertEqual(tests["base_test"]["failed"], 1)
        self.assertEqual(tests["optim_processor_test"]["failures"], [parts.SAME_UPDATE])
        self.assertEqual(report["parts"]["tests"]["bars"][0]["met"], False)
        self.assertEqual(self.results(report, "bench")["bench_update_gpu"]["state"], "ok")
        self.assertIn(parts.SAME_UPDATE, table)

    def test_a_binary_that_skips_everything_has_failed(self):
        self.write("report.xml", REPORT.replace(
            'result="completed"/>', 'result="skipped"><skipped message="no GPU: none"/></testcase>'))
        code, _, report, _ = self.check("--only", "tests")
        self.assertEqual(code, 1)
        self.assertIn("skipped every test", self.results(report, "tests")["base_test"]["trouble"])
        self.assertIsNone(report["parts"]["tests"]["bars"][0]["value"])

    def test_one_that_hangs_is_ended_and_what_has_no_time_is_named(self):
        self.write("base_lanes_test.sh", "sleep 1000\n")
        code, _, report, _ = self.check("--only", "tests", "--limit", "4")
        tests = self.results(report, "tests")
        self.assertEqual(code, 1)
        self.assertEqual(tests["base_test"]["state"], "ok")
        self.assertIn("stopped after", tests["base_lanes_test"]["trouble"])
        self.assertIn("no time was left", tests["engine_cuda_test"]["trouble"])

    def test_what_a_sanitizer_finds(self):
        self.write("racecheck", "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors)\n")
        self.write("initcheck", "========= Device not supported. Please refer to the manual\n")
        code, _, report, table = self.check("--only", "sanitizer")
        found = self.results(report, "sanitizer")
        self.assertEqual(code, 1)
        self.assertEqual(found["memcheckbase_lanes_test"]["state"], "ok")
        self.assertEqual((found["racecheckbase_lanes_test"]["state"],
                          found["racecheckbase_lanes_test"]["errors"]), ("failed", 2))
        self.assertEqual(found["initcheckbase_lanes_test"]["state"], "not run")
        self.assertIn("racecheck base_lanes_test", table)

    def test_a_sanitizer_that_says_nothing_has_not_passed(self):
        self.write("memcheck", "\n")
        code, _, report, _ = self.check("--only", "sanitizer")
        self.assertEqual(code, 1)
        self.assertEqual(self.results(report, "sanitizer")["memcheckengine_cuda_test"]["state"],
                         "failed")

    def test_stages_that_differ(self):
        self.write("digests_differ", "")
        code, _, report, table = self.check("--only", "trainer")
        self.assertEqual(code, 1)
        self.assertEqual(len(self.results(report, "trainer")["zero compare fp32"]["digests"]), 4)
        self.assertIn("4 different digests", table)

    def test_a_bar_that_is_not_met_is_a_number_and_no_failure(self):
        self.program("kit/bench_update_gpu", BENCH.replace("0.9333", "0.5"))
        code, _, report, table = self.check("--only", "bench")
        self.assertEqual((code, report["parts"]["bench"]["bars"][0]["met"]), (0, False))
        self.assertIn("| 0.500 | at least 0.9 | no |", table)


if __name__ == "__main__":
    unittest.main()
