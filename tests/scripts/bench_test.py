"""scripts/bench_compare.py names what changed and nothing else; scripts/bench.sh writes what it
reads. Runs are made up, but for one of a real benchmark.

    bench_test.py [FOLDER]      where bench_gather lies, if it is built
"""

import importlib
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = ROOT / "scripts"
BINARIES = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else ""
BINARIES = BINARIES and Path(BINARIES).resolve()

sys.dont_write_bytecode = True
sys.path.insert(0, str(SCRIPTS))
noise = importlib.import_module("bench_runs.noise")

# A case as Google Benchmark writes it, by a shell script in a benchmark's place.
FAKE = """#!/bin/sh
basename "$0" >> "{log}"
echo '{{"benchmarks": [{{"name": "case/iterations:2/manual_time", "iterations": 2,
 "seconds": 0.5, "ceiling_seconds": 0.25, "fraction": 0.5, "GB/s": 2e-9, "ceiling_GB/s": 4e-9,
 "extra": 7}}]}}'
"""


def made_up(cases=60, repetitions=5, varies=0.03, seed=1, slower=None, machine=1.0):
    """A run whose repetitions vary by `varies`; case number -> times as long in `slower`."""
    chance = random.Random(seed)
    benchmarks = []
    for case in range(cases):
        ceilings = [machine * 0.01 * chance.lognormvariate(0, 0.01) for _ in range(repetitions)]
        values = [c * 1.25 * (slower or {}).get(case, 1.0) * chance.lognormvariate(0, varies)
                  for c in ceilings]
        benchmarks.append({"question": "update", "name": f"case/{case}", "unit": "s",
                           "bytes": None, "values": values, "ceilings": ceilings,
                           "fractions": [c / v for c, v in zip(ceilings, values)]})
    return {"schema": "zero.bench/1", "commit": "abc", "date": "today", "quick": False,
            "machine": {"cpu": "made up", "cores": 2}, "benchmarks": benchmarks}


class Folder(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="bench test ")
        self.addCleanup(self.scratch.cleanup)
        self.folder = Path(self.scratch.name)

    def file(self, name, what):
        path = self.folder / name
        path.write_text(what if isinstance(what, str) else json.dumps(what), encoding="utf-8")
        return path


