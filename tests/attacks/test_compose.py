from functools import partial

import pytest
import torch
from linear import exact_distance, linear_problem
from torch import nn

from max_mahalanobis.attacks import (
    cascade,
    every_target,
    expectation_over,
    is_fooled,
    margin,
    nearest_targets,
    pgd,
    random_wrong_targets,
    restarts,
    strongest_of,
    toward_random_class,
    transferred_from,
    tries,
    where_close,
)
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L2, Linf

WEAK = partial(pgd, threat=Linf(0.06), steps=3)
SHORT = partial(pgd, threat=Linf(0.2), steps=1)


def curved_problem(dtype=torch.float32):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 30), nn.ReLU(), nn.Linear(30, 5)).to(dtype)
    x = torch.rand(60, 1, 4, 4, dtype=dtype)
    return model, x, model(x).argmax(dim=1)


def fooled(model, x_adv, y):
    return is_fooled(model(x_adv), y)


@pytest.mark.parametrize(
    ("one", "many"),
    [
        (partial(restarts, WEAK, times=1), partial(restarts, WEAK, times=6)),
        (partial(every_target, SHORT, top=1), partial(every_target, SHORT, top=None)),
    ],
)
def test_more_tries_fool_more_images_and_never_lose_one(one, many):
    model, x, y = curved_problem()
    few, more = (fooled(model, attack(model, x, y), y) for attack in (one, many))
    assert more.sum() > few.sum()
    assert (more | ~few).all()


def test_every_target_goes_by_the_clean_logits_best_first_and_leaves_the_label_out():
    model, x, y = linear_problem(10)
    asked = []

    def record(model, x, y, *, targets, seeds):
        asked.append(torch.stack([y, targets], dim=1))
        return x

    one = every_target(record, model, x[:1], y[:1], top=4)
    order = model(x[:1]).argsort(dim=1, descending=True)[0]
    assert torch.cat(asked)[:, 1].tolist() == order[1:5].tolist()
    torch.testing.assert_close(one, x[:1])


@pytest.mark.parametrize("num_classes", [2, 3, 1000])
def test_every_target_knows_how_many_classes_there_are(num_classes):
    model, x, y = linear_problem(num_classes, count=4)
    seen = []

    def record(model, x, y, *, targets, seeds):
        seen.append(targets)
        assert (targets != y).all()
        return x

    every_target(record, model, x, y, top=9)
    assert sum(map(len, seen)) == 4 * min(9, num_classes - 1)


def test_the_multi_targeted_margin_attack_is_exact_on_linear_models():
    for num_classes in (2, 3, 10):
        model, x, y = linear_problem(num_classes, dtype=torch.float64)
        distance = exact_distance(model, x, y, dual=1)
        eps = distance.median().item()
        attack = partial(every_target, partial(pgd, threat=Linf(eps), objective=margin, steps=20), top=None)
        found = fooled(model, attack(model, x, y), y)
        assert found[distance < eps / 1.02].all()
        assert not found[distance > eps * 1.001].any()


def test_tries_side_by_side_find_what_tries_in_turn_find(monkeypatch):
    """A small batch meets several targets or restarts side by side; a large one meets one after the other."""
    model, x, y = curved_problem(torch.float64)
    seeds = torch.arange(60) + 7
    scouted = partial(nearest_targets, WEAK, scout=WEAK, top=2)
    for attack in (partial(restarts, WEAK, times=5), partial(every_target, WEAK), scouted):
        monkeypatch.setattr(tries, "_SMALL_BATCH", 0)
        in_turn = attack(model, x, y, seeds=seeds)
        monkeypatch.undo()
        hit, order = fooled(model, in_turn, y), torch.randperm(60)
        side_by_side = attack(model, x[order], y[order], seeds=seeds[order])[order.argsort()]
        assert torch.equal(hit, fooled(model, side_by_side, y))
        torch.testing.assert_close(side_by_side[hit], in_turn[hit])


def test_nearest_targets_pursues_the_class_that_the_scout_came_nearest_to_and_not_the_likeliest():
    def model(images):
        bright = images.flatten(1).mean(dim=1)
        return torch.stack([0 * bright, 15 * bright - 1, 0 * bright - 0.5], dim=1)  # class 2 is likelier and stays put

    aimed = []

    def record(model, x, y, *, targets, seeds):
        aimed.append(targets.tolist())
        return x.clone()

    x, y = torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.long)
    scout = partial(pgd, threat=Linf(0.05), objective=margin, steps=2)
    nearest_targets(record, model, x, y, scout=scout)
    nearest_targets(record, model, x, y, scout=scout, top=2)
    assert aimed == [[1, 1], [1, 1], [2, 2]]
    found = nearest_targets(record, model, x, y, scout=partial(scout, threat=Linf(0.1)))
    assert fooled(model, found, y).all()
    assert len(aimed) == 3  # what falls to the scout meets nothing else


def test_smallest_tries_every_target_and_keeps_the_least_size():
    model, x, y = linear_problem(10, dtype=torch.float64)
    threat = L2(5.0)

    def onto_the_plane(model, x, y, *, targets, seeds):
        normal = model.layer.weight[targets] - model.layer.weight[y]
        gap = (model(x).gather(1, y[:, None]) - model(x).gather(1, targets[:, None])).squeeze(1)
        step = normal * (1.001 * gap / normal.pow(2).sum(dim=1))[:, None]
        return (x + step.view_as(x)).detach()

    exact = exact_distance(model, x, y, dual=2)
    made = every_target(onto_the_plane, model, x, y, top=None, smallest=threat)
    torch.testing.assert_close(threat.size(made - x), exact * 1.001)


