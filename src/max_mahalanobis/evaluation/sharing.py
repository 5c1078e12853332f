"""One evaluation shared by several processes: each takes every n-th image, the rows are those of one process."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ..errors import AttackFailed, UserError
from ..results import AttackResult
from ..types import Split
from .identity import data_hash

Evaluation = Callable[[Split], list[AttackResult]]


def share_of(split: Split, rank: int, world_size: int) -> Split:
    """The images of process `rank` of `world_size`: one in `world_size`, so that no process has all the hard ones."""
    return Split(*(tensor[rank::world_size] for tensor in split))


def evaluate_shared(evaluation: Evaluation, split: Split) -> list[AttackResult]:
    """`evaluation` of the whole split, from all processes of the running process group, the same rows in each.

    Without a process group, or in a group of one, it is `evaluation(split)`. Passes are summed, seconds are those of
    the slowest process.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return evaluation(split)
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    part = share_of(split, rank, world_size)
    try:
        mine = evaluation(part) if len(part.labels) else []
    except (UserError, AttackFailed) as error:  # told to all: nobody waits for a process that left
        mine = error
    gathered: list = [None] * world_size
    torch.distributed.all_gather_object(gathered, mine)
    for found in gathered:
        if isinstance(found, Exception):
            raise found
    return merge([rows for rows in gathered if rows], split)


def merge(shares: Sequence[Sequence[AttackResult]], split: Split) -> list[AttackResult]:
    """The rows of several processes, each about other images of `split`, as if one process had made them."""
    return [_merge_one(rows, split) for rows in zip(*shares, strict=True)]


def _merge_one(rows: Sequence[AttackResult], split: Split) -> AttackResult:
    index = split.index.tolist()

    def joined(name: str) -> list:
        found = {i: value for row in rows for i, value in zip(row.index, getattr(row, name), strict=True)}
        return [found[i] for i in index]

    return replace(
        rows[0],
        index=index,
        labels=split.labels.tolist(),
        data_hash=data_hash(split),
        **{name: joined(name) for name in ("correct", "fooled", "size", "attempted")},
        **{name: sum(getattr(row, name) for row in rows) for name in ("forwards", "backwards", "non_finite")},
        seconds=max(row.seconds for row in rows),
        signs=sorted({sign for row in rows for sign in row.signs}),
    )
