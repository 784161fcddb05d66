"""Reads what tests, sanitizers, benchmarks and `zero` wrote. Nothing here runs anything."""

import json
import re
import xml.etree.ElementTree as xml
from pathlib import Path

from count_tests import count_googletest

SUMMARIES = (re.compile(r"ERROR SUMMARY: (\d+) error"),
             re.compile(r"RACECHECK SUMMARY: (\d+) hazard"))
# The tool or the device at fault, not the program.
NO_SANITIZER = re.compile(r"Device not supported|Unable to find injection library|"
                          r"Failed to initialize the sanitizer", re.IGNORECASE)


def failed_cases(path):
    return [f"{case.get('classname')}.{case.get('name')}"
            for case in xml.parse(path).getroot().iter("testcase")
            if case.find("failure") is not None]


def of_tests(name, ran, report):
    """One test binary: counts of single tests, names of what failed, reasons of what was skipped.
    A binary that crashed, ran out of time or tested nothing has failed once more."""
    row = {"name": name, "passed": 0, "failed": 0, "skipped": [], "failures": [],
           "seconds": round(ran.seconds, 2), "trouble": ""}
    try:
        tally = count_googletest(report)
        row.update(passed=tally.passed, failed=tally.failed, skipped=tally.skipped,
                   failures=failed_cases(report))
    except (OSError, xml.ParseError):
        row["trouble"] = ran.trouble() or "wrote no report"
    if not ran.ended_well and not row["failed"]:
        row["trouble"] = row["trouble"] or ran.trouble()
    if not row["trouble"] and row["passed"] + row["failed"] + len(row["skipped"]) == 0:
        row["trouble"] = "tested nothing"
    if not row["trouble"] and row["passed"] + row["failed"] == 0:
        row["trouble"] = "skipped every test"
    if row["trouble"]:
        row["failed"] += 1
    row["state"] = "failed" if row["failed"] else "ok"
    return row


def case_passed(report, name):
    """Whether a single case passed; None where it did not run."""
    try:
        cases = list(xml.parse(report).getroot().iter("testcase"))
    except (OSError, xml.ParseError):
        return None
    for case in cases:
        if f"{case.get('classname')}.{case.get('name')}" == name:
            if case.find("skipped") is not None or case.get("result") == "skipped":
                return None
            return case.find("failure") is None
    return None


def of_sanitizer(tool, name, ran, report):
    """One binary under one tool. Clean is: the tool said 0, the tests passed, and some ran."""
    row = {"tool": tool, "name": name, "seconds": round(ran.seconds, 2), "passed": 0,
           "errors": None, "trouble": ""}
    found = [int(match) for pattern in SUMMARIES for match in pattern.findall(ran.text)]
    if found:
        row["errors"] = max(found)
    tests = of_tests(name, ran, report)
    row["passed"] = tests["passed"]
    if ran.why or ran.timed_out:
        return {**row, "state": "not finished", "trouble": ran.trouble()}
    refused = NO_SANITIZER.search(ran.text)
    if refused:
        return {**row, "state": "not run", "trouble": refused.group(0)}
    if row["errors"]:
        return {**row, "state": "failed", "trouble": f"{row['errors']} errors"}
    if not ran.ended_well:
        return {**row, "state": "failed", "trouble": tests["trouble"] or ran.trouble()}
    if row["errors"] is None:
        return {**row, "state": "failed", "trouble": "the tool printed no summary"}
    if not row["passed"]:
        return {**row, "state": "failed", "trouble": "no test passed under it"}
    return {**row, "state": "ok"}


def of_compare(name, ran, file):
    """`zero compare`: whether all stages ended with the same parameters and memory held."""
    row = {"name": name, "seconds": round(ran.seconds, 2), "trouble": ran.trouble(), "runs": []}
    try:
        report = json.loads(Path(file).read_text(encoding="utf-8"))
        for run in report["runs"]:
            row["runs"].append({key: run.get(key) for key in (
                "stage", "ranks", "dtype", "parameters_digest", "step_seconds",
                "tokens_per_second", "losses")})
    except (OSError, ValueError, KeyError) as failed:
        row["trouble"] = row["trouble"] or f"no report: {failed}"
    digests = {run["parameters_digest"] for run in row["runs"]}
    row["digests"] = sorted(str(digest) for digest in digests)
    if not row["trouble"] and len(digests) != 1:
        row["trouble"] = f"{len(digests)} different digests"
    row["state"] = "failed" if row["trouble"] else "ok"
    return row


def of_train(name, ran, file):
    """`zero train --json`: its closing line."""
    row = {"name": name, "seconds": round(ran.seconds, 2), "trouble": ran.trouble()}
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        last = json.loads(lines[-1])
        if last.get("schema") != "zero.run/1":
            raise ValueError("its last line is not that of a run")
        row.update({key: last.get(key) for key in (
            "stage", "ranks", "dtype", "batch", "sequence", "parameters_digest", "step_seconds",
            "tokens_per_second", "device", "seconds_by_phase")})
        row["first_loss"], row["last_loss"] = last["losses"][0], last["losses"][-1]
    except (OSError, ValueError, KeyError, IndexError) as failed:
        row["trouble"] = row["trouble"] or f"no report: {failed}"
    row["state"] = "failed" if row["trouble"] else "ok"
    return row


def of_devices(ran):
    """`zero info --json`, which must see a GPU."""
    row = of_json("zero info", ran, "cuda")
    if row["state"] == "ok" and not row["printed"]["cuda"].get("devices"):
        row.update(state="failed", trouble="it sees no GPU that can be used")
    return row


def of_json(name, ran, needs):
    """A program that prints one JSON object with the field `needs`."""
    row = {"name": name, "seconds": round(ran.seconds, 2), "trouble": ran.trouble()}
    if not row["trouble"]:
        try:
            row["printed"] = json.loads(ran.text)
            if needs not in row["printed"]:
                row["trouble"] = f"printed no '{needs}'"
        except ValueError as failed:
            row["trouble"] = f"printed no JSON: {failed}"
    row["state"] = "failed" if row["trouble"] else "ok"
    return row
