"""Checks of the attacks against each other: orders of strength that only a misled attack turns around."""

from collections.abc import Sequence

from ...results import cross_entropy_rows, worst_case
from ...statistics import mcnemar
from .evidence import ATHALYE, CARLINI, CROCE, PINTOR, TRAMER, Evidence, Finding, broke, share

_MAX_P_VALUE = 0.01
_MOST_LEFT = 0.02  # share of images that a longer search may still fell before the number is in doubt
_REAL = 0.05  # share of images from which on one attack beats another
_UNBOUNDED = 0.02
_TOLD = 3  # crashes in words; all are counted


def more_steps(evidence: Evidence) -> Finding | None:
    """Attacks with more steps and restarts still fell images that held."""
    left = evidence.held("longer")
    if left is None or left[1] - left[0] < max(2, _MOST_LEFT * left[1]):
        return None
    return Finding(
        "more_steps",
        "doubt",
        f"longer attacks with restarts fooled {share(left[1] - left[0], left[1])} of the images that had held",
        "the attacks had not converged: indicator 'incomplete optimization'",
        "evaluate with suite exhaustive, or with more steps and restarts",
        f"{CARLINI}; {PINTOR}",
    )


def larger_budget(evidence: Evidence) -> Finding | None:
    """More room does not help the adversary."""
    once, more = evidence.held("white box"), evidence.held("four budgets")
    if once is None or more is None or evidence.trials["four budgets"].eps <= evidence.trials["white box"].eps:
        return None
    stands_still = more[0] == once[0] and _REAL * once[1] <= once[0] < once[1]
    if more[0] <= once[0] and not stands_still:
        return None
    return Finding(
        "larger_budget",
        "doubt",
        f"with 4 times the budget {share(*more)} hold, with the budget itself {share(*once)}",
        "every ball lies inside a larger one: accuracy must fall with the budget",
        "find what keeps the attack from using its room: vanishing gradients, step size, clipping",
        f"{ATHALYE}; {CARLINI}",
    )


def unbounded(evidence: Evidence) -> Finding | None:
    """Even without any limit images hold."""
    left = evidence.held("no limit")
    if left is None or left[0] <= _UNBOUNDED * left[1]:
        return None
    return Finding(
        "unbounded",
        "doubt",
        f"with no limit at all, every pixel free, {share(*left)} still hold",
        "an attack that may replace the image must win: indicator 'unconstrained failure'",
        "check that gradients reach the pixels and that steps are long enough",
        f"{ATHALYE}; {PINTOR}",
    )


def one_step(evidence: Evidence) -> Finding | None:
    """One step fools what many steps do not."""
    return _beats(
        evidence,
        "one step",
        "white box",
        "iterating must not lose to a single step: the way is blocked by masked gradients",
        "more restarts, smaller steps, and black-box attacks",
        ATHALYE,
    )


def black_box(evidence: Evidence) -> Finding | None:
    """Queries alone fool what gradients do not."""
    return _beats(
        evidence,
        "black box",
        "white box",
        "whoever sees the gradients can do all that queries can: they mislead",
        "adapt the attack to what hides the gradient (BPDA, smooth stand-ins), and trust the lower number meanwhile",
        f"{ATHALYE}; {CARLINI}",
    )


def transfer(evidence: Evidence) -> Finding | None:
    """Images made against another model fool what attacks on this one do not."""
    return _beats(
        evidence,
        "transfer",
        "white box",
        "indicator 'transfer failure': gradients of the model itself are worse guides than a stranger's",
        "adapt the attack to what hides the gradient",
        PINTOR,
    )


def noise(evidence: Evidence) -> Finding | None:
    """Random noise fools what gradients do not."""
    return _beats(
        evidence,
        "noise",
        "white box",
        "blind search in thousands of dimensions must not win against a slope",
        "check that the attack gets gradients at all",
        f"{ATHALYE}; {CARLINI}",
    )


def silent_success(evidence: Evidence) -> Finding | None:
    """An attack met adversarial examples and handed back something else."""
    lost = {name: counts for name, counts in evidence.facts.get("lost", {}).items() if counts[0] > 0}
    if not lost:
        return None
    name, (count, met) = max(lost.items(), key=lambda item: item[1][0])
    return Finding(
        "silent_success",
        "doubt",
        f"{name} visited fooling images for {share(count, met)} and returned others that do not fool",
        "it throws its best iterate away: indicator 'silent success'; they are counted as fooled here",
        "return the best iterate seen",
        PINTOR,
    )