def test_a_cascade_shows_the_next_attack_only_what_holds():
    model, x, y = curved_problem()
    counts = []

    def count(model, x, y, *, targets, seeds):
        counts.append(len(x))
        return x

    first = fooled(model, WEAK(model, x, y), y)
    cascade([WEAK, count], model, x, y)
    assert counts == [int((~first).sum())]


def test_the_strongest_is_the_smallest_that_fools():
    model, x, y = curved_problem()
    threat = Linf(0.3)
    wide, narrow = (partial(pgd, threat=Linf(eps), steps=20) for eps in (0.3, 0.1))
    made = strongest_of([wide, narrow], model, x, y, threat=threat)
    alone = [attack(model, x, y) for attack in (wide, narrow)]
    hits = [fooled(model, each, y) for each in alone]
    assert torch.equal(fooled(model, made, y), hits[0] | hits[1])
    both = hits[0] & hits[1]
    sizes = torch.stack([threat.size(each - x) for each in alone])
    torch.testing.assert_close(threat.size(made - x)[both], sizes.min(dim=0).values[both])


def test_where_close_goes_on_with_images_that_lost_most_of_their_lead_and_no_others():
    def model(images):
        return torch.stack([images[:, 0, 0, 0], torch.full((len(images),), 0.5)], dim=1)

    x = torch.full((4, 1, 1, 1), 0.9)  # the lead of the label 0 is 0.4
    y, seeds = torch.zeros(4, dtype=torch.long), torch.arange(4)
    scouted = torch.tensor([0.45, 0.55, 0.6, 0.7]).view(4, 1, 1, 1)  # fooled; a lead of 0.05, 0.1, 0.2 is left
    met = []

    def attack(model, x, y, *, targets, seeds):
        met.append(x.flatten().tolist())
        return torch.zeros_like(x)

    def scout(model, x, y, *, targets, seeds):
        return scouted[seeds]

    made = where_close(attack, model, x, y, first=scout, within=0.3, seeds=seeds)
    assert made.flatten().tolist() == pytest.approx([0.45, 0.0, 0.0, 0.7])
    assert met == [pytest.approx([0.9, 0.9])]  # from the clean images
    assert torch.equal(where_close(attack, model, x, y, first=scout, within=0.0, seeds=seeds), scouted)


def test_where_close_reads_the_lead_over_the_target_when_it_has_one():
    def model(images):
        return torch.cat([images.flatten(1), 0.5 * images.flatten(1), torch.zeros(len(images), 1)], dim=1)

    x, y = torch.full((2, 1, 1, 1), 0.8), torch.zeros(2, dtype=torch.long)
    halved = lambda model, x, y, *, targets, seeds: x / 2  # noqa: E731  both leads are halved
    aims = []

    def attack(model, x, y, *, targets, seeds):
        aims.append(targets.tolist())
        return x

    targets = torch.tensor([1, 2])
    assert torch.equal(where_close(attack, model, x, y, first=halved, within=0.4, targets=targets), x / 2)
    where_close(attack, model, x, y, first=halved, within=0.6, targets=targets)
    assert aims == [[1, 2]]


def test_a_transferred_attack_never_asks_the_model_it_is_aimed_at():
    source, x, y = curved_problem()

    def closed(images):
        raise AssertionError("asked")

    crafted = WEAK(source, x, y)
    torch.testing.assert_close(transferred_from(WEAK, closed, x, y, source=source), crafted)


def test_expectation_over_draws_averages_a_randomized_model():
    model, x, _ = linear_problem(3)
    noisy = lambda images: model(images) + torch.randn(len(images), 3)  # noqa: E731
    error = (expectation_over(noisy, 400)(x) - model(x)).abs().max()
    assert error < 0.3
    with pytest.raises(UserError, match="samples must be at least 1, got 0"):
        expectation_over(noisy, 0)


def test_random_wrong_targets_are_wrong_and_all_classes_occur():
    y = torch.arange(3000) % 10
    targets = random_wrong_targets(y, 10, torch.arange(3000))
    assert (targets != y).all()
    assert ((targets - y) % 10).bincount(minlength=10)[1:].min() > 250


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (partial(every_target, WEAK, targets=torch.zeros(3, dtype=torch.long)), "this attack chooses its targets"),
        (partial(nearest_targets, WEAK, scout=WEAK, top=0), "top must be at least 1, got 0"),
        (partial(every_target, WEAK, top=0), "top must be at least 1, got 0"),
        (partial(restarts, WEAK, times=0), "times must be at least 1, got 0"),
        (partial(toward_random_class, WEAK, targets=torch.zeros(3, dtype=torch.long)), "draws the targets"),
        (partial(where_close, WEAK, first=WEAK, within=1.5), r"within must lie in \[0, 1\], got 1.5"),
        (partial(strongest_of, [], threat=Linf(0.1)), "at least one attack"),
    ],
)
def test_what_makes_no_sense_is_refused(call, says):
    model, x, y = linear_problem(3, count=3)
    y = torch.tensor([1, 1, 2])
    with pytest.raises(UserError, match=says):
        call(model, x, y)
