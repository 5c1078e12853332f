"""What FAB, DeepFool, DDN and FMN have in common: they measure the distance to a model's boundary."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from linear import linear_problem
from scipy.optimize import LinearConstraint, linprog, minimize
from torch import nn

from max_mahalanobis.attacks import is_fooled, margin
from max_mahalanobis.attacks.minimum_norm.ddn import ddn
from max_mahalanobis.attacks.minimum_norm.deep_fool import deepfool
from max_mahalanobis.attacks.minimum_norm.fab import fab
from max_mahalanobis.attacks.minimum_norm.fmn import fmn
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L0, L1, L2, Linf

pytestmark = pytest.mark.slow  # test_family_laws.py and test_known_geometry.py hold the like for every attack

DUALS = {Linf: 1, L2: 2, L1: torch.inf}
ddn_margin = partial(
    ddn, objective=margin, steps=150, init_norm=0.05
)  # these problems are a hundredth of an image's size
GLOBAL = [
    (fab, Linf),
    (fab, L2),
    (fab, L1),
    (deepfool, Linf),
    (deepfool, L2),
]  # they compare all boundaries
LOCAL = [(ddn_margin, L2), (fmn, Linf), (fmn, L2), (fmn, L1)]  # they follow the class that is ahead


def named(pairs):
    return [pytest.param(a, t, id=f"{getattr(a, 'func', a).__name__}-{t.__name__}") for a, t in pairs]


QUICK = [(attack, norm) for attack, norm in GLOBAL + LOCAL if attack is not ddn_margin] + [(ddn, L2), (fmn, L0)]
EVERY = pytest.mark.parametrize(
    ("attack", "norm"), named([(partial(fab, steps=40) if a is fab else a, norm) for a, norm in GLOBAL + LOCAL])
)
EVERY_IN_A_FEW_STEPS = pytest.mark.parametrize(
    ("attack", "norm"), named([(partial(attack, steps=12), norm) for attack, norm in QUICK])
)


def distances(model, x, y, norm):
    """Of each image to the hyperplane between its class and every other, in the norm; shape (batch, classes)."""
    logits, weight = model(x).detach(), model.layer.weight.detach()
    lengths = (weight[y][:, None] - weight[None]).norm(p=DUALS[norm], dim=2)
    own = nn.functional.one_hot(y, len(weight)).bool()
    return ((logits.gather(1, y[:, None]) - logits) / lengths).masked_fill(own, torch.inf)


def assert_smallest(model, x, y, x_adv, distance, norm, *, within=1.05):
    size = norm.unlimited(16).size(x_adv - x)
    assert is_fooled(model(x_adv), y).all()
    assert (size <= within * distance).all()
    assert (size >= distance / 1.001).all()


@pytest.mark.parametrize(("attack", "norm"), named(GLOBAL))
@pytest.mark.parametrize("num_classes", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 10))])
def test_the_distance_to_the_nearest_of_many_hyperplanes_is_found(attack, norm, num_classes):
    model, x, y = linear_problem(num_classes)
    x_adv = attack(model, x, y, threat=norm.unlimited(16))
    assert_smallest(model, x, y, x_adv, distances(model, x, y, norm).amin(dim=1), norm)


@pytest.mark.parametrize(("attack", "norm"), named(LOCAL))
@pytest.mark.parametrize("num_classes", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 10))])
def test_aimed_at_the_nearest_class_the_distance_is_found(attack, norm, num_classes):
    model, x, y = linear_problem(num_classes)
    distance, nearest = distances(model, x, y, norm).min(dim=1)
    x_adv = attack(model, x, y, threat=norm.unlimited(16), targets=nearest)
    assert_smallest(model, x, y, x_adv, distance, norm)


@pytest.mark.parametrize(("attack", "norm"), named(LOCAL))
@pytest.mark.parametrize("num_classes", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 10))])
def test_aimed_nowhere_the_distance_is_found_for_all_of_two_classes_and_most_of_more(attack, norm, num_classes):
    model, x, y = linear_problem(num_classes)
    distance = distances(model, x, y, norm).amin(dim=1)
    size = norm.unlimited(16).size(attack(model, x, y, threat=norm.unlimited(16)) - x)
    assert (size >= distance / 1.001).all()
    assert (size <= 1.05 * distance).float().mean() >= (1.0 if num_classes == 2 else 0.8)


@EVERY
@pytest.mark.parametrize("num_classes", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_targeted_it_is_never_farther_than_the_hyperplane_of_the_target(attack, norm, num_classes):
    model, x, y = linear_problem(num_classes)
    targets = (y + 1) % num_classes
    distance = distances(model, x, y, norm).gather(1, targets[:, None]).squeeze(1)
    x_adv = attack(model, x, y, threat=norm.unlimited(16), targets=targets)
    assert is_fooled(model(x_adv), y).all()
    assert (norm.unlimited(16).size(x_adv - x) <= 1.05 * distance).all()


def optimum_in_the_box(x, w, need, norm):
    """The least norm of delta with <w, delta> = need and x + delta in [0, 1], by a solver that knows no attack."""
    count = len(x)
    if norm is L2:
        plane = LinearConstraint(w, need, need)
        room = list(zip(-x, 1 - x, strict=True))
        found = minimize(
            lambda d: d @ d, np.zeros(count), jac=lambda d: 2 * d, bounds=room, constraints=plane, tol=1e-12
        )
        return found.fun**0.5
    room = np.concatenate([1 - x, x])  # delta = up - down
    if norm is L1:
        return linprog(
            np.ones(2 * count), A_eq=[np.concatenate([w, -w])], b_eq=[need], bounds=[(0, r) for r in room]
        ).fun
    below = np.hstack([np.eye(2 * count), -np.ones((2 * count, 1))])  # up, down <= t
    plane = np.concatenate([w, -w, [0]])
    bounds = [*((0, r) for r in room), (0, None)]
    return linprog(plane * 0 + np.eye(2 * count + 1)[-1], below, np.zeros(2 * count), [plane], [need], bounds).fun


@pytest.mark.parametrize(("attack", "norm"), named([p for p in GLOBAL + LOCAL if p[0] is not deepfool]))
def test_where_the_box_binds_the_optimum_of_a_solver_is_found(attack, norm):
    model, x, y = linear_problem(2, count=12, dtype=torch.float64)
    x = torch.rand(12, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x = ((x - 0.5) * 3 + 0.5).clamp(0, 1)  # two thirds of the pixels on a face
    y = model(x).argmax(dim=1)
    weight, logits = model.layer.weight.detach(), model(x).detach()
    normals = weight[1 - y] - weight[y]
    need = logits.gather(1, y[:, None]).squeeze(1) - logits.gather(1, 1 - y[:, None]).squeeze(1)
    best = [
        optimum_in_the_box(*row, norm) for row in zip(x.flatten(1).numpy(), normals.numpy(), need.numpy(), strict=True)
    ]
    unbounded = need / normals.norm(p=DUALS[norm], dim=1)
    assert (torch.tensor(best) > 1.1 * unbounded).float().mean() > 0.3  # the box does bind
    assert_smallest(model, x, y, attack(model, x, y, threat=norm.unlimited(16)), torch.tensor(best), norm)


@EVERY
@pytest.mark.parametrize("stop", [False, True])
def test_what_is_found_lies_within_eps_and_where_nothing_is_the_image_comes_back(attack, norm, stop):
    model, x, y = linear_problem(2)
    distance = distances(model, x, y, norm).amin(dim=1)
    threat = norm(distance.median().item())
    x_adv = attack(model, x, y, threat=threat, stop_when_fooled=stop)
    fooled = is_fooled(model(x_adv), y)
    assert threat.allows(x_adv, x).all()
    assert fooled[distance < threat.eps / 1.05].all()
    assert not fooled[distance > threat.eps * 1.001].any()
    assert torch.equal(x_adv[~fooled], x[~fooled])


@pytest.mark.parametrize(("attack", "norm"), named([p for p in GLOBAL + LOCAL if p[0] is not deepfool]))
def test_asked_only_whether_it_is_below_eps_images_leave_early(attack, norm):
    model, x, y = linear_problem(2, count=30)
    attack = partial(attack, steps=40)
    distance = distances(model, x, y, norm).amin(dim=1)
    threat, spent = norm(1.5 * distance.median().item()), []
    for stop in (False, True):
        seen = []
        attack(watched(model, seen), x, y, threat=threat, stop_when_fooled=stop)
        spent.append(sum(seen))
    assert spent[1] < 0.8 * spent[0]


def watched(model, seen):
    def forward(images):
        seen.append(len(images))
        return model(images)

    return forward


class Net(nn.Module):
    def __init__(self, num_classes=5, channels=1):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            hidden = [nn.Linear(16 * channels, 30), nn.BatchNorm1d(30), nn.Tanh(), nn.Dropout(0.5)]
            self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(30, num_classes)).double()

    def forward(self, x):
        assert not self.training, "attacks look at the model in evaluation mode"
        return self.layers(x.double())


def images(count=12, channels=1, dtype=torch.float64):
    return torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(1), dtype=dtype)


def labelled(model, x):
    with torch.no_grad():
        return model.eval()(x).argmax(dim=1)


def row_by_row(images):
    """A model whose rounding does not depend on who else is in the batch, as that of a matrix product does."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((30, 16), (5, 30)))
    hidden = ((images.flatten(1)[:, None] - 0.5) * first).sum(dim=2).tanh()
    return (hidden[:, None] * second).sum(dim=2)


