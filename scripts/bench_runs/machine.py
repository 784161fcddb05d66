"""What a run was made on and of."""

import os
import platform
import re
import subprocess
from pathlib import Path


def first_line(command, folder=None):
    """What a command says first, "" if it cannot be run or fails."""
    try:
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60,
                              check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return ""
    return said[0].strip() if said else ""


def found_in(path, pattern):
    """The first group of the first match in a file, "" if there is neither."""
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8", errors="replace"),
                          re.MULTILINE)
    except OSError:
        return ""
    return found.group(1).strip() if found else ""


def describe_machine(binaries):
    """`binaries`: the folder bin of a build tree."""
    cache = Path(binaries).parent / "CMakeCache.txt"
    compiler = found_in(cache, r"^CMAKE_CXX_COMPILER:\w+=(.*)$")
    kilobytes = found_in("/proc/meminfo", r"^MemTotal:\s*(\d+) kB")
    return {"cpu": found_in("/proc/cpuinfo", r"^model name\s*: (.*)$") or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "memory": int(kilobytes) * 1024 if kilobytes else None,
            "kernel": f"{platform.system()} {platform.release()}",
            "compiler": first_line([compiler, "--version"]) if compiler else "",
            "build_type": found_in(cache, r"^CMAKE_BUILD_TYPE:\w+=(.*)$")}


def version_of(binaries):
    """Of the library."""
    return found_in(Path(binaries).parent / "CMakeCache.txt", r"^CMAKE_PROJECT_VERSION:\w+=(.*)$")


def commit_of(root):
    """As git names it, with -dirty where the tree has changes; "unknown" without git."""
    return first_line(["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
                      root) or "unknown"
