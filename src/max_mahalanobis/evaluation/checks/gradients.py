"""Checks of what gradient attacks live on: a slope that is there, leads uphill, ends at what is known to be there."""

from .evidence import ATHALYE, PINTOR, ZIMMERMANN, Evidence, Finding

_FEW = 0.05  # share of images below which a symptom is not one of the model
_MOST_DOWNHILL = 0.2
_LEAST_FOUND = 0.9
_MOST_BY_CHANCE = 0.5


def zero_gradients(evidence: Evidence) -> Finding | None:
    """The margin, which saturates nowhere, has a gradient of exactly zero, or none that is a number."""
    flat = evidence.facts.get("zero_gradient", {}).get("margin", 0.0)
    lost = evidence.facts.get("non_finite_gradient", 0.0)
    if flat + lost <= _FEW:
        return None
    return Finding(
        "zero_gradients",
        "doubt",
        f"the margin's gradient is exactly 0 on {100 * flat:.0f} %, not finite on {100 * lost:.0f} % of "
        f"{evidence.facts['images']} clean images",
        "a gradient attack stays where it began: indicator 'unavailable gradients'",
        "replace what has no slope (rounding, thresholds, argmax) by a smooth stand-in in the backward pass (BPDA), "
        "and look at the black-box attacks",
        f"{ATHALYE}; {PINTOR}",
    )


def saturated_softmax(evidence: Evidence) -> Finding | None:
    """Cross-entropy has no gradient in float32 although the margin has one: attacks on it alone are blind."""
    flat = evidence.facts.get("zero_gradient", {})
    blind = flat.get("cross_entropy", 0.0)
    if blind <= max(_FEW, flat.get("margin", 0.0)):
        return None
    gap = evidence.facts["logit_gap"]
    return Finding(
        "saturated_softmax",
        "note",
        f"the gradient of cross-entropy is exactly 0 on {100 * blind:.0f} % of {evidence.facts['images']} clean "
        f"images: the largest logit leads by {gap['median']:.3g} in the median ({gap['most']:.3g} at most), "
        "and in float32 a softmax is exactly one from a lead of about 17, the other classes exactly zero from 104",
        "any accuracy under cross-entropy alone measures this saturation; the attacks counted here do not rely on it",
        "quote the number, not the accuracy under cross-entropy PGD",
        "Carlini and Wagner 2017, https://arxiv.org/abs/1608.04644",
    )


def downhill(evidence: Evidence) -> Finding | None:
    """A small step along the margin's gradient does not raise the margin."""
    wrong = evidence.facts.get("downhill")
    if wrong is None or wrong <= _MOST_DOWNHILL:
        return None
    return Finding(
        "downhill",
        "doubt",
        f"a step of a hundredth of the budget along the gradient fails to raise the margin on {100 * wrong:.0f} % of "
        "the images",
        "the surface is shattered or the gradient is false: indicator 'unstable predictions'",
        "average gradients over noise, smooth the activation in the backward pass, and look at the black-box attacks",
        f"{ATHALYE}; {PINTOR}",
    )


def planted(evidence: Evidence) -> Finding | None:
    """The binarization test: an attack misses adversarial examples that are known to be there."""
    test = evidence.facts.get("binarization")
    if not test or not test.get("images", test["planted"]):
        return None
    if not test["planted"]:
        return _untested(f"no adversarial example could be planted around {test['images']} images")
    seen = (
        f"of {test['planted']} adversarial examples planted on the model's own features{_how_far(test)}, the attack "
        f"found {test['found']} (random search {test['found_by_chance']})"
    )
    if test["found"] < _LEAST_FOUND * test["planted"]:
        return Finding(
            "planted",
            "doubt",
            seen,
            "an attack that misses examples known to exist says little where it finds none",
            "more steps, another objective, or an attack adapted to what hides the gradient",
            ZIMMERMANN,
        )
    return _untested(seen) if test["found_by_chance"] > _MOST_BY_CHANCE * test["planted"] else None


def _untested(seen: str) -> Finding:
    return Finding(
        "planted",
        "note",
        seen,
        "only examples that are there and hard to find try an attack: the binarization test says nothing here",
        "rest on the other checks, or test at another budget",
        ZIMMERMANN,
    )


def _how_far(test: dict) -> str:
    """Where they were planted; audits of before this was measured do not say."""
    shortest = test.get("shortest")
    if shortest is None:
        return ""
    away = "a budget" if round(shortest, 2) == 1 else f"{shortest:.2f} to 1 budgets"
    return f" ({away} away, in {test['images']} images tried)"
