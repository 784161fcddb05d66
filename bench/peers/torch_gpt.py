"""The GPT of bench/trainer in PyTorch: the same sizes, names, order of operations and batches.

Names and shapes are those that `zero train --export` writes (GPT-2's at Hugging Face: matrices of
[in, out]); torch.nn.Linear has [out, in], so matrices are turned around as they are read.
"""

import glob
import os

import torch
from torch import nn
from torch.nn import functional

BITS = (1 << 64) - 1


class Attention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(channels, 3 * channels)
        self.c_proj = nn.Linear(channels, channels)

    def forward(self, x):
        batch, length, channels = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2)
                   for part in self.c_attn(x).split(channels, dim=2))
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(seen.transpose(1, 2).reshape(batch, length, channels))


class Mlp(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.c_fc = nn.Linear(channels, 4 * channels)
        self.c_proj = nn.Linear(4 * channels, channels)

    def forward(self, x):
        return self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(channels)
        self.attn = Attention(channels, heads)
        self.ln_2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """The mean loss of a batch; the head is the embedding once more."""

    def __init__(self, layers, channels, heads, vocabulary, context):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, channels)
        self.wpe = nn.Embedding(context, channels)
        self.h = nn.ModuleList(Block(channels, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(channels)

    def forward(self, inputs, targets):
        x = self.wte(inputs) + self.wpe.weight[:inputs.shape[1]]
        for block in self.h:
            x = block(x)
        scores = functional.linear(self.ln_f(x), self.wte.weight)
        return functional.cross_entropy(scores.flatten(0, 1), targets.flatten())

    def read(self, path):
        from safetensors.torch import load_file
        values = {name: value.t().contiguous() if value.dim() == 2 and name.startswith("h.")
                  else value for name, value in load_file(path).items()}
        self.load_state_dict(values)


def _mix(x):
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9 & BITS
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb & BITS
    return x ^ (x >> 31)


def _bits(key, counter):
    return _mix(_mix((counter + 1) * 0x9e3779b97f4a7c15 & BITS) ^ key)


def _key(seed, name):
    value = 0xcbf29ce484222325
    for letter in name.encode():
        value = (value ^ letter) * 0x100000001b3 & BITS
    return _mix(_mix((seed + 0x9e3779b97f4a7c15) & BITS) ^ value)


class Batches:
    """What bench/trainer/batches.hpp says: a sequence starts where a hash of (seed, step, number) does."""

    def __init__(self, folder="/usr/share/common-licenses", seed=1):
        text = b""
        for path in sorted(glob.glob(os.path.join(folder, "*"))):
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    text += file.read()
        self.tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
        self.seed = seed

    def of(self, step, sequences, length):
        """Inputs and targets of the sequences with these numbers."""
        key = _mix(_key(self.seed, "batches") ^ _bits(step, 0))
        rows = []
        for number in sequences:
            start = _bits(key, number) % (len(self.tokens) - length)
            rows.append(self.tokens[start:start + length + 1])
        both = torch.stack(rows)
        return both[:, :-1].contiguous(), both[:, 1:].contiguous()
