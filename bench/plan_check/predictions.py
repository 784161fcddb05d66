"""Every configuration planned, trained and compared: bytes, and seconds of a step."""

import json

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
            "differing_bytes": differing_bytes(planned, real)}


def rate_of(ceilings):
    """Blocks a second, which moves with whatever else the machine does."""
    passes = json.loads(ceilings.read_text(encoding="utf-8"))["passes"]
    return 1 / (passes["forward"]["block"] + passes["backward"]["block"])


def check_group(zero, group):
    """Calibrates and checks every configuration of a group. Where others used the machine, or its
    rate was another afterwards, what was measured is no measure of what was predicted, and is
    measured again; what never was steady is kept as it is."""
    common = group.common()
    ceilings = zero.folder / "ceilings.json"
    zero.calibrate(common, ceilings)
    runs = []
    for run in group.runs:
        for attempt in range(1, ATTEMPTS + 1):
            result = check_run(zero, common, run, ceilings, STEADY)
            if result["steady"]:
                break
        result["attempts"] = attempt
        runs.append(result)
    return {"schema": "zero.plan_check/1", "group": group.name, "ranks": group.ranks,
            "options": common, "ceilings": json.loads(ceilings.read_text(encoding="utf-8")),
            "runs": runs}
