"""Models of the sweep: the reference trainer's presets, and a GPT scaled in small steps.

The family: channels 64 k, k heads, k layers and a few more, vocabulary 256, context 64. Its members
are numbered so that each holds more of everything than the one before it.
"""

from dataclasses import dataclass
from functools import lru_cache

HEAD = 64
VOCABULARY = 256
CONTEXT = 64
PRESETS = ["gpt-3m", "gpt-11m", "gpt-85m", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]


@dataclass(frozen=True)
class Model:
    layers: int
    heads: int

    @property
    def channels(self):
        return HEAD * self.heads

    @property
    def parameters(self):
        """As GPT-2 has them: the head is the embedding."""
        wide = self.channels
        block = 12 * wide * wide + 13 * wide
        return (VOCABULARY + CONTEXT) * wide + self.layers * block + 2 * wide

    @property
    def options(self):
        return ["--layers", str(self.layers), "--channels", str(self.channels), "--heads",
                str(self.heads), "--vocabulary", str(VOCABULARY), "--context", str(CONTEXT)]

    @property
    def fields(self):
        return {"layers": self.layers, "channels": self.channels, "heads": self.heads,
                "vocabulary": VOCABULARY, "context": CONTEXT, "parameters": self.parameters}


@lru_cache(maxsize=None)
def of_width(heads):
    """The members that are so wide: as deep as wide, up to what the next width begins with."""
    most = Model(heads + 1, heads + 1).parameters
    layers, found = heads, []
    while Model(layers, heads).parameters < most:
        found.append(Model(layers, heads))
        layers += 1
    return found


@lru_cache(maxsize=None)
def begins(heads):
    """The number of the first member that is so wide."""
    return 0 if heads <= 1 else begins(heads - 1) + len(of_width(heads - 1))


MOST_HEADS = 512
MEMBERS = sum(len(of_width(heads)) for heads in range(1, MOST_HEADS + 1))


def member(number):
    heads = 1
    step = MOST_HEADS // 2
    while step:  # the widest that begins no later
        if heads + step <= MOST_HEADS and begins(heads + step) <= number:
            heads += step
        else:
            step //= 2
    return of_width(heads)[number - begins(heads)]


def largest(fits):
    """The number of the last member that fits, None where the first does not."""
    if not fits(0):
        return None
    good, bad = 0, 1
    while bad < MEMBERS and fits(bad):
        good, bad = bad, 2 * bad
    bad = min(bad, MEMBERS)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good
