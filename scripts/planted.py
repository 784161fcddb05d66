#!/usr/bin/env python3
"""Plants bugs, one after the other, and sees the tests catch each.

    scripts/planted.py [NAME...]     default: every tests/planted/*.plant
    scripts/planted.py --list        their names and what each breaks

A plant says what it breaks, in which file, and which tests are to notice:

    # A gradient summed where the mean was asked.
    file: libzero/engine/src/state.cpp
    tests: client_training_test
    <<<<
    lines as they are
    ====
    lines as they are not to be
    >>>>

It may have several such blocks, each after its own `file:`. What is replaced must be there exactly
once: a plant that does not fit any more is an error, as is one that does not compile. The tree is
copied, so the one at hand is never touched; the tests named must pass there before anything is
planted. Exit code 1 if a bug goes unnoticed.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLANTS = ROOT / "tests" / "planted"
SKIPPED = {".git", "build", "out", "__pycache__"}
TEST_SECONDS = 300


class Plant:
    """One bug: what it is, where it goes, and who is to notice."""

    def __init__(self, path):
        self.name = path.stem
        self.title, self.tests, self.blocks = "", [], []
        file, old, new, into = None, [], [], None
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line == "<<<<":
                old, new, into = [], [], "old"
            elif line == "====" and into == "old":
                into = "new"
            elif line == ">>>>" and into == "new":
                if file is None:
                    sys.exit(f"{path}:{number}: a block before any `file:`")
                self.blocks.append((file, "\n".join(old) + "\n", "\n".join(new) + "\n"))
                into = None
            elif into == "old":
                old.append(line)
            elif into == "new":
                new.append(line)
            elif line.startswith("#"):
                self.title = f"{self.title} {line[1:].strip()}".strip()
            elif line.startswith("file:"):
                file = line[5:].strip()
            elif line.startswith("tests:"):
                self.tests += line[6:].split()
            elif line.strip():
                sys.exit(f"{path}:{number}: neither a comment nor `file:`, `tests:` or a block")
        if into or not self.title or not self.tests or not self.blocks:
            sys.exit(f"{path}: needs a title, `tests:` and whole blocks")

    def plant(self, tree):
        """Changes the tree; gives back what the files were."""
        before = {}
        for file, old, new in self.blocks:
            path = tree / file
            text = path.read_text(encoding="utf-8")
            if text.count(old) != 1:
                restore(before)
                sys.exit(f"{self.name}: what is to be replaced is {text.count(old)} times in {file}")
            before.setdefault(path, text)
            path.write_text(text.replace(old, new), encoding="utf-8")
        return before


def restore(before):
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")


def copy_tree(source, target):
    """What changed since the last copy; times stay, so that only that is built again."""
    wanted = set()
    for folder, folders, files in os.walk(source):
        folders[:] = [f for f in folders if f not in SKIPPED]
        for file in files:
            path = Path(folder) / file
            to = target / path.relative_to(source)
            wanted.add(to)
            if path.is_symlink() or not path.is_file():
                continue
            if not to.exists() or to.read_bytes() != path.read_bytes():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
                shutil.copymode(path, to)
    for folder, _, files in os.walk(target):
        for file in files:
            if Path(folder) / file not in wanted:
                (Path(folder) / file).unlink()


def run(command, log, seconds=None):
    """The exit code; None past the time."""
    with open(log, "ab") as out:
        try:
            return subprocess.run(command, stdout=out, stderr=subprocess.STDOUT,
                                  stdin=subprocess.DEVNULL, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            return None


class Field:
    """The copy in which bugs are planted, and its build."""

    def __init__(self, folder, jobs):
        self.tree, self.build = folder / "tree", folder / "build"
        self.log, self.jobs = folder / "log", jobs
        folder.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")

    def prepare(self, targets):
        copy_tree(ROOT, self.tree)
        cache = self.build / "CMakeCache.txt"
        if cache.exists() and f"={self.tree}\n" not in cache.read_text(encoding="utf-8"):
            shutil.rmtree(self.build)  # the tree was moved
        # Unoptimised vector code for one target: what is tested is whether a bug is seen.
        made = run(["cmake", "-S", self.tree, "-B", self.build, "-G", "Ninja",
                    "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1",
                    "-DCMAKE_CXX_FLAGS=-DHWY_COMPILE_ONLY_STATIC", "-DZERO_BENCH=OFF",
                    "-DZERO_CLI=OFF", "-DZERO_MPI=OFF"], self.log)
        if made != 0 or not self.make(targets):
            sys.exit(f"the tree as it is does not build: {self.log}")

    def make(self, targets):
        return run(["cmake", "--build", self.build, "-j", str(self.jobs), "--target", *targets],
                   self.log) == 0

    def failing(self, tests):
        """The first of the tests that fails, or None."""
        for test in tests:
            code = run([self.build / "bin" / test, "--gtest_brief=1"], self.log, TEST_SECONDS)
            if code != 0:
                return f"{test} ({'no end' if code is None else f'exit code {code}'})"
        return None


def main():
    parser = argparse.ArgumentParser(description="Plants bugs and sees the tests catch them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--list", action="store_true", help="names them and ends")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "planted",
                        help="where the copy lies; default build/planted")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    plants = {path.stem: Plant(path) for path in sorted(PLANTS.glob("*.plant"))}
    unknown = [name for name in options.names if name not in plants]
    if unknown or not plants:
        print(f"planted.py: no plant {unknown[0]!r}; --list names them" if unknown
              else f"planted.py: no plants in {PLANTS}", file=sys.stderr)
        return 2
    chosen = [plants[name] for name in options.names or plants]
    if options.list:
        for plant in chosen:
            print(f"{plant.name:32} {plant.title}")
        return 0

    field = Field(options.folder, options.jobs)
    tests = sorted({test for plant in chosen for test in plant.tests})
    field.prepare(tests)
    broken = field.failing(tests)
    if broken:
        sys.exit(f"before anything is planted {broken} fails: {field.log}")
    unnoticed = 0
    for plant in chosen:
        before = plant.plant(field.tree)
        try:
            if not field.make(plant.tests):
                sys.exit(f"{plant.name}: does not compile: {field.log}")
            caught = field.failing(plant.tests)
        finally:
            restore(before)
        unnoticed += caught is None
        print(f"{plant.name:32} {'caught by ' + caught if caught else 'NOT NOTICED'}", flush=True)
    print(f"{len(chosen)} planted, {len(chosen) - unnoticed} caught")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
