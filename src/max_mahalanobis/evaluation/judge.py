"""Runs attacks and looks at what they hand back with its own eyes: shape, box, ball, label."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attacks import is_fooled, undisturbed
from ..attacks.manners import logits_of
from ..draws import derive
from ..errors import AttackCheated, AttackRaised, UserError
from ..threats import ThreatModel
from ..types import Attack, Model, Split, as_pixels
from .identity import data_hash
from .journal import Journal, Outcomes
from .passes import PassCounter
from .wrappers import Witness

Progress = Callable[[str, int, int], None]  # (attack, images done, images in all)


@dataclass(frozen=True)
class Judge:
    """One model and one split; `fast` is what attacks are given in place of the model, which alone decides.

    `lost`, where it is there, takes in by attack the images whose adversarial examples it saw and did not hand back.
    """

    model: Model
    fast: Model
    split: Split
    threat: ThreatModel
    batch_size: int
    seed: int
    device: torch.device | str
    journal: Journal | None
    progress: Progress | None
    lost: dict[str, set[int]] | None = None

    def clean(self) -> tuple[Tensor, Tensor]:
        """Per image, on the CPU: classified rightly; and with logits that are all finite."""
        parts = [self._look(*self._batch(rows)) for rows in self._rows(torch.arange(len(self.split.labels)))]
        fooled, finite = (torch.cat(part) for part in zip(*parts, strict=True))
        return ~fooled, finite

    def run(self, name: str, attack: Attack, attempted: Tensor, key: str, *, place: int = 0) -> Outcomes:
        """One attack over the images attempted: what it fooled, at which size, for how many passes.

        `key` names its outcomes in the journal; attacks at different places have draws of their own.
        """
        index = self.split.index[attempted].tolist()
        found = self.journal.known(key, index, self._is_about_these_images) if self.journal is not None else []
        done = {image for outcomes in found for image in outcomes.index}
        for rows in self._rows(attempted.nonzero().squeeze(1)):  # the same batches as without a journal
            left = [row for row in rows.tolist() if int(self.split.index[row]) not in done]
            if not left:
                continue
            found.append(self._attack(name, attack, torch.tensor(left), place))
            if self.journal is not None:
                self.journal.write(key, found[-1])
            if self.progress is not None:
                self.progress(name, sum(len(outcomes.index) for outcomes in found), len(index))
        if self.lost is not None:
            self.lost.setdefault(name, set()).update(image for outcomes in found for image in outcomes.lost)
        return _together(found)

    def _attack(self, name: str, attack: Attack, rows: Tensor, place: int) -> Outcomes:
        x, y = self._batch(rows)
        seeds = derive(self.seed, self.split.index[rows]).to(self.device)
        seeds = derive(seeds, place) if place else seeds
        counters, began = [PassCounter(self.fast), PassCounter(self.model)], time.perf_counter()
        watched = counters[0] if self.lost is None else Witness(counters[0], x, y, self.threat)
        x_adv = _made(name, attack, watched, x.clone(), y.clone(), seeds)
        verify(name, x_adv, x, self.threat)
        fooled, finite = self._look(x_adv, y)
        disputed = self._disputed(x_adv, y, fooled)
        if len(disputed):
            there = disputed.to(x.device)
            x_adv[there] = attack(counters[1], x[there], y[there], seeds=seeds[there]).detach()
            verify(name, x_adv[there], x[there], self.threat)
            fooled[disputed], finite[disputed] = self._look(x_adv[there], y[there])
        seconds = round(time.perf_counter() - began, 3)
        lost = rows[self._given_up(watched, y, fooled)]
        size = self.threat.size(x_adv - x).float().cpu()
        passes = (sum(counter.forwards for counter in counters), sum(counter.backwards for counter in counters))
        index, lost = (self.split.index[some].tolist() for some in (rows, lost))
        costs = (*passes, seconds, int((~finite).sum()))
        return Outcomes(index, fooled.tolist(), size.tolist(), *costs, self._hash(rows), lost)

    def _disputed(self, x_adv: Tensor, y: Tensor, fooled: Tensor) -> Tensor:
        """Which images the faster copy takes for fooled and the model does not: they are tried again."""
        if self.fast is self.model:
            return torch.zeros(0, dtype=torch.long)
        with torch.no_grad():
            return (is_fooled(self.fast(x_adv), y).cpu() & ~fooled).nonzero().squeeze(1)

    def _given_up(self, watched: PassCounter | Witness, y: Tensor, fooled: Tensor) -> Tensor:
        """Per image: the attack saw what fools the model itself, and did not hand it back."""
        given_up = watched.saw.cpu() & ~fooled if isinstance(watched, Witness) else torch.zeros_like(fooled)
        return given_up & self._look(watched.first, y)[0] if given_up.any() else given_up

    def _hash(self, rows: Tensor) -> str:
        return data_hash(Split(*(each[rows] for each in self.split)))

    def _is_about_these_images(self, outcomes: Outcomes) -> bool:
        places = {image: place for place, image in enumerate(self.split.index.tolist())}
        return outcomes.data == self._hash(torch.tensor([places[image] for image in outcomes.index], dtype=torch.long))

    def _rows(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(self.batch_size) if len(rows) else ()

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return as_pixels(self.split.images[rows]).to(self.device), self.split.labels[rows].to(self.device)

    def _look(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with undisturbed(self.model), torch.no_grad():
            logits = logits_of(self.model, x)
        if logits.ndim != 2 or len(logits) != len(y):
            raise UserError(f"the model must return logits (batch, classes), got shape {tuple(logits.shape)}")
        if logits.shape[1] < 2:
            raise UserError("the model has one class: nothing can be misclassified")
        if y.min() < 0 or y.max() >= logits.shape[1]:
            raise UserError(f"labels reach from {y.min()} to {y.max()}, but the model has {logits.shape[1]} classes")
        return is_fooled(logits, y).cpu(), torch.isfinite(logits).all(dim=1).cpu()


def _made(name: str, attack: Attack, model: PassCounter | Witness, x: Tensor, y: Tensor, seeds: Tensor) -> Tensor:
    """What the attack hands back; what it raises and the model did not is its own, where it is watched."""
    try:
        return attack(model, x, y, seeds=seeds).detach()
    except UserError:
        raise
    except Exception as error:  # whatever somebody's attack, or the model under it, may raise
        if not isinstance(model, Witness) or error is model.raised:
            raise
        raise AttackRaised(f"{name} raised {type(error).__name__}: {error}", name) from error


def verify(name: str, x_adv: Tensor, x: Tensor, threat: ThreatModel) -> None:
    """Refuse what the threat does not allow.

    Raises:
        AttackCheated: shape, dtype, box or ball are not kept.
    """
    if x_adv.shape != x.shape or x_adv.dtype != x.dtype:
        raise AttackCheated(
            f"{name} returned {x_adv.dtype} {tuple(x_adv.shape)} for images of {x.dtype} {tuple(x.shape)}",
            name,
        )
    refused = (~threat.allows(x_adv, x)).nonzero().squeeze(1)
    if len(refused):
        first = refused[:1]
        raise AttackCheated(
            f"{name} left the threat model on {len(refused)} of {len(x)} images: size "
            f"{threat.size(x_adv[first] - x[first]).item():.6g} (allowed {threat.eps:.6g}), "
            f"pixels in [{x_adv[first].min():.6g}, {x_adv[first].max():.6g}]",
            name,
        )


def _together(found: list[Outcomes]) -> Outcomes:
    """Several batches as one."""
    lists = [[entry for outcomes in found for entry in outcomes[part]] for part in range(3)]
    sums = [sum(outcomes[part] for outcomes in found) for part in range(3, 7)]
    return Outcomes(*lists, *sums)
