"""Checkpoints by torch.distributed.checkpoint: square matrices and AdamW's states, sharded by FSDP2.

    torch_checkpoint.py FOLDER LAYERS WIDTH     a process a rank; words: save, load

Files are synced as they are written, which is the default. Loading fills the tensors in place.
"""

import os
import shutil
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import participant


def main():
    folder, layers, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    participant.group(torch)
    model = torch.nn.Sequential(*(torch.nn.Linear(width, width, bias=False)
                                  for _ in range(layers)))
    mesh = init_device_mesh("cpu", (participant.world_size(),))
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters())
    for weights in model.parameters():
        weights.grad = torch.full_like(weights, 1e-3)
    optimizer.step()
    saved = 0

    def act(word):
        nonlocal saved
        names, states = get_state_dict(model, optimizer)
        state = {"model": names, "optimizer": states}
        path = os.path.join(folder, str(saved + (word == "save")))
        dist.barrier()
        if word == "load":
            return participant.seconds_of(lambda: dcp.load(state, checkpoint_id=path))
        answer = participant.seconds_of(lambda: dcp.save(state, checkpoint_id=path))
        dist.barrier()
        if saved and participant.rank() == 0:
            shutil.rmtree(os.path.join(folder, str(saved)))
        saved += 1
        return answer

    participant.serve(act)
    dist.destroy_process_group()


main()
