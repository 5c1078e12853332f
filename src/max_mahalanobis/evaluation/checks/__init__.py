"""Signs that a robust accuracy is too good: each check is a pure function from recorded evidence to a finding."""

from .attacks import (
    attack_raised,
    black_box,
    broken_rules,
    crashes,
    larger_budget,
    more_steps,
    noise,
    objectives_disagree,
    one_step,
    silent_success,
    targeted_wins,
    transfer,
    unbounded,
)
from .claim import budget_in_256, chosen_on_test, few_images, guessed_labels, stopped_early
from .evidence import Check, Evidence, Finding
from .gradients import downhill, planted, saturated_softmax, zero_gradients
from .model import (
    batch_dependence,
    constant,
    no_gradient,
    non_finite,
    probabilities,
    random_answers,
    refusals,
    training_mode,
)

CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        crashes,
        broken_rules,
        attack_raised,
        no_gradient,
        zero_gradients,
        downhill,
        probabilities,
        constant,
        random_answers,
        training_mode,
        batch_dependence,
        refusals,
        silent_success,
        planted,
        more_steps,
        larger_budget,
        unbounded,
        one_step,
        black_box,
        transfer,
        noise,
        chosen_on_test,
        saturated_softmax,
        objectives_disagree,
        targeted_wins,
        non_finite,
        budget_in_256,
        guessed_labels,
        stopped_early,
        few_images,
    )
}


def findings_in(evidence: Evidence) -> list[Finding]:
    """What every check found, doubts first."""
    found = [finding for check in CHECKS.values() if (finding := check(evidence)) is not None]
    return sorted(found, key=lambda finding: finding.weight != "doubt")


__all__ = ["CHECKS", "Check", "Evidence", "Finding", "findings_in"]
