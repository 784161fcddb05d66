"""Every configuration planned, trained and compared: bytes, feasibility, seconds of a step."""

import json
import re

from .quiet import Watch
from .zero_command import middle, tiers_of

# Cores that others kept busy, and the part by which the rate of blocks changed, at most.
STEADY = 0.10
ATTEMPTS = 3

MEMORY = ("parameters", "gradients", "optimizer", "buffers", "host", "disk", "peak")
SAID = ("all_gather", "reduce_scatter", "all_to_all", "calls")
MOVED = ("host_to_device", "device_to_host", "disk_read", "disk_written")


def differing_bytes(planned, real):
    """What is not as planned on some rank, in words."""
    found = []

    def compare(kind, key, expected, measured):
        if expected != measured:
            found.append(f"{kind}.{key}: {expected} planned, {measured} measured")

    memory = planned["memory"][0]
    for rank in real["memory"]:
        for key in MEMORY:
            compare("memory", key, memory["predicted"][key], rank["measured"][key])
        compare("memory", "activations", memory["activations"], rank["measured"]["activations"])
    for kind, keys in (("communication", SAID), ("offload_io", MOVED)):
        for rank in real[kind]:
            for key in keys:
                compare(kind, key, planned[kind][0][key], rank[key])
    return found


def fits(zero, common, planned, budget):
    report = zero.plan(common, "--stages", planned["policy"], "--offload", planned["offload"],
                       "--prefetch", planned["prefetch"], "--memory-budget", budget)
    return report["runs"][0]["fits"]


def wrong_feasibility(zero, common, planned):
    """Around what is planned, and around the smallest budget that training says would do: plan and
    training must agree, and what is planned must hold."""
    words = tiers_of(planned)
    peak = planned["memory"][0]["predicted"]["peak"]
    _, refusal = zero.accepts(common, words, 1)
    least = int(re.search(r"smallest that would do is (\d+)", refusal).group(1))
    expected = {peak: True, peak - 1: peak > least, least: True, least - 1: False}
    found = []
    for budget, holds in expected.items():
        said = fits(zero, common, planned, budget)
        accepted, _ = zero.accepts(common, words, budget)
        if said != holds or accepted != holds:
            found.append(f"--memory-budget {budget}: planned {said}, trained {accepted}, "
                         f"expected {holds}")
    return least, found


def check_run(zero, common, run, ceilings, steady):
    """One configuration, between two calibrations."""
    options = [*common, *run.options]
    planned = zero.plan(options, "--stages", run.stage, "--offload", run.offload, "--ceilings",
                        ceilings)["runs"][0]
    expected = planned["step_seconds"]["estimate"]
    watch = Watch()
    real, seconds = zero.train(options, tiers_of(planned), expected)
    others = watch.others()
    before = rate_of(ceilings)
    zero.calibrate(common, ceilings)
    drift = rate_of(ceilings) / before - 1
    measured = middle(seconds)
    return {"name": run.name(), "predicted": expected, "measured": measured,
            "ratio": expected / measured, "steps": seconds,
            "lower_bound": planned["step_seconds"]["lower_bound"],
            "bound_by": planned["step_seconds"]["bound_by"],
            "busy_seconds": planned["busy_seconds"],
            "seconds_by_phase": real["seconds_by_phase"], "steps_done": len(real["losses"]),
            "others": others, "drift": drift,
            "steady": others <= steady and abs(drift) <= steady,
            "bytes": planned["memory"][0]["predicted"],
            "differing_bytes": differing_bytes(planned, real)}, planned


def rate_of(ceilings):
    """Blocks a second, which moves with whatever else the machine does."""
    passes = json.loads(ceilings.read_text(encoding="utf-8"))["passes"]
    return 1 / (passes["forward"]["block"] + passes["backward"]["block"])


def check_group(zero, group, edges):
    """Calibrates and checks every configuration of a group. Where others used the machine, or its
    rate was another afterwards, what was measured is no measure of what was predicted, and is
    measured again; what never was steady is kept as it is."""
    common = group.common()
    ceilings = zero.folder / "ceilings.json"
    zero.calibrate(common, ceilings)
    runs = []
    for run in group.runs:
        for attempt in range(1, ATTEMPTS + 1):
            result, planned = check_run(zero, common, run, ceilings, STEADY)
            if result["steady"]:
                break
        result["attempts"] = attempt
        if edges:
            result["least_budget"], result["wrong_feasibility"] = wrong_feasibility(
                zero, [*common, *run.options], planned)
        runs.append(result)
    return {"schema": "zero.plan_check/1", "group": group.name, "ranks": group.ranks,
            "options": common, "ceilings": json.loads(ceilings.read_text(encoding="utf-8")),
            "runs": runs}
