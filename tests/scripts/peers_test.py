"""bench/peers: what is made of measurements, on made-up ones, and turns with made-up contestants. None
of it needs what is compared with."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PEERS = ROOT / "bench" / "peers"
sys.path.insert(0, str(PEERS))

import contest  # noqa: E402
import table  # noqa: E402


def row(ours, theirs, **more):
    return {"row": "r", "what": "w", "peer": "p", "unit": "seconds", "ours": ours,
            "theirs": theirs, **more}


class TableTest(unittest.TestCase):
    def test_ratios_are_of_pairs_and_not_of_medians(self):
        got = table.summarised(row([1.0, 4.0, 3.0], [2.0, 2.0, 6.0]))
        self.assertEqual(got["ratios"], [0.5, 2.0, 0.5])
        self.assertEqual((got["ratio"], got["least"], got["most"]), (0.5, 0.5, 2.0))
        self.assertEqual((got["ours_median"], got["theirs_median"]), (3.0, 2.0))

    def test_the_middle_half_leaves_out_a_quarter_on_each_side(self):
        self.assertEqual(table.quartiles([5.0, 1.0, 3.0, 2.0, 4.0]), (2.0, 4.0))
        self.assertEqual(table.quartiles([7.0]), (7.0, 7.0))
        self.assertEqual(table.quartiles([3.0, 1.0, 2.0]), (1.0, 3.0))

    def test_verdicts(self):
        for ratios, said in (([0.5, 0.6, 0.7, 0.8, 3.0], "ahead"),
                             ([1.2, 1.3, 1.4, 1.5, 0.1], "behind"),
                             ([0.5, 0.9, 1.0, 1.1, 1.5], "even"),
                             ([1.005], "even"), ([0.995], "even"), ([1.02], "behind"),
                             ([0.98], "ahead")):
            with self.subTest(ratios=ratios):
                self.assertEqual(table.verdict(ratios), said)

    def test_who_did_other_work_is_not_ahead(self):
        for difference, said in ((0.1, "ahead"), (0.2, "not the same work"),
                                 (float("nan"), "not the same work")):
            check = {"what": "losses differ by", "difference": difference, "allowed": 0.1}
            got = row([1.0], [2.0], check=check)
            self.assertEqual(table.summarised(got)["verdict"], said)
            self.assertEqual(table.differs(got), said != "ahead")

    def test_what_is_no_measurement_is_refused(self):
        for ours, theirs in (([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [-1.0])):
            with self.subTest(ours=ours, theirs=theirs), self.assertRaises(ValueError):
                table.summarised(row(ours, theirs))

    def test_page_says_what_was_lost_the_worst_first_and_what_was_not_measured(self):
        rows = [row([3.0], [2.0], what="slow"), row([9.0], [3.0], what="slowest"),
                row([1 << 20], [4 << 20], what="small", unit="bytes"),
                {"row": "r", "what": "missing", "peer": "x|y", "absent": "no such package"}]
        whole = table.document(rows, {
            "date": "2001-02-03", "commit": "abc", "command": "scripts/peers.sh r", "versions":
            {"x": "1.2"}, "machine": {"processor": "p", "cores": 2, "memory": 3 << 30,
                                      "system": "s"}})
        self.assertEqual(whole["schema"], "zero.peers/1")
        page = table.page(whole)
        self.assertIn("| small | p | 1.0 MiB | 4.0 MiB | 0.25 |  | ahead |  |", page)
        self.assertIn("| missing | x/y |  |  |  |  | not measured | no such package |", page)
        lost = page[page.index("## Where we lose"):]
        self.assertLess(lost.index("slowest, against p: 3.00"), lost.index("slow, against p: 1.50"))
        self.assertNotIn("small", lost)
        self.assertIn("Of 4 rows: 1 ahead, 2 behind, 1 not measured.", page)

    def test_a_page_without_a_loss_says_so(self):
        self.assertEqual(table.behind([table.summarised(row([1.0], [2.0]))]), [])


SPEAKER = f"""
import sys
sys.path.insert(0, {str(PEERS)!r})
import participant
"""


def speaker(code):
    """A contestant in Python: `code` is run beside participant."""
    return [sys.executable, "-B", "-c", SPEAKER + textwrap.dedent(code)]


class ContestTest(unittest.TestCase):
    def test_the_slowest_rank_counts(self):
        code = "participant.serve(lambda word: {'seconds': float(word) + participant.rank()})"
        with contest.Contestant("c", speaker(code), ranks=3) as c:
            self.assertEqual(c.seconds("0.5"), 2.5)
            self.assertEqual([a["rank"] for a in c.say("1")], [0, 1, 2])
            folder = c.folder
        self.assertFalse(os.path.exists(folder))

    def test_pairs_take_turns_at_being_first_and_leave_out_what_warms_up(self):
        said = []

        def side(name):
            def turn():
                said.append(name)
                return float(len(said))
            return turn

        own, other = contest.pairs(side("a"), side("b"), 3, warm=1)
        self.assertEqual("".join(said), "baabbaab")
        self.assertEqual((own, other), ([3.0, 6.0, 7.0], [4.0, 5.0, 8.0]))

    def test_what_cannot_be_had_says_why(self):
        for code, reason in (("raise SystemExit('SomeError: no such thing')",
                              "c ended: SomeError: no such thing"),
                             ("participant.serve(lambda word: 1 / 0)",
                              "c: ZeroDivisionError: division by zero")):
            with self.subTest(reason=reason), self.assertRaises(contest.Absent) as told:
                with contest.Contestant("c", speaker(code)) as c:
                    c.say("go")
            self.assertEqual(str(told.exception), reason)
        with self.assertRaises(contest.Absent) as told:
            contest.Contestant("c", ["/nowhere/at-all"])
        self.assertIn("/nowhere/at-all: No such file", str(told.exception))

    def test_nothing_of_it_lives_on(self):
        code = """
            import subprocess
            child = subprocess.Popen(["sleep", "1000"])
            participant.serve(lambda word: {"child": child.pid})
        """
        with contest.Contestant("c", speaker(code)) as c:
            child = c.say("who")[0]["child"]
        try:
            with open(f"/proc/{child}/stat", encoding="utf-8") as file:
                self.assertEqual(file.read().rpartition(")")[2].split()[0], "Z")
        except FileNotFoundError:
            pass  # it is gone altogether


class RunTest(unittest.TestCase):
    def run_rows(self, folder, *words):
        return subprocess.run(
            [sys.executable, "-B", PEERS / "peers.py", *words, "--out", folder / "out",
             "--environment", folder / "environment", "--programs", folder / "programs"],
            capture_output=True, text=True, check=False)

    def made_up_place(self, folder):
        """Ours is there; theirs is not, and it is known why."""
        (folder / "programs").mkdir()
        (folder / "environment" / "absent").mkdir(parents=True)
        (folder / "environment" / "absent" / "torch").write_text("no network\n", encoding="utf-8")
        ours = folder / "programs" / "peer_update"
        ours.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        ours.chmod(ours.stat().st_mode | stat.S_IXUSR)

    def test_a_peer_that_cannot_be_had_is_a_row_with_the_reason(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self.made_up_place(folder)
            under = folder / "under"
            under.write_text(f"#!/bin/sh\necho once >>'{folder}/calls'\nexec \"$@\"\n",
                             encoding="utf-8")
            under.chmod(0o700)
            ran = self.run_rows(folder, "--quick", "--under", str(under), "update")
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertEqual((folder / "calls").read_text(encoding="utf-8"), "once\n")
            told = json.loads((folder / "out" / "peers.json").read_text(encoding="utf-8"))
            self.assertEqual(told["schema"], "zero.peers/1")
            self.assertEqual(len(told["rows"]), 6)
            for one in told["rows"]:
                self.assertEqual((one["absent"], one["verdict"]),
                                 ("torch: no network", "not measured"))
            page = (folder / "out" / "peers.md").read_text(encoding="utf-8")
            self.assertIn("Of 6 rows: 6 not measured.", page)

    def test_where_ours_is_missing_the_run_fails(self):
        with tempfile.TemporaryDirectory() as name:
            ran = self.run_rows(Path(name), "--quick", "update")
            self.assertEqual(ran.returncode, 1)
            told = json.loads((Path(name) / "out" / "peers.json").read_text(encoding="utf-8"))
            self.assertIn("peer_update was not built", told["rows"][0]["absent"])

    def test_wrong_usage(self):
        for words in (["nonsense"], ["--out"], ["--under"], ["--fast"]):
            with self.subTest(words=words):
                ran = subprocess.run([ROOT / "scripts" / "peers.sh", *words], capture_output=True,
                                     text=True, check=False)
                self.assertEqual(ran.returncode, 2)
                self.assertIn("peers.sh: ", ran.stderr)
        with tempfile.TemporaryDirectory() as name:
            ran = self.run_rows(Path(name), "nonsense")
            self.assertEqual(ran.returncode, 2)
            self.assertIn("no row is called 'nonsense'", ran.stderr)


if __name__ == "__main__":
    unittest.main()
