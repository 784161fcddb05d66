"""The 40 ways to train that plan_check predicts and measures.

A group is one calibration: a model, ranks, a dtype and batches; its runs differ in what a plan
chooses between: stage, tiers, units gathered ahead, ways to accumulate.
"""

from dataclasses import dataclass, field
from typing import List, Tuple


def dims(layers: int, channels: int, heads: int, vocabulary: int, context: int) -> List[str]:
    return ["--layers", str(layers), "--channels", str(channels), "--heads", str(heads),
            "--vocabulary", str(vocabulary), "--context", str(context)]


@dataclass
class Run:
    stage: str
    offload: str = "none"  # all that the stage shards and may leave
    options: Tuple[str, ...] = ()

    def name(self) -> str:
        return " ".join(["stage", self.stage, self.offload, *self.options])


@dataclass
class Group:
    name: str
    ranks: int
    model: List[str]
    options: List[str]
    runs: List[Run] = field(default_factory=list)

    def common(self) -> List[str]:
        return [*self.model, "--ranks", str(self.ranks), *self.options]


GROUPS = [
    Group("3m-1", 1, ["--model", "gpt-3m"], ["--batch", "4"],
          [Run("0"), Run("0", "cpu"), Run("3", "nvme")]),
    Group("3m-2", 2, ["--model", "gpt-3m"], ["--batch", "4"],
          [Run("0"), Run("1"), Run("2", "cpu"), Run("3"), Run("3", "cpu"), Run("3", "nvme")]),
    Group("3m-4-bf16", 4, ["--model", "gpt-3m"], ["--dtype", "bf16", "--batch", "8"],
          [Run("1"), Run("2"), Run("3"), Run("2", "nvme"), Run("3", "cpu", ("--prefetch", "2"))]),
    Group("11m-2", 2, ["--model", "gpt-11m"], ["--batch", "4", "--sequence", "128"],
          [Run("1"), Run("3"), Run("3", "cpu"), Run("1", "nvme")]),
    Group("11m-4", 4, ["--model", "gpt-11m"], ["--batch", "4"],
          [Run("0"), Run("2"), Run("3")]),
    Group("11m-4-bf16", 4, ["--model", "gpt-11m"],
          ["--dtype", "bf16", "--batch", "8", "--sequence", "64", "--accumulate", "2"],
          [Run("2"), Run("3", "cpu"), Run("3", "nvme")]),
    Group("odd-3", 3, ["--model", "gpt-4m-odd"], ["--batch", "6"],
          [Run("0"), Run("2"), Run("3", "none", ("--prefetch", "0")), Run("3", "nvme")]),
    Group("odd-1-bf16", 1, ["--model", "gpt-4m-odd"], ["--dtype", "bf16", "--batch", "3"],
          [Run("1"), Run("3", "cpu")]),
    Group("deep-4", 4, dims(8, 192, 6, 1000, 32), ["--batch", "16", "--accumulate", "2"],
          [Run("0"), Run("2"), Run("2", "none", ("--reduce-at", "boundary")), Run("3")]),
    Group("wide-3-bf16", 3, dims(2, 640, 10, 5000, 48), ["--dtype", "bf16", "--batch", "9"],
          [Run("0"), Run("1"), Run("2", "cpu"), Run("3")]),
    Group("long-2", 2, dims(3, 128, 2, 256, 512), ["--batch", "2", "--recompute"],
          [Run("1"), Run("3")]),
]
