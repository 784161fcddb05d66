"""DeepSpeed's asynchronous I/O: passes over a file, past the page cache.

    deepspeed_disk.py FILE BYTES BLOCK DEPTH     words: read, write

The whole file goes to and from one locked tensor in one call, which is how DeepSpeed swaps.
"""

import os
import sys

os.environ["DS_ACCELERATOR"] = "cpu"

import torch  # noqa: E402
from deepspeed.ops.op_builder import AsyncIOBuilder  # noqa: E402

import participant  # noqa: E402


def main():
    path, count, block, depth = sys.argv[1], *map(int, sys.argv[2:5])
    # block size, queue depth, submit one by one, overlap events, threads
    disk = AsyncIOBuilder().load().aio_handle(block, depth, False, True, 1)
    memory = disk.new_cpu_locked_tensor(count, torch.empty(0, dtype=torch.uint8))
    memory.random_()

    def act(word):
        move = disk.sync_pread if word == "read" else disk.sync_pwrite
        return participant.seconds_of(lambda: move(memory, path, 0))

    participant.serve(act)


main()
