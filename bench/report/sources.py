"""Comparisons as `zero compare` wrote them, and the places of their values.

A place is the number of a file and a JSON pointer into it. Whatever a picture says in numbers it
takes from a place, and names it, so that the page can be held against the files.
"""

import json
from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Value:
    """A number, what it is multiplied by to be shown, and where it stands."""

    number: float
    place: str
    scale: float = 1.0

    @property
    def shown(self):
        return self.number * self.scale


def letter(file):
    """"A" of the first file."""
    return (letter(file // 26 - 1) if file >= 26 else "") + chr(ord("A") + file % 26)


class Run:
    """One run of one file."""

    def __init__(self, file, number, fields, several):
        self.file = file
        self.fields = fields
        self.pointer = f"/runs/{number}"
        self.prefix = f"{letter(file)}: " if several else ""

    @property
    def name(self):
        found = self.fields.get("name")
        if found is None:  # of before runs had names
            found = f"stage {self.fields['stage']}"
            if self.fields["offload"] != "none":
                found += f", offload {self.fields['offload']}"
        return self.prefix + found

    @property
    def name_place(self):
        return f"{self.file}#{self.pointer}/name"

    def at(self, *keys):
        """What stands there, or None."""
        found = self.fields
        for key in keys:
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def value(self, *keys, scale=1.0):
        """The number there as a Value, or None."""
        found = self.at(*keys)
        if not isinstance(found, (int, float)) or isinstance(found, bool):
            return None
        path = "/".join(str(key).replace("~", "~0").replace("/", "~1") for key in keys)
        return Value(found, f"{self.file}#{self.pointer}/{path}", scale)

    def most(self, array, *keys, scale=1.0):
        """Of the entries of an array, the highest value at `keys`, or None."""
        values = [self.value(array, i, *keys, scale=scale)
                  for i in range(len(self.at(array) or []))]
        return max((v for v in values if v is not None), key=lambda v: v.number, default=None)


def read(paths):
    """All runs of the files, in their order."""
    runs = []
    for file, path in enumerate(paths):
        with open(path, encoding="utf-8") as stream:
            report = json.load(stream)
        runs += [Run(file, i, fields, len(paths) > 1) for i, fields in enumerate(report["runs"])]
    return runs
