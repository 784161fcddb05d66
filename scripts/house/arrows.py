"""Which room may include which, and where vendors' headers may be seen."""

import re

from .tree import LIBRARY

ANYTHING = set(LIBRARY)
ALLOWED = {
    "base": {"base"},
    "optim": {"base", "optim"},
    "partition": {"base", "partition"},
    "collectives": {"base", "collectives"},
    "offload": {"base", "offload"},
    "engine": ANYTHING - {"checkpoint", "client"},
    "checkpoint": ANYTHING - {"client"},
    "client": ANYTHING,
    "torch": {"torch"},
    "cli": ANYTHING | {"trainer", "cli"},
    "examples": set(),  # <zero/NAME.h> alone, as any client
    "bench": ANYTHING | {"trainer"},
    "tests": ANYTHING | {"trainer", "cli", "torch"},
}

# Vendor headers, and the only places they may be included from.
VENDORS = (
    (r"(x86|imm|[a-z]mm|arm_|avx\w*)intrin\.h|arm_(neon|sve)\.h", (), "intrinsics: use Highway"),
    (r"nccl\w*\.h", ("collectives/src/nccl/",), "NCCL"),
    (r"mpi(-ext)?\.h", ("collectives/src/mpi/", "bench/", "tests/"), "MPI"),
    (r"liburing(/.*)?\.h|liburing", ("offload/src/uring/",), "liburing"),
    (r"hwloc(/.*)?\.h", ("offload/src/hwloc/",), "hwloc"),
    (r"hwy/.*", ("libzero/optim/", "collectives/src/", "libzero/cli/", "bench/", "tests/"),
     "Highway"),
    (r"xxhash\.h", ("libzero/base/src/",), "xxHash"),
    (r"cblas\.h|openblas.*", ("bench/",), "BLAS"),
    (r"boost/.*", ("libzero/cli/", "bench/"), "Boost"),
    (r"(nlohmann|fmt|spdlog)/.*",
     ("libzero/checkpoint/src/", "libzero/client/src/", "libzero/cli/", "bench/", "tests/"),
     "text and JSON"),
    (r"(torch|ATen|c10)/.*", ("libzero/torch/", "libzero/examples/torch_trainer/", "tests/torch/",
                                "tests/consumer/torch/"),
     "LibTorch"),
    (r"gtest/.*|gmock/.*", ("tests/",), "GoogleTest"),
    (r"benchmark/.*", ("bench/",), "Google Benchmark"),
)
CUDA = re.compile(r"(cuda|cu(blas|rand|solver|sparse)|nvtx3?|thrust|cub)([\w/.]*)")


def vendor_fault(source, name):
    """Why this file may not include the vendor header `name`; None if it may."""
    if CUDA.fullmatch(name) and not source.stem.endswith("_cuda") and "/cuda/" not in source.path:
        return "CUDA belongs into *_cuda files"
    for pattern, places, what in VENDORS:
        if re.fullmatch(pattern, name):
            if not source.path.startswith(places) or (source.is_public and source.room in LIBRARY):
                places = ", ".join(places) or "nowhere"
                return f"{what} may be included in: {places}; never in a public header"
    return None


def check_arrows(tree):
    """A room includes <zero/ROOM/...> only of rooms it may know, and nobody's private headers."""
    for source in tree.sources():
        for line, quote, name in source.includes():
            room = re.match(r"zero/(\w+)/", name)
            if room and room[1] not in ALLOWED[source.room]:
                yield source.finding(line, f"{source.room} may not include <{name}>")
            if room and quote == '"':
                yield source.finding(line, f'public headers are included as <{name}>')
            if "/src/" in name or (quote == '"' and ".." in name):
                yield source.finding(line, f"'{name}' reaches into another folder")


def check_vendors(tree):
    """Vendors' headers stay in the folder of their backend and out of public headers."""
    for source in tree.sources():
        for line, quote, name in source.includes():
            own = quote == '"' and any(f"/{s.path}".endswith(f"/src/{name}")
                                       for s in tree.sources())
            fault = None if own else vendor_fault(source, name)
            if fault:
                yield source.finding(line, f"<{name}>: {fault}")
