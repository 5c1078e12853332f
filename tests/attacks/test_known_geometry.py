"""The truth on linear models: how far the nearest decision boundary is, in every norm, for every image.

EAD minimizes an objective of its own: test_elastic_net.py has its truth.
"""

from functools import partial

import pytest
import torch
from linear import exact_distance, linear_problem

from max_mahalanobis.attacks import (
    GRADIENT,
    GRADIENT_FREE,
    apgd,
    cross_entropy,
    cw_l2,
    ddn,
    deepfool,
    every_target,
    fab,
    fmn,
    is_fooled,
    margin,
    pgd,
)
from max_mahalanobis.threats import L1, L2, Linf

DUAL = {Linf: 1, L2: 2, L1: torch.inf}
SLOW = pytest.mark.slow
CLASSES = pytest.mark.parametrize("num_classes", [3, *(pytest.param(count, marks=SLOW) for count in (2, 10))])
SMALLEST = [
    pytest.param(attack, norm, id=f"{attack.func.__name__}-{norm.__name__}", marks=[SLOW] * (attack.func is cw_l2))
    for attack, norms in (
        (partial(deepfool), (Linf, L2)),
        (partial(fab, steps=30), (Linf, L2, L1)),
        (partial(fmn, steps=200), (Linf, L2, L1)),
        (partial(ddn, objective=margin, steps=150, init_norm=0.05), (L2,)),
        (partial(cw_l2, steps=300, search_steps=9, learning_rate=1e-3), (L2,)),
    )
    for norm in norms
]


@CLASSES
@pytest.mark.parametrize(("attack", "norm"), SMALLEST)
def test_aimed_at_every_class_the_smallest_perturbation_is_within_five_percent_of_the_exact_distance(
    attack, norm, num_classes
):
    model, x, y = linear_problem(num_classes, count=12, dtype=torch.float64)
    exact = exact_distance(model, x, y, dual=DUAL[norm])
    threat = norm.unlimited(16)
    x_adv = every_target(partial(attack, threat=threat), model, x, y, top=None, smallest=threat)
    assert is_fooled(model(x_adv), y).all()
    ratio = threat.size(x_adv - x) / exact
    assert ratio.max() <= 1.05
    assert ratio.min() >= 1 / 1.001


@pytest.mark.parametrize("attack", [pgd, apgd])
@pytest.mark.parametrize("norm", [Linf, L2, L1])
@pytest.mark.parametrize(
    ("num_classes", "objective"),
    [(2, cross_entropy), (3, margin), *(pytest.param(count, margin, marks=SLOW) for count in (2, 10))],
)
def test_gradient_attacks_fool_what_can_be_fooled(attack, norm, num_classes, objective):
    model, x, y = linear_problem(num_classes, dtype=torch.float64)
    distance = exact_distance(model, x, y, dual=DUAL[norm])
    for eps in distance.quantile(torch.tensor([0.3, 0.7], dtype=torch.float64)).tolist():
        steps = 200 if (attack, norm) == (pgd, L1) else 40
        aimed = partial(every_target, partial(attack, threat=norm(eps), objective=objective, steps=steps), top=None)
        fooled = is_fooled(model(aimed(model, x, y)), y)
        assert fooled[distance < eps / 1.02].all()
        assert not fooled[distance > eps * 1.001].any()


@CLASSES
@pytest.mark.parametrize("name", [*GRADIENT, *GRADIENT_FREE])
def test_no_attack_fools_what_cannot_be_fooled(name, num_classes):
    model, x, y = linear_problem(num_classes, dtype=torch.float64)
    small = {"queries": 50} if name in ("square", "random_search") else {"steps": 5} if name == "spsa" else {}
    for norm in (Linf, L2, L1):
        distance = exact_distance(model, x, y, dual=DUAL[norm])
        eps = distance.median().item()
        x_adv = (GRADIENT | GRADIENT_FREE)[name](model, x, y, threat=norm(eps), **small)
        assert not is_fooled(model(x_adv), y)[distance > eps * 1.001].any()
