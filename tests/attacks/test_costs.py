from functools import partial

import pytest
import torch
from linear import linear_problem

from max_mahalanobis.attacks import (
    ATTACKS,
    apgd,
    bim,
    cascade,
    corrupt,
    cw_l2,
    ddn,
    deepfool,
    ead,
    every_target,
    fab,
    fgsm,
    fmn,
    gaussian_noise,
    jsma,
    lbfgs,
    mim,
    most_passes,
    nearest_targets,
    pgd,
    random_search,
    restarts,
    rotation,
    rotation_translation,
    spsa,
    square,
    strongest_of,
    toward_random_class,
    transferred_from,
    uniform_noise,
    where_close,
    within_passes,
)
from max_mahalanobis.errors import UserError
from max_mahalanobis.evaluation import PassCounter
from max_mahalanobis.threats import L0, L1, L2, Linf

NEAR = Linf(0.01)
SHORT = partial(apgd, threat=NEAR, steps=3)
EXACT = {  # an image that cannot be fooled costs all of it
    "fgsm": partial(fgsm, threat=NEAR),
    "bim": partial(bim, threat=NEAR, steps=3),
    "mim": partial(mim, threat=NEAR, steps=3),
    "pgd": partial(pgd, threat=NEAR, steps=3),
    "pgd, restarts": partial(pgd, threat=NEAR, steps=2, restarts=3),
    "pgd, to the end": partial(pgd, threat=NEAR, steps=2, stop_when_fooled=False),
    "apgd": partial(apgd, threat=NEAR, steps=5),
    "apgd, restarts": partial(apgd, threat=NEAR, steps=2, restarts=3),
    "apgd, larger radii": partial(apgd, threat=NEAR, steps=6, larger_radii=True, restarts=2),
    "apgd, L1": partial(apgd, threat=L1(0.1), steps=6),
    "apgd, to the end": partial(apgd, threat=NEAR, steps=4, stop_when_fooled=False),
    "fab": partial(fab, threat=NEAR, steps=2),
    "fab, restarts": partial(fab, threat=L2(0.1), steps=1, restarts=2),
    "ddn": partial(ddn, threat=L2(0.1), steps=3),
    "fmn": partial(fmn, threat=NEAR, steps=3),
    "square": partial(square, threat=NEAR, queries=5),
    "square, restarts": partial(square, threat=L2(0.1), queries=4, restarts=2),
    "square, start": partial(square, threat=NEAR, queries=4, restarts=2, start=SHORT),
    "square, to the end": partial(square, threat=NEAR, queries=4, stop_when_fooled=False),
    "spsa": partial(spsa, threat=NEAR, steps=2, samples=3),
    "spsa, to the end": partial(spsa, threat=NEAR, steps=2, samples=3, stop_when_fooled=False),
    "random_search": partial(random_search, threat=NEAR, queries=4),
    "uniform_noise": partial(uniform_noise, threat=NEAR, draws=2),
    "gaussian_noise": partial(gaussian_noise, threat=NEAR, draws=2, stop_when_fooled=False),
    "rotation": partial(rotation, threat=Linf(1.0), angles=3),
    "rotation, tries": partial(rotation, threat=Linf(1.0), tries=2),
    "rotation_translation": partial(rotation_translation, threat=Linf(1.0), angles=3, shifts=2),
    "corrupt": partial(corrupt, threat=Linf(1.0)),
    "corrupt, to the end": partial(corrupt, threat=Linf(1.0), stop_when_fooled=False),
    "every_target": partial(every_target, SHORT),
    "every_target, top": partial(every_target, partial(fab, threat=NEAR, steps=2), top=2),
    "nearest_targets": partial(nearest_targets, partial(SHORT, steps=3), scout=SHORT, top=2),
    "every_target, all": partial(every_target, SHORT, top=None),
    "every_target, smallest": partial(every_target, partial(fmn, threat=NEAR, steps=2), smallest=NEAR),
    "restarts": partial(restarts, partial(pgd, threat=NEAR, steps=2), times=3),
    "restarts of every_target": partial(restarts, partial(every_target, SHORT, top=2), times=2),
    "toward_random_class": partial(toward_random_class, partial(fab, threat=NEAR, steps=2)),
    "cascade": partial(cascade, [SHORT, partial(fgsm, threat=NEAR), partial(square, threat=NEAR, queries=3)]),
    "strongest_of": partial(strongest_of, [SHORT, partial(fgsm, threat=NEAR)], threat=NEAR),
}
AT_MOST = {  # may end sooner
    "apgd, few steps in L1": partial(apgd, threat=L1(0.1), steps=1),
    "deepfool": partial(deepfool, threat=NEAR, steps=4),
    "deepfool, candidates": partial(deepfool, threat=L2(0.1), steps=3, candidates=3),
    "deepfool, targeted": partial(every_target, partial(deepfool, threat=L2(0.1), steps=3)),
    "cw_l2": partial(cw_l2, threat=L2(0.1), steps=3, search_steps=2),
    "ead": partial(ead, threat=L1(0.1), steps=3, search_steps=2),
    "where_close": partial(where_close, partial(SHORT, steps=3), first=SHORT),
    "jsma": partial(jsma, threat=L0(3), theta=0.5),
    "jsma, odd": partial(jsma, threat=L0(5)),
}


def passes_per_image(attack, model, x, y) -> float:
    counter = PassCounter(model)
    attack(counter, x, y)
    return (counter.forwards + counter.backwards) / len(x)


