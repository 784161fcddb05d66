"""scripts/count_tests.py must not lose a failure, whatever way a test had of failing."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COUNT = ROOT / "scripts" / "count_tests.py"

GTEST = """<testsuites><testsuite name="s">
<testcase name="a" classname="s" status="run" result="completed"/>
<testcase name="b" classname="s" status="run" result="completed"/>
{more}</testsuite></testsuites>"""
FAILED = '<testcase name="c" classname="s" status="run"><failure message="no"/></testcase>'
SKIPPED = ('<testcase name="d" classname="s" status="run" result="skipped">'
           '<skipped message="/x.cpp:3&#x0A;one node only"/></testcase>')


def case(name, status="run", inside=""):
    return f'<testcase name="{name}" status="{status}">{inside}</testcase>'


class CountTest(unittest.TestCase):
    def count(self, cases, reports=()):
        """(the three numbers, everything printed above them)"""
        with tempfile.TemporaryDirectory() as folder:
            junit = Path(folder, "junit.xml")
            junit.write_text(f"<testsuite>{''.join(cases)}</testsuite>", encoding="utf-8")
            for name, text in dict(reports).items():
                Path(folder, name + ".xml").write_text(text, encoding="utf-8")
            ran = subprocess.run([sys.executable, COUNT, "s", junit, folder], capture_output=True,
                                 text=True, check=True)
        *above, last = ran.stdout.splitlines()
        return tuple(int(number) for number in last.split()), "\n".join(above)

    def test_single_googletest_cases_are_counted(self):
        numbers, text = self.count([case("x")], {"x": GTEST.format(more=SKIPPED)})
        self.assertEqual(numbers, (2, 0, 1))
        self.assertIn("s/s.d: one node only", text)

    def test_failures_are_shown_with_their_output(self):
        numbers, text = self.count(
            [case("x", "fail", "<failure message=''/><system-out>expected 3</system-out>")],
            {"x": GTEST.format(more=FAILED + SKIPPED)})
        self.assertEqual(numbers, (2, 1, 1))
        self.assertIn("FAILED s/x", text)
        self.assertIn("expected 3", text)

    def test_a_binary_that_fails_after_its_tests_passed(self):
        self.assertEqual(self.count([case("x", "fail")], {"x": GTEST.format(more="")})[0],
                         (2, 1, 0))

    def test_a_binary_that_crashed_wrote_no_report(self):
        self.assertEqual(self.count([case("x", "fail")])[0], (0, 1, 0))

    def test_a_report_that_was_cut_short(self):
        self.assertEqual(self.count([case("x", "fail")], {"x": "<testsuites><te"})[0], (0, 1, 0))

    def test_a_binary_without_tests_has_failed(self):
        self.assertEqual(self.count([case("x")], {"x": "<testsuites/>"})[0], (0, 1, 0))

    def test_a_case_that_could_not_be_started_has_failed(self):
        inside = '<skipped message="Unable to find executable"/>'
        self.assertEqual(self.count([case("x", "notrun", inside)])[0], (0, 1, 0))

    def test_a_case_that_says_it_is_skipped(self):
        inside = '<skipped message="SKIP_RETURN_CODE=77"/>'
        self.assertEqual(self.count([case("x", "notrun", inside)])[0], (0, 0, 1))

    def test_other_commands_count_as_one(self):
        self.assertEqual(self.count([case("x"), case("y", "fail")])[0], (1, 1, 0))

    def test_python_tests_are_counted_singly(self):
        good = "<system-out>Ran 5 tests in 1.0s\n\nOK (skipped=1)\n</system-out>"
        bad = "<system-out>Ran 4 tests in 1.0s\n\nFAILED (failures=1, errors=1)\n</system-out>"
        self.assertEqual(self.count([case("x", "run", good), case("y", "fail", bad)])[0],
                         (6, 2, 1))

    def test_why_python_tests_are_skipped_is_said(self):
        some = ("<system-out>Ran 5 tests in 1.0s\n\nOK (skipped=2)\nskipped: no browser\n"
                "</system-out>")
        counts, text = self.count([case("x", "run", some)])
        self.assertEqual(counts, (3, 0, 2))
        self.assertIn("skipped s/x: no browser", text)
        self.assertIn("skipped s/x: no reason given", text)


if __name__ == "__main__":
    unittest.main()
