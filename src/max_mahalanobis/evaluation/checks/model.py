"""Checks of the model's answers: what makes every attack on it weaker than it looks."""

from ...results import SIGNS
from .evidence import ATHALYE, CARLINI, PINTOR, Evidence, Finding

_FEW_REFUSALS = 5
_MOST_BATCH_DEPENDENCE = 1e-3  # of the spread of the logits; rounding gives 1e-6


def probabilities(evidence: Evidence) -> Finding | None:
    """The model returns probabilities in place of logits."""
    return _sign(
        evidence,
        "probabilities",
        "probabilities",
        "probabilities saturate: differences of logits vanish in rounding",
        CARLINI,
    )


def no_gradient(evidence: Evidence) -> Finding | None:
    """The model's output does not depend on its input in a differentiable way."""
    return _sign(evidence, "no_gradient", "no gradient", "indicator 'unavailable gradients'", PINTOR)


def constant(evidence: Evidence) -> Finding | None:
    """Every image gets the same logits."""
    return _sign(evidence, "constant", "constant logits", "an accuracy of such a model says nothing", CARLINI)


def non_finite(evidence: Evidence) -> Finding | None:
    """Logits that are NaN or infinite; counted as fooled."""
    worst = max(evidence.rows, key=lambda row: row.non_finite, default=None)
    if worst is None or not worst.non_finite:
        return None
    return Finding(
        "non_finite",
        "note",
        f"logits are NaN or infinite on {worst.non_finite} of {worst.num_images} images, clean or under {worst.attack}",
        "no prediction can be made of them: they count as fooled, and gradients through them are lost",
        "check the model's numerics",
        CARLINI,
    )


def random_answers(evidence: Evidence) -> Finding | None:
    """The same image gets different logits."""
    return _sign(
        evidence, "random_answers", "different answers", "gradients of one draw do not attack the next", ATHALYE
    )


def training_mode(evidence: Evidence) -> Finding | None:
    """Layers that stay in training mode when the model is told to evaluate."""
    layers = list(evidence.facts.get("training_layers", ()))
    layers += ["buffers that change while the model answers"] * evidence.facts.get("moving_buffers", False)
    if not layers:
        return None
    return Finding(
        "training_mode",
        "doubt",
        f"in training mode during evaluation: {', '.join(layers[:5])}{' ...' if len(layers) > 5 else ''}",
        "dropout and batch statistics make the answer depend on chance and on the other images",
        "let model.eval() reach every layer",
        CARLINI,
    )


def batch_dependence(evidence: Evidence) -> Finding | None:
    """An image gets other logits alone than among others."""
    moved = evidence.facts.get("batch_dependence", 0.0)
    if not moved > _MOST_BATCH_DEPENDENCE:
        return None
    return Finding(
        "batch_dependence",
        "doubt",
        f"logits move by {100 * moved:.2g} % of their spread with the images beside them",
        "the accuracy is then a property of the batch, and no attack on single images measures it",
        "use stored statistics (model.eval()) or evaluate with the batches the model will meet",
        CARLINI,
    )


def refusals(evidence: Evidence) -> Finding | None:
    """Attacked images end in a class that no label has: a detector's."""
    refused, met = evidence.facts.get("refused", (0, 0))
    if refused < max(_FEW_REFUSALS, met / 2):
        return None
    return Finding(
        "refusals",
        "doubt",
        f"{refused} of {met} images that count as fooled are put into one class that no label has",
        "a model that refuses is not fooled by refusing: the attacks stopped there, and must both avoid the refusal "
        "and change the class; the number is neither its accuracy nor a bound of it",
        "attack with an objective that lowers the refusal too, and count refusals of clean images as errors",
        "Tramer 2022, https://arxiv.org/abs/2107.11630",
    )


def _sign(evidence: Evidence, check: str, sign: str, why: str, reference: str) -> Finding | None:
    if sign not in evidence.facts.get("signs", ()):
        return None
    seen, _, remedy = SIGNS[sign].partition("; ")
    return Finding(check, "doubt", seen, why, remedy or "see the docs", reference)
