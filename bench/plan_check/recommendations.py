"""For a few budgets: all that fits is trained, and what is recommended must be the fastest."""

import json
from dataclasses import dataclass
from typing import List

from .configurations import dims
from .zero_command import Failed, middle, tiers_of


@dataclass
class Budget:
    name: str
    ranks: int
    options: List[str]
    bytes: str

    def common(self):
        return ["--ranks", str(self.ranks), *self.options]


BUDGETS = [
    Budget("3m-2-roomy", 2, ["--model", "gpt-3m", "--batch", "4"], "80MiB"),
    Budget("3m-2-tight", 2, ["--model", "gpt-3m", "--batch", "4"], "34MiB"),
    Budget("11m-2", 2, ["--model", "gpt-11m", "--batch", "4", "--sequence", "128"], "110MiB"),
    # Little to compute beside what is moved: here the disk decides.
    Budget("11m-2-disk", 2, ["--model", "gpt-11m", "--batch", "2", "--sequence", "16"], "80MiB"),
    Budget("odd-3-bf16", 3, ["--model", "gpt-4m-odd", "--dtype", "bf16", "--batch", "6"], "32MiB"),
    Budget("wide-4", 4, [*dims(2, 512, 8, 2000, 32), "--batch", "8"], "60MiB"),
]

GLANCE = 0.6  # seconds of steps of each way that fits
FINALISTS = 4  # of the fastest, measured again beside what is recommended
ROUNDS = 5


def key_of(way):
    return [str(word) for word in tiers_of(way)]


def left_to_the_budget(ways):
    """Stages and units ahead that were looked at, with nothing said of what rests where."""
    asked = {(way["policy"], way["prefetch"]) for way in ways}
    return [["--stage", stage, "--prefetch", str(ahead)] for stage, ahead in sorted(asked)]


def check_budget(zero, budget):
    """Every way that the plan looked at and that fits is trained once, and what the budget alone
    makes of every stage; then the fastest of these and what is recommended in turns, since the
    fastest of many is partly the luckiest. What is recommended is trained as a user would, by the
    configuration."""
    common = budget.common()
    ceilings = zero.folder / "ceilings.json"
    zero.calibrate(common, ceilings)
    report = zero.plan(common, "--ceilings", ceilings, "--memory-budget", budget.bytes)
    recommended = report["recommendation"]
    found = {"schema": "zero.plan_check/1", "budget": budget.name, "bytes": budget.bytes,
             "ranks": budget.ranks, "options": common,
             "ceilings": json.loads(ceilings.read_text(encoding="utf-8")),
             "recommended": key_of(recommended), "reason": recommended["reason"], "ways": []}
    limited = [*common, "--memory-budget", budget.bytes]
    for way in recommended["ways"]:
        if not way["fits"]:
            continue
        _, seconds = zero.train(limited, tiers_of(way), way["estimate"], GLANCE, 5)
        found["ways"].append({"words": key_of(way), "predicted": way["estimate"],
                              "measured": middle(seconds)})
    estimate = recommended["step_seconds"]["estimate"]
    for words in left_to_the_budget(recommended["ways"]):
        try:
            _, seconds = zero.train(limited, words, estimate, GLANCE, 5)
        except Failed as why:
            if "too small" not in str(why):
                raise
            continue
        found["ways"].append({"words": words, "predicted": estimate, "measured": middle(seconds)})
    found["ways"].sort(key=lambda way: way["measured"])
    config = zero.folder / "recommended.json"
    config.write_text(json.dumps(recommended["config"]), encoding="utf-8")
    ours = {"words": ["--config", str(config)], "predicted": estimate}
    finalists = [way for way in found["ways"] if way["words"] != found["recommended"]]
    finalists = [*finalists[:FINALISTS], ours]
    for _ in range(ROUNDS):
        for way in finalists:
            _, seconds = zero.train(limited, way["words"], way["predicted"], 2 * GLANCE, 7)
            way.setdefault("again", []).append(middle(seconds))
    best = min(finalists, key=lambda way: middle(way["again"]))
    found["fastest"] = found["recommended"] if best is ours else best["words"]
    found["recommended_estimate"] = estimate
    found["fastest_seconds"] = middle(best["again"])
    found["recommended_seconds"] = middle(ours["again"])
    found["behind"] = found["recommended_seconds"] / found["fastest_seconds"] - 1
    return found