@EVERY_IN_A_FEW_STEPS
@pytest.mark.parametrize("targeted", [False, True])
def test_an_image_gets_the_same_alone_and_in_any_company(attack, norm, targeted):
    x, y = images(), row_by_row(images()).argmax(dim=1)
    seeds, targets = torch.arange(12) + 50, (y + 1) % 5 if targeted else None
    whole = attack(row_by_row, x, y, threat=norm.unlimited(16), seeds=seeds, targets=targets)
    assert is_fooled(row_by_row(whole), y).float().mean() > 0.5
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    for rows in (order, *order.split(1)[:3]):
        aims = None if targets is None else targets[rows]
        part = attack(row_by_row, x[rows], y[rows], threat=norm.unlimited(16), seeds=seeds[rows], targets=aims)
        torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-9)


@EVERY_IN_A_FEW_STEPS
@pytest.mark.parametrize(
    ("channels", "num_classes", "dtype"), [(1, 2, torch.float32), (3, 3, torch.float64), (1, 10, torch.float32)]
)
def test_results_are_allowed_and_the_images_untouched(attack, norm, channels, num_classes, dtype):
    model, x = Net(num_classes, channels), images(6, channels, dtype).requires_grad_()
    kept, threat = x.detach().clone(), norm(0.3 * norm.unlimited(16).eps ** 0.5)
    y = labelled(model, x.detach())
    y[0] = (y[0] + 1) % num_classes  # fooled from the start
    x_adv = attack(model, x, y.int(), threat=threat)
    assert x_adv.dtype == dtype
    assert not x_adv.requires_grad
    assert torch.equal(x.detach(), kept)
    assert threat.allows(x_adv, kept).all()
    assert torch.equal(x_adv[0], kept[0])
    fooled = is_fooled(model(x_adv), y)
    assert torch.equal(x_adv[~fooled], kept[~fooled])
    assert attack(model, x[:0], y[:0], threat=threat).shape == (0, channels, 4, 4)