class CompareTest(Folder):
    def compare(self, first, second, *options):
        ran = subprocess.run([sys.executable, SCRIPTS / "bench_compare.py",
                              self.file("a.json", first), self.file("b.json", second), *options],
                             capture_output=True, text=True, check=False)
        named = [text.split("  ")[:2] for text in ran.stdout.splitlines()
                 if text.startswith(("slower", "faster"))]
        return ran, [(how, rest.split(": ")[1]) for how, rest in named]

    def test_nothing_is_named_where_there_is_noise_alone(self):
        for varies in (0.005, 0.03, 0.2):
            ran, named = self.compare(made_up(varies=varies, seed=2),
                                      made_up(varies=varies, seed=3), "--fail-on-slower")
            self.assertEqual((ran.returncode, named), (0, []), ran.stdout)
        self.assertIn("0 of 60 changed beyond noise", ran.stdout)

    def test_noise_is_taken_for_change_as_rarely_as_promised(self):
        # Promised are 5 comparisons in 100; of 200 more than 20 would be a chance in a thousand.
        wrong = sum(bool(noise.compare(made_up(30, seed=s), made_up(30, seed=s + 1000),
                                       least=0.0).changed) for s in range(200))
        self.assertLessEqual(wrong, 20)
        self.assertGreater(wrong, 0)  # and it is no test that names nothing

    def test_what_is_slower_or_faster_is_named_with_its_ratio(self):
        ran, named = self.compare(made_up(seed=4), made_up(seed=5, slower={7: 1.2, 9: 0.7}))
        self.assertEqual(ran.returncode, 0)
        self.assertEqual(named, [("slower", "case/7"), ("faster", "case/9")])
        ratio = float(ran.stdout.split("case/7  ")[1].split(" ")[0])
        self.assertAlmostEqual(ratio, 1.2, delta=0.06)
        self.assertIn("2 of 60", ran.stdout)

    def test_exit_code_says_slower_where_asked(self):
        first, slow, fast = made_up(seed=4), made_up(seed=5, slower={7: 1.2}), \
            made_up(seed=5, slower={7: 0.8})
        self.assertEqual(self.compare(first, slow, "--fail-on-slower")[0].returncode, 1)
        self.assertEqual(self.compare(first, fast, "--fail-on-slower")[0].returncode, 0)

    def test_a_change_within_noise_is_not_named(self):
        self.assertEqual(self.compare(made_up(seed=6, varies=0.3),
                                      made_up(seed=7, varies=0.3, slower={7: 1.2}))[1], [])

    def test_a_change_smaller_than_asked_for_is_not_named(self):
        first, second = made_up(seed=8, varies=0.001), made_up(seed=9, varies=0.001,
                                                               slower={7: 1.03})
        self.assertEqual(self.compare(first, second)[1], [])
        self.assertEqual(self.compare(first, second, "--least", "2")[1], [("slower", "case/7")])

    def test_a_slower_machine_is_no_change_but_by_seconds(self):
        first, second = made_up(seed=10), made_up(seed=11, machine=1.3)
        self.assertEqual(self.compare(first, second)[1], [])
        self.assertEqual(len(self.compare(first, second, "--by", "seconds")[1]), 60)

    def test_repetitions_that_are_all_equal(self):
        first, second = made_up(varies=0, seed=1), made_up(varies=0, seed=1, slower={3: 1.2})
        self.assertEqual(self.compare(first, first)[1], [])
        self.assertEqual(self.compare(first, second)[1], [("slower", "case/3")])

    def test_one_repetition_says_nothing(self):
        ran, named = self.compare(made_up(repetitions=1, seed=1),
                                  made_up(repetitions=1, seed=2, slower={3: 9.0}))
        self.assertEqual((ran.returncode, named), (0, []))

    def test_what_only_one_has_and_other_machines(self):
        first, second = made_up(3), made_up(4)
        second["machine"]["cores"] = 64
        del second["benchmarks"][0]
        out = self.compare(first, second)[0].stdout
        self.assertIn("only in A: case/0\n", out)
        self.assertIn("only in B: case/3\n", out)
        self.assertIn("machines differ in cores: 2, 64\n", out)

    def test_what_is_no_run_is_one_line_and_exit_code_2(self):
        def broken(change):
            run = made_up(2)
            change(run)
            return run

        good = made_up(2)
        wrong = {
            "no JSON": "{\"schema\": ",
            "schema 'zero.run/1'": broken(lambda r: r.update(schema="zero.run/1")),
            "schema None": [],
            "no benchmarks": broken(lambda r: r.update(benchmarks=[])),
            "without a name": broken(lambda r: r["benchmarks"][1].pop("name")),
            "values are no": broken(lambda r: r["benchmarks"][1].update(values=[0.0])),
            "large: values are no": broken(lambda r: r["benchmarks"][1].update(
                name="large", values=[10**400])),
            "fractions are no": broken(lambda r: r["benchmarks"][1].update(fractions=["1"])),
            "ceilings are no": broken(lambda r: r["benchmarks"][1].update(ceilings=[float("nan")])),
            "not as many": broken(lambda r: r["benchmarks"][1]["values"].append(1.0)),
        }
        for said, what in wrong.items():
            for pair in ((good, what), (what, good)):
                ran = self.compare(*pair)[0]
                self.assertEqual((ran.returncode, ran.stdout), (2, ""), said)
                self.assertEqual(len(ran.stderr.splitlines()), 1, ran.stderr)
                self.assertIn(said, ran.stderr)
        ran = subprocess.run([sys.executable, SCRIPTS / "bench_compare.py", self.folder / "none",
                              self.folder / "none"], capture_output=True, text=True, check=False)
        self.assertEqual(ran.returncode, 2)
        self.assertIn("No such file", ran.stderr)
        other = made_up(2)
        other["benchmarks"] = [dict(e, question="norm") for e in other["benchmarks"]]
        self.assertEqual(self.compare(good, other)[0].returncode, 2)

    def test_students_distribution(self):
        # Of printed tables.
        for t, freedom, p in ((12.706, 1, 0.05), (4.303, 2, 0.05), (3.182, 3, 0.05),
                              (2.571, 5, 0.05), (2.306, 8, 0.05), (5.041, 8, 0.001),
                              (2.977, 14, 0.01), (2.861, 19, 0.01)):
            self.assertAlmostEqual(noise.two_sided(t, freedom), p, delta=2e-3 * p)


