"""The images an attack still works on: those it is done with leave the batch, and what was found for them is kept."""

import torch
from torch import Tensor

_LOOK_EVERY = 10  # calls of `settle` between two looks on an accelerator, where each look waits for the device


class Standing:
    """Named tensors with one row per image; rows leave together.

    `x` are the clean images and `best` what each image gets if the attack ends now (the clean image at first; its rows
    are written in place, so whoever keeps it clones it). All other tensors are named by the caller and are attributes:
    `standing.x_adv = ...`; one of `None` stays `None`.

        standing = Standing(x, y=y, x_adv=start)
        for _ in range(steps):
            ...
            standing.settle(fooled, standing.x_adv)   # done with these: their rows leave every tensor
            if not len(standing):
                break
        return standing.result()

    On a CPU rows leave at once. On an accelerator they leave at every tenth call, so that the loop does not wait for
    the device; until then rows that are settled are carried along and nothing changes what was found for them.
    """

    def __init__(self, x: Tensor, **rows: Tensor | None):
        self._found = x.clone()
        self._calls = 0
        self.x = x
        self.best = x.clone()
        self.place = torch.arange(len(x), device=x.device)
        self.settled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for name, rows_of_one in rows.items():
            setattr(self, name, rows_of_one)

    def __len__(self) -> int:
        return len(self.x)

    def surely_none(self, where: Tensor) -> bool:
        """No row is meant, and that is known without waiting for a device."""
        return self.x.device.type == "cpu" and not bool(where.any())

    def improve(self, better: Tensor, x_adv: Tensor) -> None:
        """Where `better`, `x_adv` becomes the answer so far; settled rows keep theirs."""
        if self.surely_none(better):
            return
        better = better & ~self.settled
        if self.x.device.type == "cpu":
            rows = better.nonzero().squeeze(1)
            self.best.index_copy_(0, rows, x_adv.detach().index_select(0, rows))
        else:  # without waiting for the device
            self.best = torch.where(better.view(-1, *[1] * (self.x.ndim - 1)), x_adv.detach(), self.best)

    def reset(self, where: Tensor, **rows: Tensor | float | bool) -> None:
        """Where `where`, these rows become what is given: a value, or one row per image."""
        if self.surely_none(where):
            return
        for name, value in rows.items():
            held = getattr(self, name)
            setattr(self, name, torch.where(where.view(-1, *[1] * (held.ndim - 1)), value, held))

    def settle(self, done: Tensor, x_adv: Tensor | None = None) -> None:
        """The attack is done with these rows; their answer is `x_adv`, or their `best` when that is absent."""
        if self.surely_none(done):
            return
        if x_adv is not None:
            self.improve(done, x_adv)
        self.settled = self.settled | done
        self._calls += 1
        if self.x.device.type == "cpu" or self._calls % _LOOK_EVERY == 0:
            self._drop()

    def result(self, x_adv: Tensor | None = None) -> Tensor:
        """One image per image the attack began with; for rows not settled `x_adv`, or their `best`."""
        if x_adv is not None:
            self.improve(torch.ones_like(self.settled), x_adv)
        self._found[self.place] = self.best
        return self._found

    def _drop(self) -> None:
        if not bool(self.settled.any()):
            return
        gone, kept = self.settled.nonzero().squeeze(1), (~self.settled).nonzero().squeeze(1)
        self._found[self.place[gone]] = self.best[gone]
        for name, rows in vars(self).items():
            if isinstance(rows, Tensor) and name != "_found":
                setattr(self, name, rows[kept])
