"""Runs as JSON: schema zero.bench/1, and who writes and reads it.

{"schema": "zero.bench/1", "command": [...], "date": ..., "commit": ..., "version": ...,
 "machine": {"cpu", "cores", "memory" (bytes), "kernel", "compiler", "build_type"},
 "quick": false, "turns": 7, "repetitions": 5, "seconds": ...,
 "benchmarks": [{"question": "update", "name": "update/adamw/bf16/bf16/threads:1", "unit": "s",
   "bytes": 939524096 or null, "values": [...], "ceilings": [...], "fractions": [...],
   "value":, "ceiling":, "fraction": (the medians), "others": {"over_separate": [...]}}]}

One entry of `values`, `ceilings` (what the ceiling takes for as much) and `fractions` for each
repetition, each the median over the turns of one process.
"""

import json
import math
import statistics

SCHEMA = "zero.bench/1"
SERIES = {"values": "seconds", "ceilings": "ceiling_seconds", "fractions": "fraction"}
MOST = 1e300  # seconds; what is more is no time
DERIVED = {"GB/s", "ceiling_GB/s"}
# What Google Benchmark writes of a case besides its counters.
OWN = {"name", "run_name", "run_type", "family_index", "per_family_instance_index", "repetitions",
       "repetition_index", "threads", "iterations", "real_time", "cpu_time", "time_unit"}


class Unreadable(Exception):
    """A file that is no run; the text is one line."""


def short_name(name):
    """Without what Google Benchmark adds for how a case is timed."""
    return "/".join(part for part in name.split("/")
                    if part != "manual_time" and not part.startswith("iterations:"))


class Series:
    """What the repetitions of one case came to."""

    def __init__(self, question, name):
        self.question, self.name, self.bytes = question, name, None
        self.counters = {}

    def add(self, case):
        """`case`: as Google Benchmark writes it."""
        counters = {key: float(value) for key, value in case.items()
                    if key not in OWN and isinstance(value, (int, float))}
        for name in SERIES.values():
            if not math.isfinite(counters.get(name, math.nan)):
                raise Unreadable(f"{self.name} has no {name}")
        if "GB/s" in counters:
            self.bytes = round(counters["GB/s"] * 1e9 * counters["seconds"])
        for name, value in counters.items():
            if name not in DERIVED:
                self.counters.setdefault(name, []).append(value)

    def as_json(self):
        series = {key: self.counters[name] for key, name in SERIES.items()}
        others = {name: values for name, values in self.counters.items()
                  if name not in SERIES.values()}
        return {"question": self.question, "name": self.name, "unit": "s", "bytes": self.bytes,
                **series, **{key[:-1]: statistics.median(values) for key, values in series.items()},
                **({"others": others} if others else {})}


def check(run):
    """Raises Unreadable unless it is one of ours."""
    if not isinstance(run, dict) or run.get("schema") != SCHEMA:
        found = run.get("schema") if isinstance(run, dict) else None
        raise Unreadable(f"schema {found!r}, not {SCHEMA!r}")
    if not isinstance(run.get("benchmarks"), list) or not run["benchmarks"]:
        raise Unreadable("no benchmarks in it")
    for entry in run["benchmarks"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) \
                or not isinstance(entry.get("question"), str):
            raise Unreadable("a benchmark without a name or a question")
        for key in SERIES:
            values = entry.get(key)
            if not isinstance(values, list) or not values or \
                    not all(type(v) in (int, float) and 0 < v < MOST for v in values):
                raise Unreadable(f"{entry['name']}: {key} are no positive numbers")
        if len({len(entry[key]) for key in SERIES}) > 1:
            raise Unreadable(f"{entry['name']}: not as many values as ceilings and fractions")


def read(path):
    """A run from a file; raises Unreadable with the file's name in it."""
    try:
        with open(path, encoding="utf-8") as file:
            run = json.load(file)
        check(run)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path}: no JSON: {' '.join(str(error).split())}") from error
    except Unreadable as error:
        raise Unreadable(f"{path}: {error}") from error
    return run
