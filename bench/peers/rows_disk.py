"""rows_disk: passes over a file past the page cache, and checkpoints."""

import json
import os
import shutil
import subprocess
import tempfile

from contest import Absent, Contestant, pairs
from rows_host import absent

BLOCK, DEPTH, RANKS = 1 << 20, 16, 2


def filled(path, size):
    """Random bytes, the blocks allocated and written once."""
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())


def fio_seconds(path, size, way):
    """Of the job alone, without fio's own start and end."""
    if shutil.which("fio") is None:
        raise Absent("fio is not here (Debian: fio)")
    command = ["fio", "--name=peer", f"--filename={path}", f"--rw={way}", f"--bs={BLOCK}",
               f"--size={size}", f"--iodepth={DEPTH}", "--ioengine=io_uring", "--fixedbufs=1",
               "--registerfiles=1", "--direct=1", "--gtod_reduce=1", "--scramble_buffers=0",
               "--invalidate=0", "--fallocate=none", "--output-format=json"]
    around = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    ran = subprocess.run(command, env=around, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise Absent("fio: " + (ran.stderr or ran.stdout).strip().splitlines()[-1][:200])
    told = json.loads(ran.stdout[ran.stdout.index("{"):])["jobs"][0][way]
    return told["runtime"] * 1e-3 * size / told["io_bytes"]


def disk(place):
    size, count = (64 << 20, 3) if place.quick else (512 << 20, 9)
    rows = []
    with tempfile.TemporaryDirectory(dir=place.environment) as folder:
        path = os.path.join(folder, "blocks")
        filled(path, size)
        for peer, name, blocks in (("fio", "fio io_uring", DEPTH),
                                   ("deepspeed", "DeepSpeed aio", size // BLOCK)):
            bases = {way: {"row": "disk", "peer": name, "unit": "seconds",
                           "what": f"disk {way}, {size >> 20} MiB direct, blocks of "
                                   f"{BLOCK >> 20} MiB, depth {DEPTH}"}
                     for way in ("read", "write")}
            own = [place.program("peer_disk"), path, *map(str, (size, BLOCK, DEPTH, blocks))]
            done = []
            try:
                with Contestant("ours", own) as ours:
                    done = disk_pairs(place, ours, peer, path, size, count)
                rows += [{**bases[way], "ours": mine, "theirs": other}
                         for way, mine, other in done]
            except Absent as problem:
                rows += [absent(base, problem) for base in bases.values()]
    return rows


def disk_pairs(place, ours, peer, path, size, count):
    if peer == "fio":
        return [(way, *pairs((ours, way), lambda: fio_seconds(path, size, way), count))
                for way in ("read", "write")]
    command = place.python("deepspeed_disk.py", path, size, BLOCK, DEPTH,
                           needs=("torch", "deepspeed", "deepspeed-async_io"))
    with Contestant("DeepSpeed aio", command, environment=place.around(1)) as theirs:
        return [(way, *pairs((ours, way), (theirs, way), count)) for way in ("read", "write")]


def checkpoint(place):
    layers, width, count = (4, 512, 3) if place.quick else (16, 1024, 7)
    size = layers * width * width * 12
    bases = {word: {"row": "checkpoint", "peer": "torch.distributed.checkpoint", "unit": "seconds",
                    "what": f"checkpoint {word}, {size >> 20} MiB, {RANKS} processes, synced"
                    if word == "save" else
                    f"checkpoint {word}, {size >> 20} MiB, {RANKS} processes, from the page cache"}
             for word in ("save", "load")}
    try:
        with tempfile.TemporaryDirectory(dir=place.environment) as folder:
            mine, their = os.path.join(folder, "ours"), os.path.join(folder, "theirs")
            os.mkdir(their)
            command = place.python("torch_checkpoint.py", their, layers, width)
            with Contestant("torch", command, RANKS, place.around(1, folder)) as theirs, \
                    Contestant("ours", place.launch(RANKS, "peer_checkpoint", mine, layers, width),
                               RANKS, launcher=True) as ours:
                return [{**base, "ours": own, "theirs": other} for word, base in bases.items()
                        for own, other in [pairs((ours, word), (theirs, word), count)]]
    except Absent as problem:
        return [absent(base, problem) for base in bases.values()]
