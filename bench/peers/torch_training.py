"""Trains the GPT of torch_gpt.py as others shard it, a process a rank.

    torch_training.py HOW SETTINGS     HOW: plain, ddp, zero1, fsdp2, deepspeed1, 2 or 3

SETTINGS is JSON: the model's five sizes, `initial` (.safetensors), batch, sequence, learning_rate.
Words: `N` trains so many steps further and answers with their seconds and losses; `memory` trains one
and answers with bytes.
"""

import gc
import json
import os
import sys
import time

import torch
import torch.distributed as dist

import participant
from torch_gpt import Batches, Gpt

CONSTANTS = {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.0}
BUCKET = 1 << 21  # elements; a block of gpt-11m has 1.8 million


class Trained:
    """One rank's model and optimizer. `backward` ends with reduced gradients, `update` clips too."""

    def __init__(self, model, rate):
        self.model = model
        self.optimizer = self.make(rate)

    def make(self, rate):
        return torch.optim.AdamW(self.model.parameters(), lr=rate, fused=True, **CONSTANTS)

    def backward(self, loss):
        loss.backward()

    def update(self):
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Ddp(Trained):
    def __init__(self, model, rate):
        super().__init__(torch.nn.parallel.DistributedDataParallel(
            model, gradient_as_bucket_view=True), rate)


class Zero1(Ddp):
    def make(self, rate):
        from torch.distributed.optim import ZeroRedundancyOptimizer
        return ZeroRedundancyOptimizer(self.model.parameters(), torch.optim.AdamW, lr=rate,
                                       fused=True, parameters_as_bucket_view=True, **CONSTANTS)


class Fsdp2(Trained):
    def __init__(self, model, rate):
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        mesh = init_device_mesh("cpu", (participant.world_size(),))
        for block in model.h:
            fully_shard(block, mesh=mesh)
        super().__init__(fully_shard(model, mesh=mesh), rate)


class DeepSpeed(Trained):
    def __init__(self, model, rate, stage, settings):
        import deepspeed
        ranks = participant.world_size()
        deepspeed.init_distributed("gloo", auto_mpi_discovery=False)
        plain = torch.optim.AdamW(model.parameters(), lr=rate, fused=True, **CONSTANTS)
        self.engine, self.optimizer, _, _ = deepspeed.initialize(
            model=model, optimizer=plain,
            config={"train_batch_size": settings["batch"],
                    "train_micro_batch_size_per_gpu": settings["batch"] // ranks,
                    "gradient_clipping": 1.0, "zero_allow_untested_optimizer": True,
                    "zero_force_ds_cpu_optimizer": False,
                    # the default of 5e8 elements is for models that are larger
                    "zero_optimization": {"stage": stage, "reduce_bucket_size": BUCKET,
                                          "allgather_bucket_size": BUCKET,
                                          "stage3_prefetch_bucket_size": BUCKET}})
        self.model = self.engine

    def backward(self, loss):
        self.engine.backward(loss)

    def update(self):
        self.engine.step()


def make(how, settings):
    model = Gpt(*(settings[size] for size in ("layers", "channels", "heads", "vocabulary",
                                              "context")))
    model.read(settings["initial"])
    rate = settings["learning_rate"]
    if how.startswith("deepspeed"):
        return DeepSpeed(model, rate, int(how[-1]), settings)
    return {"plain": Trained, "ddp": Ddp, "zero1": Zero1, "fsdp2": Fsdp2}[how](model, rate)


def bytes_of_tensors():
    """Of all tensors there are, each storage once: parameters, gradients, states and buffers."""
    seen = {}
    for one in gc.get_objects():
        try:
            if not isinstance(one, torch.Tensor):
                continue
            for tensor in (one, one.grad if one.is_leaf else None):
                tensor = getattr(tensor, "_local_tensor", tensor)
                if tensor is not None:
                    storage = tensor.untyped_storage()
                    seen[storage.data_ptr()] = storage.nbytes()
        except (ReferenceError, RuntimeError, NotImplementedError):
            continue  # gone, or without memory
    seen.pop(0, None)
    return sum(seen.values())


class Training:
    def __init__(self, how, settings):
        self.trained = make(how, settings)
        self.settings, self.batches, self.steps = settings, Batches(), 0
        ranks, batch = participant.world_size(), settings["batch"]
        self.own = range(participant.rank() * batch // ranks,
                         (participant.rank() + 1) * batch // ranks)

    def step(self, between=lambda: None):
        self.steps += 1
        inputs, targets = self.batches.of(self.steps, self.own, self.settings["sequence"])
        loss = self.trained.model(inputs, targets)
        self.trained.backward(loss)
        between()
        self.trained.update()
        return loss.detach()

    def run(self, count):
        seconds, losses = [], []
        for _ in range(count):
            begin = time.perf_counter()
            losses.append(self.step().double())
            seconds.append(time.perf_counter() - begin)
        mean = torch.stack(losses)
        if dist.is_initialized():
            dist.all_reduce(mean)
            mean /= participant.world_size()
        return {"seconds": sorted(seconds)[len(seconds) // 2], "losses": mean.tolist()}

    def memory(self, before):
        state = []
        self.step(lambda: state.append(bytes_of_tensors() - before["tensors"]))
        return {"state": state[0], "peak": participant.status_bytes("VmHWM"),
                "proportional": participant.proportional_bytes(), "empty": before["resident"]}


def main():
    how, settings = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if how != "plain":
        participant.group(torch)
    if how.startswith("deepspeed"):
        import deepspeed  # so that `empty` counts it
        deepspeed.__version__
    training = None
    before = {"tensors": bytes_of_tensors(), "resident": participant.status_bytes("VmRSS")}
    training = Training(how, settings)
    before["tensors"] += training.batches.tokens.untyped_storage().nbytes()
    participant.serve(lambda word: training.memory(before) if word == "memory"
                      else training.run(int(word)))


main()
