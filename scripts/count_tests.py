#!/usr/bin/env python3
"""Counts the single tests of one ctest run, shows the failures and why others were skipped.

    scripts/count_tests.py NAME JUNIT.xml GTEST_DIR

JUNIT.xml is what ctest --output-junit wrote; GTEST_DIR holds the XML of the GoogleTest binaries
(GTEST_OUTPUT=xml:DIR/), each named as its ctest case is. A case with no such XML counts as the
tests that Python's unittest says it ran, or else as one. The last line printed is
"PASSED FAILED SKIPPED" as three numbers. Exit code 0 whatever they are.
"""

import re
import sys
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field
from pathlib import Path

SHOWN_LINES = 120  # of the output of each failure
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
UNITTEST_PART = re.compile(r"(failures|errors|skipped)=(\d+)")
SKIP_REASON = re.compile(r"^skipped: (.+)$", re.MULTILINE)


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: list = field(default_factory=list)  # "name: why"

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def count_googletest(path):
    """The tests of one binary, by the XML it wrote as it ended."""
    tally = Tally()
    for case in xml.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None:
            tally.failed += 1
        elif skipped is not None or case.get("result") == "skipped":
            why = (skipped.get("message") if skipped is not None else "") or ""
            # "file:line", then what was streamed into GTEST_SKIP()
            said = [line.strip() for line in why.splitlines() if line.strip()]
            tally.skipped.append(f"{name}: {said[-1] if said else 'no reason given'}")
        elif case.get("status") == "notrun" or case.get("result") == "suppressed":
            tally.skipped.append(f"{name}: disabled")
        else:
            tally.passed += 1
    return tally


def count_unittest(name, output):
    """The tests of a Python case, by its closing lines; None if it is none. Why some were skipped is
    what stands in lines "skipped: ..."."""
    ran = UNITTEST.search(output)
    if not ran:
        return None
    parts = {name: int(count) for name, count in UNITTEST_PART.findall(output[ran.end():])}
    skipped, failed = parts.get("skipped", 0), parts.get("failures", 0) + parts.get("errors", 0)
    reasons = SKIP_REASON.findall(output)[:skipped]
    reasons += ["no reason given"] * (skipped - len(reasons))
    return Tally(int(ran[1]) - failed - skipped, failed, [f"{name}: {why}" for why in reasons])


def count_case(case, gtest_dir):
    """One ctest case: its tally, and whether its output must be shown."""
    status, name = case.get("status"), case.get("name")
    output = case.findtext("system-out") or ""
    skipped = case.find("skipped")
    why = (skipped.get("message") or "") if skipped is not None else ""
    if status == "disabled" or why.startswith("SKIP_"):
        return Tally(skipped=[f"{name}: {why or status}"]), False
    report = Path(gtest_dir, name + ".xml")
    try:
        tally = count_googletest(report) if report.is_file() else count_unittest(name, output)
    except xml.ParseError:
        tally = Tally()  # cut short: it counts by how the case ended
    if status == "run":
        tally = tally or Tally(passed=1)
        if tally.passed + tally.failed + len(tally.skipped) == 0:
            tally.failed = 1  # it ran and tested nothing
    else:
        tally = tally or Tally()
        tally.failed = max(tally.failed, 1)  # a crash, a sanitizer at exit, a time-out
    return tally, tally.failed > 0


def show_failure(suite, case):
    failure = case.find("failure")
    skipped = case.find("skipped")
    why = next((node.get("message") for node in (failure, skipped) if node is not None), "")
    print(f"---- FAILED {suite}/{case.get('name')} {why or ''}".rstrip())
    lines = (case.findtext("system-out") or "").rstrip().splitlines()
    if len(lines) > SHOWN_LINES:
        print(f"     ({len(lines) - SHOWN_LINES} lines left out)")
    print("\n".join(lines[-SHOWN_LINES:]))


def main():
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    suite, junit, gtest_dir = sys.argv[1:]
    total = Tally()
    for case in xml.parse(junit).getroot().iter("testcase"):
        tally, must_show = count_case(case, gtest_dir)
        total.add(tally)
        if must_show:
            show_failure(suite, case)
    for line in total.skipped:
        print(f"     skipped {suite}/{line}")
    print(total.passed, total.failed, len(total.skipped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
