"""AdamW on the host by others: torch.optim.AdamW fused and foreach, DeepSpeed's CPUAdam.

    torch_host_update.py fused|foreach|deepspeed ELEMENTS THREADS     words: update, step, values

`step` is what a training script does with bf16 gradients and fp32 master weights: widen, clip by the
global norm, AdamW, narrow.
"""

import os
import sys

import torch

import participant


def optimizer_of(kind, weights):
    constants = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
    if kind == "deepspeed":
        os.environ["DS_ACCELERATOR"] = "cpu"
        from deepspeed.ops.adam import DeepSpeedCPUAdam
        return DeepSpeedCPUAdam([weights], adamw_mode=True, **constants)
    return torch.optim.AdamW([weights], **constants, **{kind: True})


def main():
    kind, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    weights = participant.made_up(torch, count, 2654435761, 2.0 ** -20).requires_grad_()
    gradient = participant.made_up(torch, count, 2246822519, 2.0 ** -25)
    gradient16 = gradient.bfloat16()
    parameters = torch.zeros(count, dtype=torch.bfloat16)
    weights.grad = gradient
    optimizer = optimizer_of(kind, weights)

    def step():
        weights.grad.copy_(gradient16)
        torch.nn.utils.clip_grad_norm_([weights], 1.0)
        optimizer.step()
        with torch.no_grad():
            parameters.copy_(weights)

    def act(word):
        if word == "values":
            every = max(1, count // 16)
            return {"weights": weights.detach()[::every].tolist(),
                    "parameters": parameters.float()[::every].tolist()}
        return participant.seconds_of(step if word == "step" else optimizer.step)

    participant.serve(act)


main()