class BenchTest(Folder):
    def bench(self, *arguments, **environment):
        return subprocess.run([SCRIPTS / "bench.sh", *arguments], capture_output=True, text=True,
                              check=False, cwd=self.folder, env={**os.environ, **environment})

    def fake(self, *names, script=FAKE):
        binaries = self.folder / "bin"
        binaries.mkdir(exist_ok=True)
        for name in names:
            program = binaries / f"bench_{name}"
            program.write_text(script.format(log=self.folder / "log"), encoding="utf-8")
            program.chmod(0o755)
        return binaries

    def test_questions_take_turns(self):
        ran = self.bench("--bin", self.fake("norm", "cast"), "--out", "o.json", "--repetitions",
                         "3", "cast", "norm")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual((self.folder / "log").read_text(encoding="utf-8").split(),
                         ["bench_cast", "bench_norm"] * 3)
        run = json.loads((self.folder / "o.json").read_text(encoding="utf-8"))
        self.assertEqual([e["question"] for e in run["benchmarks"]], ["norm", "cast"])
        case = run["benchmarks"][0]
        self.assertEqual((case["name"], case["values"], case["ceilings"], case["fractions"]),
                         ("case", [0.5] * 3, [0.25] * 3, [0.5] * 3))
        self.assertEqual((case["value"], case["ceiling"], case["fraction"], case["bytes"]),
                         (0.5, 0.25, 0.5, 1))
        self.assertEqual(case["others"], {"extra": [7.0] * 3})

    def test_a_benchmark_that_fails_ends_it_and_nothing_is_written(self):
        for script, said in (("#!/bin/sh\necho no disk >&2\nexit 3\n", "ended with 3: no disk"),
                             ("#!/bin/sh\necho {{}}\n", "wrote no JSON"),
                             ("#!/bin/sh\necho '{{\"benchmarks\": [{{\"name\": \"x\"}}]}}'\n",
                              "x has no seconds")):
            ran = self.bench("--bin", self.fake("norm", script=script), "--out", "o.json", "norm")
            self.assertEqual(ran.returncode, 1)
            self.assertIn(said, ran.stderr)
            self.assertFalse((self.folder / "o.json").exists())

    def test_wrong_usage(self):
        binaries = self.fake("norm")
        for arguments, said in ((["speed"], "speed: the questions are"),
                                (["norm cast"], "norm cast: the questions are"),
                                (["--turns", "0"], "--turns 0"), (["--out"], "a value is missing"),
                                (["--bin", binaries, "cast"], "has no bench_cast")):
            ran = self.bench(*arguments)
            self.assertEqual(ran.returncode, 2, arguments)
            self.assertIn(said, ran.stderr)

    @unittest.skipUnless(BINARIES, "the benchmarks are not built")
    def test_a_real_one(self):
        out = self.folder / "deep" / "o.json"
        ran = self.bench("--quick", "--bin", BINARIES, "--out", out, "gather",
                         ZERO_BENCH_DIRECTORY=str(self.folder))
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("| gather | `gather_and_release/stage:3` |", ran.stdout)
        run = json.loads(out.read_text(encoding="utf-8"))
        self.assertEqual((run["schema"], run["quick"], run["repetitions"]),
                         ("zero.bench/1", True, 2))
        self.assertTrue(all(run["machine"][key] for key in ("cpu", "cores", "memory", "kernel",
                                                            "compiler", "build_type")))
        self.assertRegex(run["version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual([e["name"] for e in run["benchmarks"]],
                         ["gather_and_release/stage:0", "gather_and_release/stage:3"])
        for entry in run["benchmarks"]:
            for value, ceiling in zip(entry["values"], entry["ceilings"]):
                self.assertTrue(0 < value < 1 and 0 < ceiling < 1)
        again = subprocess.run([sys.executable, SCRIPTS / "bench_compare.py", out, out],
                               capture_output=True, text=True, check=False)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("0 of 2 changed", again.stdout)
        text = out.with_suffix(".md").read_text(encoding="utf-8")
        self.assertIn("`scripts/bench.sh --quick --repetitions 2 --turns 2 gather`", text)
        self.assertIn("| gather | `gather_and_release/stage:0` |", text)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["deep"])  # nothing is left


if __name__ == "__main__":
    unittest.main()
