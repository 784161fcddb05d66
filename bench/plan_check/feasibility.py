"""What fits a budget: planning and training must agree around its edges."""

import re

from .zero_command import tiers_of


def fits(zero, common, planned, budget):
    report = zero.plan(common, "--stages", planned["policy"], "--offload", planned["offload"],
                       "--memory-budget", budget)
    return report["runs"][0]["fits"]


def check_run(zero, common, run):
    """Around what is planned, and around the smallest budget that training says would do: what is
    planned holds and so does the smallest, a byte less than that does not, and between the two
    smaller cells of an update may."""
    common = [*common, *run.options]
    planned = zero.plan(common, "--stages", run.stage, "--offload", run.offload)["runs"][0]
    words = tiers_of(planned)
    peak = planned["memory"][0]["predicted"]["peak"]
    _, refusal = zero.accepts(common, words, 1)
    least = int(re.search(r"smallest that would do is (\d+)", refusal).group(1))
    wrong = []
    tried = {peak: True, peak - 1: peak > least, least: True, least - 1: False}
    for budget, holds in tried.items():
        said = fits(zero, common, planned, budget)
        accepted, _ = zero.accepts(common, words, budget)
        if said != holds or accepted != holds:
            wrong.append(f"--memory-budget {budget}: planned {said}, trained {accepted}, "
                         f"expected {holds}")
    return {"name": run.name(), "planned": peak, "least": least, "tried": len(tried),
            "wrong": wrong}


def check_group(zero, group):
    common = group.common()
    return {"schema": "zero.plan_check/1", "group": group.name, "options": common,
            "runs": [check_run(zero, common, run) for run in group.runs]}
