"""reduce_scatter and all_gather by torch.distributed over gloo.

    torch_collectives.py BYTES     a process a rank; words: reduce_scatter, all_gather, wrong
"""

import sys

import torch
import torch.distributed as dist

import participant


def main():
    torch.set_num_threads(1)
    participant.group(torch)
    rank, size = participant.rank(), participant.world_size()
    count = int(sys.argv[1]) // 4 // size
    values = participant.made_up(torch, count * size, 2654435761, 2.0 ** -8)
    full = values * (rank + 1)
    total, shard = torch.empty_like(full), torch.empty(count)

    def wrong():
        expected = values * (size * (size + 1) // 2)
        return int((total != expected).sum() +
                   (shard != expected[rank * count:(rank + 1) * count]).sum())

    def act(word):
        if word == "wrong":
            return {"wrong": wrong()}
        dist.barrier()
        if word == "all_gather":
            return participant.seconds_of(lambda: dist.all_gather_into_tensor(total, shard))
        return participant.seconds_of(lambda: dist.reduce_scatter_tensor(shard, full))

    participant.serve(act)
    dist.destroy_process_group()


main()