def far_away(num_classes: int):
    """A model that nothing here fools, and that has a slope everywhere; one image."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(16, num_classes, generator=generator)
    lead = torch.zeros(num_classes)
    lead[0] = 1e4
    return lambda x: x.flatten(1) @ weight + lead, torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, dtype=torch.int64)


@pytest.mark.parametrize("num_classes", [2, 4, 12])
@pytest.mark.parametrize("name", EXACT)
def test_an_image_that_cannot_be_fooled_costs_exactly_what_was_said(name, num_classes):
    said = most_passes(EXACT[name], num_classes=num_classes)
    assert passes_per_image(EXACT[name], *far_away(num_classes)) == said


@pytest.mark.parametrize("num_classes", [2, 4, 12])
@pytest.mark.parametrize("name", AT_MOST)
def test_an_attack_that_may_end_sooner_never_costs_more_than_was_said(name, num_classes):
    said = most_passes(AT_MOST[name], num_classes=num_classes)
    assert 0 < passes_per_image(AT_MOST[name], *far_away(num_classes)) <= said


@pytest.mark.parametrize("name", EXACT | AT_MOST)
def test_images_near_the_boundary_never_cost_more_than_was_said(name):
    attack = (EXACT | AT_MOST)[name]
    model, x, y = linear_problem(10, count=9)
    for one in range(0, 9, 4):
        part = slice(one, one + 1)
        assert passes_per_image(attack, model, x[part], y[part]) <= most_passes(attack)


def my_own(model, x, y, *, threat):
    return x


def test_every_attack_has_a_cost_or_says_that_it_has_none():
    assert set(ATTACKS) - {"lbfgs"} <= {
        attack.func.__name__ for attack in (EXACT | AT_MOST).values() if not attack.args
    }
    with pytest.raises(UserError, match="the cost of lbfgs cannot be known"):
        most_passes(lbfgs)
    with pytest.raises(UserError, match="the cost of jsma depends on its threat: bind one"):
        most_passes(jsma)
    with pytest.raises(UserError, match="the cost of my_own cannot be known"):
        most_passes(partial(every_target, partial(my_own, threat=NEAR)))


def test_a_bare_function_costs_what_its_defaults_do():
    assert most_passes(pgd) == 20
    assert most_passes(square) == 5001
    assert most_passes(partial(apgd, threat=NEAR)) == 202
    assert most_passes(apgd) == 204  # its threat may be L1
    assert most_passes(fab) == 1 + 100 * (2 + 9) + 5


def test_passes_of_a_transferred_attack_are_those_on_the_source():
    model, x, y = far_away(10)
    source, target = PassCounter(model), PassCounter(model)
    attack = partial(transferred_from, SHORT, source=source)
    attack(target, x, y)
    assert source.forwards + source.backwards == most_passes(attack)
    assert target.forwards == 0


def with_length(attack, length: int):
    """The attack with so many steps, queries or draws, through any number of compositions."""
    if attack.args:
        return partial(attack.func, with_length(attack.args[0], length), **attack.keywords)
    (name,) = {"steps", "queries", "draws"} & set(attack.keywords)
    return partial(attack, **{name: length})


HAVE_NO_LENGTH = ("fgsm", "jsma", "rotation", "corrupt", "cascade", "strongest_of")


@pytest.mark.parametrize("passes", [50, 101])
@pytest.mark.parametrize("name", [name for name in EXACT | AT_MOST if not name.startswith(HAVE_NO_LENGTH)])
def test_within_passes_is_the_longest_attack_they_pay_for(name, passes):
    attack = (EXACT | AT_MOST)[name]
    within = most_passes(within_passes(attack, passes, num_classes=4), num_classes=4)
    affordable = [most_passes(with_length(attack, n), num_classes=4) for n in range(1, passes + 1)]
    assert within == max(cost for cost in affordable if cost <= passes)


def test_within_passes_keeps_all_other_settings_and_reaches_into_compositions():
    attack = partial(every_target, partial(apgd, threat=NEAR, steps=7, rho=0.5), top=3)
    within = within_passes(attack, 100)
    assert within.keywords == {"top": 3}
    assert within.args[0].keywords == {"threat": NEAR, "steps": 15, "rho": 0.5}  # 1 + 3 * (2 * 15 + 1 + 1 + 1) = 100
    assert attack.args[0].keywords["steps"] == 7
    assert within_passes(pgd, 41).keywords == {"steps": 20}
    assert within_passes(attack, 99).args[0].keywords["steps"] == 14


def test_the_cost_of_untargeted_fab_grows_with_the_classes_and_of_a_targeted_one_does_not():
    attack = partial(fab, threat=NEAR)
    assert [most_passes(attack, num_classes=n) for n in (2, 10, 100)] == [306, 1106, 10106]
    aimed = partial(every_target, attack, top=1)
    assert most_passes(aimed, num_classes=2) == most_passes(aimed, num_classes=100)
    assert within_passes(attack, 1106, num_classes=10).keywords["steps"] == 100
    assert within_passes(attack, 1106, num_classes=100).keywords["steps"] == 10


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        (partial(pgd, threat=NEAR), "1 passes are too few: with 1 of its steps the attack costs 2"),
        (partial(square, threat=NEAR), "1 passes are too few: with 1 of its queries the attack costs 2"),
        (partial(fgsm, threat=NEAR), "attack fgsm has no steps, queries or draws"),
        (partial(jsma, threat=L0(3)), "attack jsma has no steps, queries or draws"),
        (partial(cascade, [SHORT]), "attack cascade has no steps, queries or draws"),
        (partial(every_target, partial(rotation, threat=NEAR)), "attack rotation has no steps, queries or draws"),
        (partial(lbfgs, threat=L2(1.0)), "the cost of lbfgs cannot be known"),
    ],
)
def test_passes_that_pay_for_nothing_and_attacks_that_cannot_be_shortened_are_refused(attack, says):
    with pytest.raises(UserError, match=says) as caught:
        within_passes(attack, 1)
    assert "\n" not in str(caught.value)
