"""A trace of `zero train` against the Chrome trace event format: what begins ends, times are in order,
slices of a track lie within or beside each other, and what is said is what was run.

    trace_test.py ZERO [unittest options]
"""

import json
import subprocess
import sys
import tempfile
import unittest
from collections import defaultdict
from pathlib import Path

ZERO = sys.argv[1]
RANKS, STEPS = 2, 3
LANES = {0: "compute", 1: "communication", 2: "copy in", 3: "copy out"}
PHASES = {"X", "B", "E", "M", "C", "i", "b", "e", "n", "s", "t", "f"}


def faults(trace):
    """What is wrong with a trace, one line a fault."""
    found = []
    open_slices = defaultdict(list)  # of each track: B without E
    complete = defaultdict(list)
    counters = defaultdict(list)
    for number, event in enumerate(trace.get("traceEvents", [{}])):
        def fault(what, at=number, of=event):
            found.append(f"event {at} {what}: {of}")
        if not isinstance(event.get("name", None if event.get("ph") != "E" else ""), str):
            fault("has no name")
        kind = event.get("ph")
        if kind not in PHASES:
            fault("has no phase")
            continue
        if not isinstance(event.get("pid"), int):
            fault("has no process")
        if kind == "M":
            continue
        time = event.get("ts")
        if not isinstance(time, (int, float)) or time < 0:
            fault("has no time")
            continue
        track = (event.get("pid"), event.get("tid"))
        if kind == "X":
            if not isinstance(event.get("dur"), (int, float)) or event["dur"] < 0:
                fault("has no duration")
            else:
                complete[track].append((time, time + event["dur"]))
        elif kind == "B":
            open_slices[track].append(time)
        elif kind == "E":
            if not open_slices[track] or open_slices[track].pop() > time:
                fault("ends what did not begin")
        elif kind == "C":
            values = event.get("args", {}).values()
            if not values or not all(isinstance(v, (int, float)) for v in values):
                fault("counts nothing")
            counters[event.get("pid"), event["name"]].append(time)
    found += [f"{track}: {len(left)} that never end" for track, left in open_slices.items() if left]
    for track, spans in complete.items():
        if spans != sorted(spans, key=lambda span: span[0]):
            found.append(f"{track}: not in order of time")
        ends = []
        for begin, end in spans:
            while ends and ends[-1] <= begin + 0.002:  # what is written has three decimals
                ends.pop()
            if ends and end > ends[-1] + 0.002:
                found.append(f"{track}: [{begin}, {end}] reaches out of what it began in")
            ends.append(end)
    found += [f"{name}: counted out of order" for name, times in counters.items()
              if times != sorted(times)]
    return found


class Trace(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        path = Path(folder.name, "trace.json")
        text = Path(folder.name, "text")
        text.write_text("some words to learn\n" * 50, encoding="utf-8")
        ran = subprocess.run(
            [ZERO, "train", "--layers", "3", "--channels", "12", "--heads", "2", "--context", "8",
             "--vocabulary", "256", "--batch", "2", "--text", str(text), "--ranks", str(RANKS),
             "--steps", str(STEPS), "--stage", "3", "--offload-optimizer", "nvme",
             "--offload-parameters", "nvme", "--nvme-path", folder.name, "--trace", str(path),
             "--json", folder.name + "/run.json"],
            capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stderr
        cls.trace = json.loads(path.read_text(encoding="utf-8"))
        cls.events = cls.trace["traceEvents"]
        lines = Path(folder.name, "run.json").read_text(encoding="utf-8").splitlines()
        cls.outcome = json.loads(lines[-1])

    def test_is_what_the_format_says(self):
        self.assertEqual(faults(self.trace), [])

    def test_lanes_are_tracks_of_each_rank(self):
        for rank in range(RANKS):
            names = {e["tid"]: e["args"]["name"] for e in self.events
                     if e["name"] == "thread_name" and e["pid"] == rank}
            self.assertTrue(set(LANES.values()) <= set(names.values()), names)
            used = {e["tid"] for e in self.events if e["ph"] == "X" and e["pid"] == rank}
            self.assertTrue(used <= set(names), used)
            self.assertTrue({names[t].split(" 2")[0] for t in used} >= set(LANES.values()))

    def test_units_are_slices(self):
        units = self.outcome["timeline"]["units"]
        for rank in range(RANKS):
            names = {e["name"] for e in self.events if e["ph"] == "X" and e["pid"] == rank}
            for unit in units:
                self.assertIn(f"gather {unit}", names)
                self.assertIn(f"forward {unit}", names)
        gathers = [e for e in self.events if e["ph"] == "X" and e["pid"] == 0
                   and e["cat"] == "forward" and e["args"]["unit"] == 1]
        self.assertEqual(len(gathers), STEPS)

    def test_memory_is_counted(self):
        for rank in range(RANKS):
            counted = defaultdict(list)
            for e in self.events:
                if e["ph"] == "C" and e["pid"] == rank:
                    counted[e["name"]].append(e["args"]["bytes"])
            measured = self.outcome["memory"][rank]["measured"]
            for account in ("parameters", "gradients", "optimizer", "buffers", "host", "disk"):
                self.assertEqual(counted[f"memory: {account}"], [measured[account]])
            slots = counted["memory: slots in use"]
            self.assertGreater(len(slots), 4 * STEPS)
            self.assertGreater(max(slots), 0)
            self.assertLessEqual(max(slots), self.outcome["timeline"]["memory"]["slots_reserved"])

    def test_the_validator_sees_faults(self):
        slice_of = {"name": "a", "ph": "X", "pid": 0, "tid": 0, "ts": 5.0, "dur": 10.0}
        bad = {
            "no end": [{"name": "a", "ph": "B", "pid": 0, "tid": 0, "ts": 1}],
            "no begin": [{"name": "a", "ph": "E", "pid": 0, "tid": 0, "ts": 1}],
            "before it began": [{"name": "a", "ph": "B", "pid": 0, "tid": 0, "ts": 2},
                                {"name": "a", "ph": "E", "pid": 0, "tid": 0, "ts": 1}],
            "negative": [{**slice_of, "dur": -1}],
            "crossing": [slice_of, {**slice_of, "ts": 10.0}],
            "disorder": [{**slice_of, "ts": 30.0}, slice_of],
            "no time": [{"name": "a", "ph": "X", "pid": 0, "tid": 0, "dur": 1}],
            "empty count": [{"name": "a", "ph": "C", "pid": 0, "ts": 1, "args": {}}],
            "unknown": [{"name": "a", "ph": "Q", "pid": 0, "ts": 1}],
        }
        for name, events in bad.items():
            with self.subTest(name):
                self.assertNotEqual(faults({"traceEvents": events}), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
