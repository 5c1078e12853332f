"""Random numbers that belong to an image: counter-based, so a draw depends on its seed and position alone.

`torch.Generator` hands out numbers in order, so what an image gets would depend on who sat before it in the batch.
Here number `j` of seed `s` is a hash of `(s, j)`: SplitMix64's finalizer (Steele, Lea and Flood 2014,
https://doi.org/10.1145/2714064.2660195), the same on every device and for every batch.
"""

import math

import torch
from torch import Tensor

from .types import Seeds

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def derive(seeds: Seeds | int, *parts: Tensor | int) -> Tensor:
    """New integer seeds from old ones and from what distinguishes the use (an epoch, an index, a restart).

    On the device of the tensors among them; single integers join any.
    """
    state = torch.as_tensor(seeds, dtype=torch.int64)
    for part in parts:
        state = _mix(state + _signed(_GOLDEN)) + torch.as_tensor(part, dtype=torch.int64)
    return _mix(state + _signed(_GOLDEN))


def uniform(seeds: Seeds, count: int, *, stream: int = 0) -> Tensor:
    """`count` float32 numbers in [0, 1) for each seed, shape (batch, count); streams are independent."""
    counters = torch.arange(1, count + 1, device=seeds.device) * _signed(_GOLDEN)
    bits = _mix(derive(seeds, stream)[:, None] + counters)
    return _shift(bits, 40).float().mul_(2.0**-24)


def normal(seeds: Seeds, count: int, *, stream: int = 0) -> Tensor:
    """`count` standard normal float32 numbers for each seed, shape (batch, count) (Box and Muller 1958)."""
    radius = (-2 * torch.log1p(-uniform(seeds, count, stream=2 * stream + 1))).sqrt()
    return radius * torch.cos(2 * math.pi * uniform(seeds, count, stream=2 * stream + 2))


def _mix(state: Tensor) -> Tensor:
    state = (state ^ _shift(state, 30)) * _signed(_FIRST)
    state = (state ^ _shift(state, 27)) * _signed(_SECOND)
    return state ^ _shift(state, 31)


def _shift(state: Tensor, bits: int) -> Tensor:
    """Logical shift to the right; torch's own keeps the sign."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant >= 1 << 63 else constant
