"""Averages of the weights over the training, which are judged and kept in their place."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn, update_bn

from ..models import Classifier
from ..recipe import Recipe


class Average:
    """The average of a recipe: "ema", "swa", or "none", which is the model itself.

    ema: w' <- d w' + (1 - d) w after every step, with d = min(average_decay, (1 + t) / (10 + t)) in step t, so that the
    first weights are soon forgotten. swa: the mean over the ends of the epochs after `average_from` (Izmailov et al.
    2018, https://arxiv.org/abs/1803.05407). BatchNorm's statistics are measured anew for the average.
    """

    def __init__(self, model: Classifier, recipe: Recipe):
        self._kind, self._from = recipe.averaging, recipe.average_from
        function = get_swa_multi_avg_fn() if self._kind == "swa" else _moving(recipe.average_decay)
        self.averaged = None if self._kind == "none" else AveragedModel(model, multi_avg_fn=function)
        self._model = model

    @property
    def judged(self) -> Classifier:
        """The model whose weights count: the average once there is one."""
        started = self.averaged is not None and int(self.averaged.n_averaged) > 0
        return self.averaged.module if started else self._model

    def after_step(self) -> None:
        """Take in the weights after a step of the optimizer."""
        if self._kind == "ema":
            self.averaged.update_parameters(self._model)

    def after_epoch(self, progress: float, images: Iterable[Tensor]) -> None:
        """Take in the weights after an epoch, at `progress` in (0, 1]; measure BatchNorm's statistics on `images`."""
        if self._kind == "swa" and progress > self._from:
            self.averaged.update_parameters(self._model)
        if self.judged is not self._model:
            update_bn(images, self.averaged.module)

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs; empty without an average."""
        return {} if self.averaged is None else dict(self.averaged.state_dict())

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from a state."""
        if self.averaged is not None:
            self.averaged.load_state_dict(tensors)


def _moving(decay: float):
    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        share = 1 - torch.clamp((1 + count) / (10 + count), max=decay)
        for mine, weight in zip(averaged, current, strict=True):
            mine.lerp_(weight, share.to(mine.device, mine.dtype))

    return update
