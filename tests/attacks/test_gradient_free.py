"""What holds for every attack that asks for logits alone."""

from functools import partial

import pytest
import torch
from linear import linear_problem
from torch import nn

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.corruptions import corrupt
from max_mahalanobis.attacks.gradient_free.noise import gaussian_noise, random_search, uniform_noise
from max_mahalanobis.attacks.gradient_free.spsa import spsa
from max_mahalanobis.attacks.gradient_free.square import square
from max_mahalanobis.attacks.transformations import rotation, rotation_translation
from max_mahalanobis.threats import L0, L1, L2, Linf

pytestmark = pytest.mark.slow  # test_family_laws.py and test_known_geometry.py hold the like for every attack

CHOOSING = {  # settings small enough for tiny models
    "square": partial(square, queries=30),
    "spsa": partial(spsa, steps=4, samples=8),
    "gaussian_noise": partial(gaussian_noise, std=0.5, draws=8),
    "uniform_noise": partial(uniform_noise, draws=3),
    "random_search": partial(random_search, queries=20),
    "rotation": partial(rotation, angles=3),
    "rotation_translation": partial(rotation_translation, tries=4),
}
ATTACKS = CHOOSING | {"corrupt": corrupt}
SMALL = [Linf(0.05), L2(0.2), L1(0.5), L2(0.0)]
EVERY = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
EVERY_CHOOSING = pytest.mark.parametrize("attack", CHOOSING.values(), ids=CHOOSING)


def network(num_classes=5, channels=1, side=6, dtype=torch.float64):
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(channels * side * side, 30), nn.Tanh(), nn.Linear(30, num_classes)]
    model = nn.Sequential(*layers).to(dtype)
    x = torch.rand(12, channels, side, side, dtype=dtype)
    return model, x, model(x).argmax(dim=1)


@EVERY
@pytest.mark.parametrize("threat", [*SMALL, Linf(1.0)], ids=str)
@pytest.mark.parametrize(("num_classes", "count"), [(2, 12), (3, 1), (10, 12)])
def test_every_attack_stays_allowed_and_keeps_its_input(attack, threat, num_classes, count):
    model, x, y = linear_problem(num_classes, count=count)
    kept = x.clone()
    x_adv = attack(model, x, y, threat=threat)
    assert threat.allows(x_adv, x).all()
    assert (x_adv.shape, x_adv.dtype) == (x.shape, x.dtype)
    assert not x_adv.requires_grad
    torch.testing.assert_close(x, kept, rtol=0, atol=0)


@EVERY
@pytest.mark.parametrize("shape", [(3, 7, 7), (1, 5, 9), (3, 9, 4), (1, 3, 3)], ids=str)
@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5), L1(2.0)], ids=str)
def test_every_shape_of_image_works(attack, shape, threat):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), torch.rand(5, *shape)
    y = model(x).argmax(dim=1)
    assert threat.allows(attack(model, x.contiguous(memory_format=torch.channels_last), y, threat=threat), x).all()


@EVERY
@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.6), L1(3.0), Linf(1.0)], ids=str)
@pytest.mark.parametrize("stop_when_fooled", [True, False])
def test_an_image_gets_the_same_whatever_the_batch_and_the_order(attack, threat, stop_when_fooled):
    model, x, y = network()
    seeds = torch.arange(12) + 7
    settings = {"threat": threat, "stop_when_fooled": stop_when_fooled}
    whole = attack(model, x, y, seeds=seeds, **settings)
    for number in (0, 5, 11):
        one = slice(number, number + 1)
        torch.testing.assert_close(attack(model, x[one], y[one], seeds=seeds[one], **settings), whole[one])
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(attack(model, x[order], y[order], seeds=seeds[order], **settings), whole[order])


@EVERY
def test_the_seed_is_the_only_randomness(attack):
    model, x, y = network()
    attack = partial(attack, model, x, y, threat=Linf(1.0), stop_when_fooled=False)
    state = torch.get_rng_state()
    first = attack()
    torch.testing.assert_close(attack(seeds=torch.arange(12)), first, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


@EVERY
def test_images_fooled_from_the_start_come_back_as_they_were(attack):
    model, x, y = network()
    assert torch.equal(attack(model, x, (y + 1) % 5, threat=Linf(1.0)), x)


@EVERY_CHOOSING
def test_fooled_images_leave_the_batch(attack):
    model, x, y = network()
    y[::2] = (y[::2] + 1) % 5
    seen = []

    def watched(images):
        seen.append(len(images))
        return model(images)

    attack(watched, x, y, threat=Linf(0.2))
    assert seen[0] == 12
    assert seen[1] % 6 == 0
    assert seen[-1] <= seen[1]


@EVERY_CHOOSING
def test_aimed_at_a_class_the_true_label_decides_still(attack):
    model, x, y = network()
    targets = (y + 2) % 5
    fooled = is_fooled(model(attack(model, x, y, threat=Linf(1.0), targets=targets)), y)
    kept = attack(model, x, y, threat=Linf(1.0), targets=targets, stop_when_fooled=False)
    assert fooled.any()
    assert (is_fooled(model(kept), y) | ~fooled | (attack.func is spsa)).all()


@EVERY
def test_logits_that_are_not_finite_for_one_image_do_not_spoil_the_others(attack):
    model, x, y = network()
    x[3, 0, 0, 0] = 0.123456789

    def broken(images):
        logits = model(images)
        mine = (images.flatten(1) - x[3].flatten()).abs().sum(dim=1) < 3
        return torch.where(mine[:, None], torch.nan, logits)

    others = torch.arange(12) != 3
    for stop_when_fooled in (True, False):
        settings = {"threat": Linf(0.1), "stop_when_fooled": stop_when_fooled}
        x_adv = attack(broken, x, y, **settings)
        assert Linf(0.1).allows(x_adv, x).all()
        torch.testing.assert_close(x_adv[others], attack(model, x, y, **settings)[others])


@EVERY
def test_logits_in_half_precision_are_no_obstacle(attack):
    model, x, y = network(dtype=torch.float32)
    x_adv = attack(lambda images: model(images).bfloat16(), x, y, threat=Linf(0.1))
    assert Linf(0.1).allows(x_adv, x).all()


@EVERY
def test_no_gradient_is_asked_for_and_the_model_is_put_back(attack):
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(36, 5)

        def forward(self, x):
            assert not self.training
            assert not torch.is_grad_enabled()
            return self.layer(x.flatten(1))

    model = Counted().train()
    attack(model, torch.rand(4, 1, 6, 6), torch.arange(4), threat=Linf(0.1))
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@EVERY
def test_an_empty_batch_comes_back_empty(attack):
    model, x, y = network()
    assert attack(model, x[:0], y[:0], threat=Linf(0.1)).shape == (0, 1, 6, 6)


@pytest.mark.parametrize("name", ["spsa", "gaussian_noise", "uniform_noise", "random_search"])
def test_counted_pixels_stay_counted(name):
    model, x, y = network()
    assert L0(3).allows(ATTACKS[name](model, x, y, threat=L0(3), stop_when_fooled=False), x).all()


@EVERY
def test_bad_calls_are_refused_before_the_model_is_asked(attack):
    model, x, y = network()
    with pytest.raises(ValueError, match="targets must be 12 integers"):
        attack(model, x, y, threat=Linf(0.1), targets=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="pixels must lie in"):
        attack(model, 255 * x, y, threat=Linf(0.1))
