"""Checks of what is claimed: the images, the budget, how the weights were chosen."""

from ...statistics import proportion
from .evidence import CARLINI, Evidence, Finding

_WIDE = 5.0  # points of half an interval
_MANY = 100  # images that are seldom all right


def few_images(evidence: Evidence) -> Finding | None:
    """The interval is too wide for the claim."""
    if not evidence.rows:
        return None
    last = min(evidence.rows, key=lambda row: row.num_robust)
    found = proportion(last.num_robust, last.num_images, evidence.interval)
    half = 50 * (found.high - found.low)
    if half <= _WIDE:
        return None
    return Finding(
        "few_images",
        "note",
        f"{last.num_images} images: the number is known to {half:.1f} points",
        "two models closer than that cannot be told apart",
        "attack more images (mmc plan says how many)",
        CARLINI,
    )


def stopped_early(evidence: Evidence) -> Finding | None:
    """Fewer images were attacked than asked for, as their verdict was decided."""
    if evidence.interval == "wilson":
        return None
    attacked, asked = evidence.facts["attacked"]
    return Finding(
        "stopped_early",
        "note",
        f"{attacked} of {asked} images were attacked: an interval that may be looked at any time decided it",
        "the number is of these images, and its interval is the wider one that is right whenever one stops",
        "attack all of them where the number itself matters",
        "Robbins 1970, https://doi.org/10.1214/aoms/1177696786",
    )


def chosen_on_test(evidence: Evidence) -> Finding | None:
    """The checkpoint or its settings were chosen on the images it is judged by."""
    if evidence.facts.get("selected_on") != "test":
        return None
    return Finding(
        "chosen_on_test",
        "doubt",
        "the weights were chosen by their accuracy on the test split",
        "the best of many on these images is too good on these images",
        "choose on a validation split, or judge on images that chose nothing",
        "Rice et al. 2020, https://arxiv.org/abs/2002.11569",
    )


def guessed_labels(evidence: Evidence) -> Finding | None:
    """Every image is right when clean, as when labels are the model's own predictions."""
    if not evidence.rows or not evidence.rows[0].num_correct == evidence.rows[0].num_images >= _MANY:
        return None
    return Finding(
        "guessed_labels",
        "note",
        f"all {evidence.rows[0].num_images} images are classified rightly when clean",
        "so they are where labels were guessed from the model's answers, or wrong images left out: the number is then "
        "a share of what the model gets right, not an accuracy",
        "if the labels are not the published ones, take those, and all images",
    )


def budget_in_256(evidence: Evidence) -> Finding | None:
    """The budget is k/256 where the field's is k/255."""
    if not evidence.rows or evidence.rows[0].threat != "Linf":
        return None
    eps = evidence.rows[0].eps
    steps = round(256 * eps)
    if not 0 < steps <= 64 or abs(256 * eps - steps) > 1e-9 or (steps % 64 == 0):
        return None
    return Finding(
        "budget_in_256",
        "note",
        f"the budget is {steps}/256 = {eps:.5f}; published numbers mostly use {steps}/255 = {steps / 255:.5f}",
        "the smaller ball flatters the model a little",
        f"use --eps {steps}/255 to compare",
    )