@EVERY_IN_A_FEW_STEPS
def test_manners_model_modes_gradients_and_random_state_stay_as_they_were(attack, norm):
    model = Net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    attack(model, images(), torch.arange(12) % 5, threat=norm.unlimited(16))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@EVERY_IN_A_FEW_STEPS
def test_one_image_with_logits_that_are_not_finite_spoils_no_other(attack, norm):
    model, x, y = linear_problem(3, count=6)
    whole = attack(model, x, y, threat=norm.unlimited(16))
    broken = x.clone()
    broken[2, 0, 0, 0] = 1.0

    def sick(images):
        logits = model(images)
        return torch.where(images[:, 0, 0, :1] > 0.99, torch.tensor([torch.nan, torch.inf, 0.0]), logits)

    x_adv = attack(sick, broken, y, threat=norm.unlimited(16))
    others = torch.tensor([0, 1, 3, 4, 5])
    assert torch.equal(x_adv[2], broken[2])  # no prediction can be made of it: fooled from the start
    torch.testing.assert_close(x_adv[others], whole[others])


@EVERY_IN_A_FEW_STEPS
def test_logits_that_fail_near_the_image_are_survived(attack, norm):
    model, x, y = linear_problem(3, count=6)

    def brittle(images):
        return (
            model(images)
            * torch.where((images - x[: len(images)]).abs().flatten(1).amax(1) > 1e-3, torch.nan, 1)[:, None]
        )

    x_adv = attack(brittle, x, y, threat=norm.unlimited(16))
    assert norm.unlimited(16).allows(x_adv, x).all()


