"""What a rank of the C trainer has in memory at stage 0 and at stage 3, with 80 million parameters and
four ranks, beside the twin that knows nothing of libzero.
    memory_test.py FOLDER_OF_THE_PROGRAMS [unittest's options]

Seen from outside, by the kernel: Pss of /proc/PID/smaps_rollup, in which a page that several ranks share
counts for each a part, and VmHWM of /proc/PID/status, in which it counts whole."""

import re
import sys
import unittest
from pathlib import Path

from programs import start

BIN = Path(sys.argv.pop(1))
RANKS = 4
# 16 * (12 * 640 * 640 + 2 * 640) + 264 * 640 + 640 = 78.8 million; activations are next to nothing.
MODEL = ["--layers", "16", "--channels", "640", "--heads", "10", "--sequence", "8", "--batch", "4",
         "--steps", "2"]
PARAMETERS = 16 * (12 * 640 * 640 + 2 * 640) + (256 + 8) * 640 + 640
MOST = 0.40


class Most:
    """The most memory that any of the processes was seen with, in MiB."""

    def __init__(self):
        self.pss = self.resident = 0.0

    def look(self, processes):
        for process in processes:
            for name, pattern in (("pss", "smaps_rollup"), ("resident", "status")):
                key = "Pss" if name == "pss" else "VmHWM"
                try:
                    text = Path(f"/proc/{process.pid}/{pattern}").read_text(encoding="utf-8")
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it has ended
                found = re.search(rf"^{key}:\s+(\d+) kB$", text, re.MULTILINE)
                if found:
                    setattr(self, name, max(getattr(self, name), int(found[1]) / 1024))


def why_not():
    """Why this cannot be measured here; "" where it can."""
    if not Path("/proc/self/smaps_rollup").exists():
        return "no smaps_rollup in /proc"
    free = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(encoding="utf-8"),
                     re.MULTILINE)
    needed = RANKS * 26 * PARAMETERS  # bytes, of stage 0
    if not free or int(free[1]) * 1024 < needed:
        return f"less than {needed >> 20} MiB of memory are free"
    return ""


class MemoryTest(unittest.TestCase):
    def measure(self, program, ranks, settings):
        most = Most()
        ran = start([BIN / program, *MODEL], ranks, settings, most.look, pause=0.05)
        self.assertEqual(ran.codes, [0] * max(ranks, 1), ran.errors)
        print(f"{program} {settings} {max(ranks, 1)} ranks: at most {most.pss:.0f} MiB Pss, "
              f"{most.resident:.0f} MiB resident, each", flush=True)
        return most, ran.losses

    def test_stage_3_has_at_most_40_percent_of_stage_0(self):
        twin, _ = self.measure("c_trainer_plain", 0, {})
        whole, expected = self.measure("c_trainer_stage1", RANKS, {"LIBZERO_STAGE": "0"})
        cut, losses = self.measure("c_trainer_stage3", RANKS, {"LIBZERO_STAGE": "3"})
        self.assertEqual(losses, expected)
        print(f"stage 3 / stage 0: {cut.pss / whole.pss:.3f} of Pss, "
              f"{cut.resident / whole.resident:.3f} of resident; stage 3 / twin: "
              f"{cut.pss / twin.pss:.3f} of Pss, {cut.resident / twin.resident:.3f} of resident")
        # Parameters, gradients and two moments in fp32: less would mean that nothing was measured.
        self.assertGreater(twin.pss, 16 * PARAMETERS / 2**20)
        self.assertLessEqual(cut.pss, MOST * whole.pss)
        self.assertLessEqual(cut.resident, MOST * whole.resident)


if __name__ == "__main__":
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main()
