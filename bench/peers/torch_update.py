#!/usr/bin/env python3
"""The same steps by PyTorch, on the machine's GPU, beside what bench_update_gpu measured.

    build/cuda/bin/bench_update_gpu > ours.json
    bench/peers/torch_update.py --beside ours.json [--elements 1e9] [--turns 20]

update/adamw/fp32/none  torch.optim.AdamW(fused=True) on fp32 parameters and gradients: the same
                        28 bytes an element.
step/adamw/bf16/bf16    what a training script does with bf16 gradients and fp32 master weights:
                        cast up, clip_grad_norm_, fused AdamW, cast down.

Writes one JSON object; each row has the ratio of PyTorch's time to ours where `ours` has the row.
"""

import argparse
import json
import statistics
import sys


def seconds_of(torch, work, turns):
    """Median over `turns`, by events of the device."""
    for _ in range(3):
        work()
    times = []
    for _ in range(turns):
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3)
    return statistics.median(times)


def fused_update(torch, elements, turns):
    weights = torch.full((elements,), 0.02, device="cuda", requires_grad=True)
    weights.grad = torch.full((elements,), 1e-3, device="cuda")
    optimizer = torch.optim.AdamW([weights], fused=True)
    return seconds_of(torch, optimizer.step, turns)


def whole_step(torch, elements, turns):
    weights = torch.full((elements,), 0.02, device="cuda", requires_grad=True)
    weights.grad = torch.empty((elements,), device="cuda")
    gradient = torch.full((elements,), 1e-3, device="cuda", dtype=torch.bfloat16)
    parameter = torch.empty((elements,), device="cuda", dtype=torch.bfloat16)
    optimizer = torch.optim.AdamW([weights], fused=True)

    def step():
        weights.grad.copy_(gradient)
        torch.nn.utils.clip_grad_norm_([weights], 1.0)
        optimizer.step()
        with torch.no_grad():
            parameter.copy_(weights)

    return seconds_of(torch, step, turns)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beside", help="what bench_update_gpu wrote")
    parser.add_argument("--elements", type=float, default=1e9)
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("torch_update.py: PyTorch is not installed here; nothing was measured",
              file=sys.stderr)
        return 1
    if not torch.cuda.is_available():
        print("torch_update.py: PyTorch sees no GPU; nothing was measured", file=sys.stderr)
        return 1
    ours = {}
    elements = int(options.elements)
    if options.beside:
        with open(options.beside, encoding="utf-8") as file:
            measured = json.load(file)
        elements = measured["elements"]
        ours = {row["name"]: row["seconds"] for row in measured["rows"]}
    rows = []
    for name, measure in (("update/adamw/fp32/none", fused_update),
                          ("step/adamw/bf16/bf16", whole_step)):
        row = {"name": name, "torch_seconds": measure(torch, elements, options.turns)}
        if name in ours:
            row.update(seconds=ours[name], torch_over_ours=row["torch_seconds"] / ours[name])
        rows.append(row)
        torch.cuda.empty_cache()
    json.dump({"schema": "zero.bench_gpu/1", "device": torch.cuda.get_device_name(),
               "torch": torch.__version__, "elements": elements, "rows": rows},
              sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