@EVERY_IN_A_FEW_STEPS
def test_a_model_without_any_slope_is_survived_and_nothing_found(attack, norm):
    x, y = images(4), torch.zeros(4, dtype=torch.int64)
    constant = torch.tensor([[1.0, 0.0, 0.5]]).expand(4, 3)
    assert torch.equal(attack(lambda z: constant[: len(z)], x, y, threat=norm(0.1)), x)
    x_adv = attack(
        lambda z: torch.tensor([[1.0, 0.0, 0.5]]) + 0 * z.sum(dim=(1, 2, 3))[:, None], x, y, threat=norm(0.1)
    )
    assert torch.equal(x_adv, x)


@EVERY_IN_A_FEW_STEPS
def test_logits_in_half_precision_are_taken(attack, norm):
    model, x, _ = linear_problem(3, count=6)
    x_adv = attack(lambda z: 50 * model(z).bfloat16(), x, model(x).bfloat16().argmax(1), threat=norm.unlimited(16))
    assert norm.unlimited(16).allows(x_adv, x).all()
    assert x_adv.dtype == torch.float32


@pytest.mark.parametrize(
    ("attack", "threat", "settings", "says"),
    [
        (fab, L0(3), {}, "unknown threat for fab 'L0': choose from Linf, L2, L1"),
        (deepfool, L1(3), {}, "unknown threat for deepfool 'L1': choose from Linf, L2"),
        (ddn, Linf(0.1), {}, "unknown threat for ddn 'Linf': choose from L2"),
        (fab, L2(1), {"steps": 0}, "steps must be at least 1, got 0"),
        (fab, L2(1), {"eta": 0.9}, "fab needs alpha_max in .0, 1., eta >= 1, beta in .0, 1., got 0.1, 0.9 and 0.9"),
        (fab, L2(1), {"beta": 1.0}, "got 0.1, 1.05 and 1.0"),
        (fab, L2(1), {"alpha_max": float("nan")}, "got nan, 1.05 and 0.9"),
        (deepfool, L2(1), {"candidates": 1}, "needs candidates >= 2 and overshoot >= 0, got 1 and 0.02"),
        (ddn, L2(1), {"gamma": 1.0}, "ddn needs gamma in .0, 1. and init_norm above 0, got 1.0 and 1.0"),
        (ddn, L2(1), {"levels": 1}, "levels must be at least 2, got 1"),
        (
            fmn,
            L2(1),
            {"step_size": 0.0},
            "fmn needs gamma in .0, 1. and step_size above 0, got 0.05 and 0.0",
        ),
        (fmn, L2(1), {"targets": torch.zeros(3, dtype=torch.int64)}, "targets must be 40 integers"),
        (fab, L2(1), {"seeds": torch.zeros(40)}, "seeds must be 40 integers"),
    ],
)
def test_settings_that_cannot_be_are_refused(attack, threat, settings, says):
    model, x, y = linear_problem(10)
    with pytest.raises(UserError, match=says):
        attack(model, x, y, threat=threat, **settings)