def broken_rules(evidence: Evidence) -> Finding | None:
    """An attack handed back what no adversary of this threat model may."""
    if not evidence.broken_rules:
        return None
    return Finding(
        "broken_rules",
        "doubt",
        "; ".join(evidence.broken_rules.values()),
        "success outside the ball or the box is none, and failure outside says nothing: these results are left out",
        "project onto the ball, clip to [0, 1], keep the images' dtype",
        CARLINI,
    )


def attack_raised(evidence: Evidence) -> Finding | None:
    """An attack raised an error where the model did not."""
    if not evidence.raised:
        return None
    return Finding(
        "attack_raised",
        "doubt",
        "; ".join(evidence.raised.values()),
        "such an attack is left out, and what it would have fooled is not known",
        "mend the attack, or leave it out",
    )


def crashes(evidence: Evidence) -> Finding | None:
    """The model failed on some images."""
    if not evidence.crashes:
        return None
    told = list(evidence.crashes.values())
    more = f"; and {len(told) - _TOLD:,} more" if len(told) > _TOLD else ""
    return Finding(
        "crashes",
        "doubt",
        "; ".join(told[:_TOLD]) + more,
        "what was not attacked is not known to hold: the evaluation is incomplete",
        "mend the model, then repeat: what is done is not run again",
    )


def objectives_disagree(evidence: Evidence) -> Finding | None:
    """Cross-entropy leaves much that scale-invariant objectives fell."""
    rows = evidence.rows
    first = next((row for row in cross_entropy_rows(rows) if "targeted" not in row.settings), None)
    if first is None:
        return None
    fallen = [now and not then for then, now in zip(first.fooled, worst_case(rows), strict=True)]
    count = sum(fallen)
    if count < _REAL * first.num_images or mcnemar(0, count) > _MAX_P_VALUE:
        return None
    most, breaker = max(((_both(broke(row), fallen), row.attack) for row in rows), key=lambda pair: pair[0])
    return Finding(
        "objectives_disagree",
        "note",
        f"under {first.attack} {share(first.num_robust, first.num_images)} hold; {count} of these fall to others, "
        f"{most} of them to {breaker}",
        "cross-entropy depends on the scale of the logits, the number must not",
        "never quote an accuracy under cross-entropy alone for this model",
        f"{CROCE}; {TRAMER}",
    )


def targeted_wins(evidence: Evidence) -> Finding | None:
    """Aiming at single classes fells much that untargeted attacks left."""
    before: dict[str, list[bool]] = {}  # by suite: images fooled so far, but for those that fell to targeted attacks
    unaimed: set[str] = set()  # suites that had an untargeted attack
    fallen, which, total = 0, "", 0
    for row in evidence.rows:
        so_far, total = before.setdefault(row.suite, [False] * row.num_images), row.num_images
        composed = row.settings.get("composed", ())
        is_mixed = "where_close" in composed  # its first attack and its long one aim differently
        if is_mixed or "targeted" not in row.settings:
            before[row.suite] = [old or new for old, new in zip(so_far, broke(row), strict=True)]
            unaimed |= set() if is_mixed else {row.suite}
        elif row.suite in unaimed:
            given_up = [not fooled for fooled in so_far]
            fallen, which = max((fallen, which), (_both(broke(row), given_up), row.attack))
    if not fallen or fallen < _REAL * total:
        return None
    return Finding(
        "targeted_wins",
        "note",
        f"{which} fooled {share(fallen, total)} of the images after untargeted attacks had given them up",
        "the nearest class at the start is not the one reached at last; targeted attacks are part of the number",
        "keep targeted attacks in every evaluation of this model",
        CROCE,
    )


def _both(first: Sequence[bool], second: Sequence[bool]) -> int:
    return sum(a and b for a, b in zip(first, second, strict=True))


def _beats(evidence: Evidence, weak: str, strong: str, why: str, remedy: str, reference: str) -> Finding | None:
    counts = evidence.only(weak, strong)
    if counts is None or counts[0] < max(2, _REAL * counts[1]):
        return None
    back = evidence.only(strong, weak)[0]
    strong_fell = counts[1] - evidence.held(strong)[0]
    return Finding(
        weak.replace(" ", "_"),
        "doubt",
        f"{evidence.trials[weak].attack} fools {share(*counts)} that {evidence.trials[strong].attack} does not "
        f"({back} the other way round, {strong_fell} in all)",
        why,
        remedy,
        reference,
    )
