"""The search over the constant that weighs fooling against closeness, every image at its own pace.

Attacks that minimize `closeness + constant * shortfall` (Carlini and Wagner 2017, section VI.D of
https://arxiv.org/abs/1608.04644) run one descent per constant: ten times the constant after each that fooled nowhere,
halves of the bracket once one did. An image whose descent ends begins the next at once, so the batch stays full; the
search lives in the rows of `Standing`.
"""

import torch
from torch import Tensor

from ...errors import UserError, at_least_one
from ...types import Objective
from ..manners import explained, is_fooled
from ..standing import Standing


def check_search(steps: int, search_steps: int, initial_constant: float | int, confidence: float | int) -> None:
    """Refuse settings with which no search is possible."""
    at_least_one(steps=steps, search_steps=search_steps)
    if not 0 < initial_constant < float("inf"):
        raise UserError(f"initial_constant must be positive and finite, got {initial_constant}")
    if not 0 <= confidence < float("inf"):
        raise UserError(f"confidence must be finite and not negative, got {confidence}")


def check_signs(objective: Objective, logits: Tensor, y: Tensor, targets: Tensor | None) -> None:
    """Refuse an objective that is not negative where a model is right: its hinge would be 0 there, and nothing move.

    It is asked about logits made up here, whose true class leads by 1, low and high: a model's own may be so large that
    a cross-entropy of 1e-40 is a 0 in float32, and equal logits of a tie are no fault of any objective.
    """
    with explained(logits):
        right = torch.nn.functional.one_hot(y, logits.shape[1]).to(logits.dtype)
        lead = torch.stack([objective(right + level, y, targets) for level in (-10, 10)])
    if len(y) and bool((lead >= 0).any()):
        remedy = "take one that changes sign where the model errs, as margin, dlr, un_2, tar_2 do"
        raise UserError(f"the objective is {lead.max().item():.4g} on logits that are right: {remedy}")


def is_success(logits: Tensor, y: Tensor, shortfall: Tensor, confidence: float | int) -> Tensor:
    """Fooled, and by the lead asked for: where `confidence` is above 0 nothing may be missing of it."""
    fooled = is_fooled(logits, y)
    return fooled & ~(shortfall > 0) if confidence > 0 else fooled


def search_rows(x: Tensor, initial_constant: float | int) -> dict[str, Tensor]:
    """What `Standing` keeps of each image's search."""
    zero = x.new_zeros(len(x))
    return {
        "constant": zero + initial_constant,
        "lower": zero,  # the bracket: largest constant that did not fool, smallest that did
        "upper": zero + torch.inf,
        "found": torch.zeros(len(x), dtype=torch.bool, device=x.device),  # did this descent fool anywhere
        "taken": zero,  # steps of this descent
        "lowest": zero + torch.inf,  # loss of this descent so far
        "checked": zero + torch.inf,  # the loss, and the lowest so far, at the last check of progress
        "checked_lowest": zero + torch.inf,
        "searched": zero,  # descents completed
    }


def advance(at: Standing, success: Tensor, loss: Tensor, *, steps: int, abort_early: bool) -> Tensor:
    """Count one step; returns the images whose descent ends here: they have their next constant.

    A descent ends after `steps` steps or, with `abort_early`, where a tenth of them lowered neither the loss nor the
    lowest loss so far by 0.01 % (one that is no number lowers nothing). The authors compare the loss alone; that of a
    single image swings about the boundary, and would look stalled long before it is.
    """
    at.found = at.found | success
    over = at.taken + 1 >= steps
    if abort_early:
        check = at.taken % max(1, steps // 10) == 0
        at.lowest = at.lowest.fmin(loss)
        fell = (loss <= 0.9999 * at.checked) | (at.lowest <= 0.9999 * at.checked_lowest)
        over = over | (check & ~fell)
        at.checked = torch.where(check, loss, at.checked)
        at.checked_lowest = torch.where(check, at.lowest, at.checked_lowest)
    at.taken, at.searched = at.taken + 1, at.searched + over
    if not at.surely_none(over):
        constant, lower, upper = narrowed(at.constant, at.lower, at.upper, at.found)
        at.reset(over, constant=constant, lower=lower, upper=upper, found=False, taken=0.0)
        at.reset(over, lowest=torch.inf, checked=torch.inf, checked_lowest=torch.inf)
    return over


def narrowed(constant: Tensor, lower: Tensor, upper: Tensor, found: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The next constant, and the bracket narrowed by whether this one `found` anything."""
    upper = torch.where(found, constant, upper)
    lower = torch.where(found, lower, constant)
    return torch.where(upper.isinf(), 10 * constant, (lower + upper) / 2), lower, upper
