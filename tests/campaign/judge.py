#!/usr/bin/env python3
"""Whether two checkpoints hold the same state, read by nothing but this file.

    judge.py EXPECTED FOUND        two folders "step-<12 digits>"; JSON on standard output, exit
                                   code 0 if the states are bit for bit the same, 1 if not

It knows the format from libzero/checkpoint/README.md alone and shares no code with the library. A
state is put together from the extents of all ranks' files, each element exactly once, so that
checkpoints of different worlds can be compared. What differs by nature is left out: who saved, when,
on how many ranks.
"""

import argparse
import hashlib
import json
import struct
import sys
from pathlib import Path

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U8": 1}
CLIENT = "client/"


class Unsound(Exception):
    """What is no checkpoint."""


def expect(condition, what):
    if not condition:
        raise Unsound(what)


def read_safetensors(path):
    """(name, dtype, bytes) of each tensor. Strict: they fill the file without a hole."""
    blob = path.read_bytes()
    expect(len(blob) >= 8, f"{path}: no header")
    (length,) = struct.unpack("<Q", blob[:8])
    expect(8 + length <= len(blob), f"{path}: a header longer than the file")
    header = json.loads(blob[8:8 + length].decode("utf-8"))
    header.pop("__metadata__", None)
    body = memoryview(blob)[8 + length:]
    at = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        expect(begin == at, f"{path}: a hole or an overlap at {name}")
        count = 1
        for extent in entry["shape"]:
            count *= extent
        expect(end - begin == count * BYTES[entry["dtype"]], f"{path}: {name} has another size")
        at = end
        yield name, entry["dtype"], body[begin:end]
    expect(at == len(body), f"{path}: {len(body) - at} bytes of no tensor")


class State:
    """What a checkpoint holds, whatever the number of its files."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.manifest = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
        self.arrays = {}  # "exp_avg/NAME": its bytes
        self.client = {}
        extents = {}      # "exp_avg/NAME": [(first, bytes)]
        for entry in self.manifest["files"]:
            path = self.folder / entry["name"]
            expect(path.stat().st_size == entry["bytes"], f"{path}: not the manifest's size")
            for name, dtype, values in read_safetensors(path):
                if name.startswith(CLIENT):
                    self.client[name[len(CLIENT):]] = bytes(values)
                    continue
                array, offset = name.rsplit("@", 1)
                begin = int(offset) * BYTES[dtype]
                extents.setdefault(array, []).append((begin, values))
        for array, pieces in extents.items():
            self.arrays[array] = self.whole(array, pieces)
        self.expect_complete()

    @staticmethod
    def whole(array, pieces):
        at = 0
        joined = []
        for begin, values in sorted(pieces, key=lambda piece: piece[0]):
            expect(begin == at, f"{array}: byte {min(begin, at)} is there twice or not at all")
            joined.append(values)
            at += len(values)
        return b"".join(joined)

    def expect_complete(self):
        """Weights of every parameter and every state of the trainable ones, and nothing else."""
        wanted = {}
        for parameter in self.manifest["parameters"]:
            if parameter.get("tied_to"):
                continue
            count = 1
            for extent in parameter["shape"]:
                count *= extent
            if count == 0:
                continue
            trainable = parameter["trainable"]
            size = {"fp32": 4, "fp16": 2, "bf16": 2}[parameter["dtype"]]
            wanted["weights/" + parameter["name"]] = count * (4 if trainable else size)
            for state in self.manifest["states"] if trainable else []:
                wanted[f"{state}/{parameter['name']}"] = count * 4
        found = {name: len(values) for name, values in self.arrays.items()}
        for name in sorted(set(wanted) | set(found)):
            expect(wanted.get(name) == found.get(name),
                   f"{self.folder}: {name} has {found.get(name)} bytes, not {wanted.get(name)}")

    def facts(self):
        """What else must be the same, by name."""
        keys = ("algorithm", "states", "parameters", "groups", "progress")
        return {key: self.manifest[key] for key in keys}

    def digest(self):
        sums = hashlib.sha256()
        for name in sorted(self.arrays):
            sums.update(name.encode())
            sums.update(self.arrays[name])
        return sums.hexdigest()


def differences(expected, found):
    for key, value in expected.facts().items():
        if found.facts()[key] != value:
            yield f"{key}: {found.facts()[key]} is not {value}"
    for name in sorted(set(expected.arrays) | set(found.arrays)):
        ours, theirs = expected.arrays.get(name), found.arrays.get(name)
        if ours == theirs:
            continue
        if ours is None or theirs is None or len(ours) != len(theirs):
            yield f"{name}: another size"
            continue
        at = next(i for i in range(len(ours)) if ours[i] != theirs[i])
        yield f"{name}: byte {at} differs"
    if expected.client != found.client:
        yield "what the client attached differs"


def judge(expected, found):
    try:
        ours, theirs = State(expected), State(found)
        different = list(differences(ours, theirs))
        return {"equal": not different, "differences": different[:20], "sha256": theirs.digest(),
                "arrays": len(theirs.arrays),
                "bytes": sum(len(values) for values in theirs.arrays.values())}
    except (Unsound, OSError, KeyError, TypeError, ValueError) as problem:
        return {"equal": False, "differences": [f"{type(problem).__name__}: {problem}"]}


def main():
    parser = argparse.ArgumentParser(description="Compares two checkpoints.")
    parser.add_argument("expected")
    parser.add_argument("found")
    options = parser.parse_args()
    verdict = judge(options.expected, options.found)
    print(json.dumps(verdict))
    return 0 if verdict["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
