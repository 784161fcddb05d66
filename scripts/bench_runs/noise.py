"""What changed between two runs beyond noise.

A case is compared by the logarithms of its repetitions: Student's t of their means with a pooled
variance. Many cases are compared at once, so each has its share of the probability that anything at
all is named where nothing changed (Bonferroni). What is found must also be no smaller than `least`:
two runs differ by more than their repetitions do, by where pages lie for example.
"""

import math
import statistics
from dataclasses import dataclass


@dataclass
class Difference:
    """`ratio`: how many times as long B takes, by medians; 1.2 is 20 % slower."""

    question: str
    name: str
    ratio: float
    probability: float  # of this much or more where nothing changed; of the one case
    spreads: tuple  # of A and B: standard deviation of a repetition, relative
    before: dict
    after: dict


def two_sided(t, freedom):
    """P(|T| >= t) of Student's distribution; Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    inside = (angle + sine * total) * 2 / math.pi if odd else sine * total
    return max(0.0, 1.0 - inside)


def times(entry, relative):
    """Of every repetition, in seconds or in times of the ceiling measured beside it."""
    return [1 / f for f in entry["fractions"]] if relative else entry["values"]


def spread(logarithms):
    return statistics.stdev(logarithms) if len(logarithms) > 1 else math.nan


def compare_case(before, after, relative):
    old, new = times(before, relative), times(after, relative)
    ratio = statistics.median(new) / statistics.median(old)
    a, b = [math.log(v) for v in old], [math.log(v) for v in new]
    probability = 1.0
    if len(a) > 1 and len(b) > 1:
        freedom = len(a) + len(b) - 2
        variance = (statistics.variance(a) * (len(a) - 1)
                    + statistics.variance(b) * (len(b) - 1)) / freedom
        distance = abs(statistics.fmean(b) - statistics.fmean(a))
        scale = math.sqrt(variance * (1 / len(a) + 1 / len(b)))
        probability = two_sided(distance / scale, freedom) if scale > 0 else float(distance == 0)
    return Difference(before["question"], before["name"], ratio, probability,
                      (spread(a), spread(b)), before, after)


@dataclass
class Comparison:
    differences: list  # of every case in both
    changed: list  # those beyond noise, slowest first
    missing: tuple  # names that only A has, and only B


def compare(first, second, relative=True, least=0.05, chance=0.05):
    """`first`, `second`: runs. `chance`: that anything is named where nothing changed."""
    before, after = ({(e["question"], e["name"]): e for e in run["benchmarks"]}
                     for run in (first, second))
    both = [key for key in before if key in after]
    differences = [compare_case(before[key], after[key], relative) for key in both]
    changed = [d for d in differences
               if d.probability <= chance / len(both) and abs(math.log(d.ratio)) >= math.log1p(least)]
    return Comparison(differences, sorted(changed, key=lambda d: -d.ratio),
                      ([k[1] for k in before if k not in after],
                       [k[1] for k in after if k not in before]))
