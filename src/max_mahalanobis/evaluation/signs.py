"""Signs, on one batch of clean images, that a model's output is not what attacks need: seen before any attack runs."""

import torch

from ..attacks import undisturbed
from ..types import Images, Logits, Model

FEWEST = 8  # images that signs are looked for on, where there are as many


def signs_of(model: Model, x: Images, *, batch_size: int = 256) -> list[str]:
    """What is seen, as keys of `results.SIGNS`; costs two forwards of the images, and one of the first batch."""
    batches = x.split(batch_size)
    with undisturbed(model):
        with torch.no_grad():
            logits, again = (torch.cat([model(batch) for batch in batches]) for _ in range(2))
        with torch.enable_grad():
            reached = model(batches[0].detach().clone().requires_grad_(True)).requires_grad
    seen = {
        "probabilities": _are_probabilities(logits),
        "constant logits": bool((logits == logits[:1]).all()) and not bool((x == x[:1]).all()),
        "non-finite logits": not bool(torch.isfinite(logits).all()),
        "different answers": not torch.equal(torch.nan_to_num(logits), torch.nan_to_num(again)),
        "no gradient": not reached,
    }
    return [sign for sign, is_seen in seen.items() if is_seen]


def _are_probabilities(logits: Logits) -> bool:
    inside = (logits >= 0).all() & (logits <= 1).all()
    return bool(inside & ((logits.sum(dim=1) - 1).abs() < 1e-3).all())
