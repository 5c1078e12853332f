"""What holds for every attack there is, whatever it does."""

import random
import sys
from functools import partial

import numpy as np
import pytest
import torch
from linear import linear_problem
from torch import nn

from max_mahalanobis.attacks import ATTACKS, TRANSFORMATIONS
from max_mahalanobis.errors import UserError
from max_mahalanobis.threats import L0, L1, L2, Linf

BALLS = (Linf(0.1), L2(0.3), L1(0.8), L0(3))
ALL, EASY = BALLS, BALLS[:3]
SHORT = {"steps": 3}
SEARCH = {"steps": 3, "search_steps": 2}
FORMS = {  # the threats an attack has a form for, and settings that make it short
    "fgsm": (ALL, {}),
    "bim": (ALL, SHORT),
    "pgd": (ALL, SHORT | {"restarts": 2}),
    "mim": (ALL, SHORT),
    "apgd": (EASY, SHORT | {"restarts": 2}),
    "deepfool": (BALLS[:2], SHORT),
    "fab": (EASY, {"steps": 2, "restarts": 2}),
    "fmn": (ALL, SHORT),
    "ddn": (BALLS[1:2], SHORT),
    "cw_l2": (BALLS[1:2], SEARCH),
    "ead": (BALLS[2:3], SEARCH),
    "lbfgs": (BALLS[1:2], SEARCH),
    "jsma": (BALLS[3:], {}),
    "square": (EASY, {"queries": 6, "restarts": 2}),
    "spsa": (ALL, {"steps": 2, "samples": 4}),
    "random_search": (ALL, {"queries": 3}),
    "uniform_noise": (ALL, {"draws": 2}),
    "gaussian_noise": (ALL, {"draws": 2}),
    "rotation": ((Linf(1.0), L2(1.0)), {"angles": 3}),
    "rotation_translation": ((Linf(1.0), L1(2.0)), {"tries": 3}),
    "corrupt": ((Linf(1.0), L2(0.8)), {"kind": "impulse_noise"}),
}
EVERY_NAME = pytest.mark.parametrize("name", ATTACKS)


def forms(name: str) -> list[partial]:
    """The attack of that name under each threat it has a form for, with few steps."""
    threats, settings = FORMS[name]
    return [partial(ATTACKS[name], threat=threat, **settings) for threat in threats]


def check(attack: partial, model, x, y, **settings) -> torch.Tensor:
    """What the attack makes of the images: allowed, of their kind, and they themselves stay."""
    kept = x.clone()
    x_adv = attack(model, x, y, **settings)
    assert (x_adv.shape, x_adv.dtype, x_adv.requires_grad) == (x.shape, x.dtype, False)
    assert attack.keywords["threat"].allows(x_adv, x).all(), attack.keywords["threat"]
    assert torch.equal(x, kept)
    return x_adv


def assert_same(x_adv, other, attack: partial):
    torch.testing.assert_close(
        x_adv, other, rtol=0, atol=1e-10, msg=lambda text: f"{attack.keywords['threat']}: {text}"
    )


def test_every_attack_is_listed_here():
    assert set(FORMS) == set(ATTACKS), "give the attack its threats and a short form in FORMS"


@EVERY_NAME
def test_what_comes_back_is_allowed_and_the_input_stays_as_it_was(name):
    for count, dtype, stop in ((12, torch.float32, True), (1, torch.float64, False)):
        for attack in forms(name):
            check(attack, *linear_problem(3, count=count, dtype=dtype), stop_when_fooled=stop)


@EVERY_NAME
def test_a_budget_of_nothing_changes_nothing(name):
    for attack in forms(name):
        nothing = partial(attack, threat=type(attack.keywords["threat"])(0.0))
        model, x, y = linear_problem(3, count=3, dtype=torch.float64)
        assert_same(check(nothing, model, x, y), x, nothing)


def check_odd_images(attack, num_classes: int, channels: int):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(channels * 35, num_classes, generator=generator)
    x = torch.rand(2, channels, 5, 7, generator=generator)
    x[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    y = (x.flatten(1) @ weight).argmax(dim=1)
    check(attack, lambda images: images.flatten(1) @ weight, x, y)


@pytest.mark.parametrize(("num_classes", "channels"), [(2, 1), (10, 3)])
@EVERY_NAME
def test_any_number_of_classes_and_channels_and_images_that_are_not_square(name, num_classes, channels):
    for attack in forms(name):
        check_odd_images(attack, num_classes, channels)


@EVERY_NAME
@pytest.mark.slow
def test_a_thousand_classes_are_not_too_many(name):
    short = {key: 1 for key in ("steps", "restarts") if key in FORMS[name][1]}
    check_odd_images(partial(forms(name)[0], **short), 1000, 1)


@EVERY_NAME
def test_the_result_of_an_image_depends_neither_on_its_neighbours_nor_on_their_order(name):
    model, x, y = linear_problem(5, count=3, dtype=torch.float64)
    seeds, order = torch.arange(3) + 100, torch.tensor([2, 0, 1])
    for attack in forms(name):
        whole = attack(model, x, y, seeds=seeds)
        alone = [attack(model, x[i : i + 1], y[i : i + 1], seeds=seeds[i : i + 1]) for i in range(3)]
        assert_same(torch.cat(alone), whole, attack)
        assert_same(attack(model, x[order], y[order], seeds=seeds[order]), whole[order], attack)


@pytest.mark.parametrize("when", ["at once", "once moved"])
@EVERY_NAME
def test_one_image_whose_logits_are_not_finite_changes_nothing_for_the_others(name, when):
    value = torch.nan if when == "at once" else torch.inf
    model, x, _ = linear_problem(5, count=4, dtype=torch.float64)
    x = x - 0.2
    x[2] = 0.9

    def breaks(images):
        """Where images are bright, as the third alone is."""
        pixels = images.flatten(1)
        bad = pixels.mean(dim=1) > 0.7
        if when == "once moved":
            bad = bad & (pixels != 0.9).any(dim=1)
        return model(images + 0.2).masked_fill(bad[:, None], value)

    y, others = model(x + 0.2).argmax(dim=1), torch.tensor([0, 1, 3])
    for attack in forms(name):
        whole = check(attack, breaks, x, y, seeds=torch.arange(4))
        assert_same(attack(breaks, x[others], y[others], seeds=others), whole[others], attack)


@EVERY_NAME
def test_models_without_a_slope_with_constant_logits_or_in_half_precision_do_not_crash(name):
    model, x, _ = linear_problem(3, count=2)
    models = (
        lambda images: model(images).detach(),
        lambda images: images.new_tensor([1.0, 1.0, 0.0]).expand(len(images), 3),
        lambda images: 0 * model(images),
        lambda images: model(images).bfloat16(),
    )
    for strange in models:
        for attack in forms(name):
            check(attack, strange, x, strange(x).argmax(dim=1))


@pytest.mark.parametrize("aimed", [False, True])
@EVERY_NAME
def test_images_that_are_misclassified_as_they_are_come_back_unchanged(name, aimed):
    """Also when aimed at a third class. PGD does not look at them where it starts elsewhere, and so starts there."""
    model, x, y = linear_problem(5, count=6)
    settings = {"random_start": False, "restarts": 1} if name == "pgd" else {}
    targets = (y + 2) % 5 if aimed else None
    for attack in forms(name):
        assert_same(check(attack, model, x, (y + 1) % 5, targets=targets, **settings), x, attack)


@EVERY_NAME
def test_no_images_are_no_trouble(name):
    model, x, y = linear_problem(3)
    assert forms(name)[0](model, x[:0], y[:0]).shape == (0, 1, 4, 4)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3)
        )

    def forward(self, x):
        assert not self.training, "attacks look at the model in evaluation mode"
        return self.layers(x)


@EVERY_NAME
def test_manners_model_gradients_modes_and_random_state_stay_as_they_were(name):
    torch.manual_seed(0)
    model = Net().train()
    model.layers[0].eval()
    model.layers[0].bias.requires_grad_(False)
    model.layers[5].bias.grad = torch.ones(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    forms(name)[0](model, x, y)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_state
    assert model.training
    assert model.layers[1].training
    assert not model.layers[0].training
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True, True, True]
    *others, last = model.parameters()
    assert all(p.grad is None for p in others)
    assert torch.equal(last.grad, torch.ones(3))
    assert model.layers[1].momentum == 0.1
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_no_attack_knows_pythons_own_random_numbers():
    """Their state is no witness here: beartype, which checks signatures in these tests, draws from it."""
    rooms = [module for name, module in sys.modules.items() if name.startswith("max_mahalanobis.attacks")]
    assert len(rooms) > 20
    assert not [room.__name__ for room in rooms if random in vars(room).values()]


@EVERY_NAME
def test_a_model_that_raises_is_put_back_too(name):
    model = Net().train()
    with pytest.raises(RuntimeError):
        forms(name)[0](model, torch.rand(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64))
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


@EVERY_NAME
def test_images_that_need_gradients_give_a_result_without_graph(name):
    model, x, y = linear_problem(3, count=3)
    x.requires_grad_()
    assert not forms(name)[0](model, x, y).requires_grad
    assert x.grad is None


@EVERY_NAME
def test_what_no_attack_could_use_is_refused_in_one_line(name):
    model, x, y = linear_problem(3, count=4)
    others = (y + 1) % 3
    others[3] = y[3]
    refused = [
        ({"targets": others}, "targets must differ from the labels, image 3"),
        ({"targets": (y[:3] + 1) % 3}, "targets must be 4 integers"),
        ({"seeds": torch.zeros(4)}, "seeds must be 4 integers"),
        ({"seeds": torch.zeros(5, dtype=torch.int64)}, "seeds must be 4 integers"),
    ]
    names = [key for key in ("steps", "queries", "draws", "restarts", "search_steps") if key in FORMS[name][1]]
    refused += [({key: 0}, " 0|at least 1") for key in names]
    for settings, says in refused:
        with pytest.raises(UserError, match=says) as caught:
            forms(name)[0](model, x, y, **settings)
        assert "\n" not in str(caught.value)
    for images, labels in ((x * 2, y), (x, y[:2]), (x, y.float()), (x[0], y)):
        with pytest.raises(UserError) as caught:
            forms(name)[0](model, images, labels)
        assert "\n" not in str(caught.value)


NO_FORM = [
    pytest.param(name, threat, id=f"{name}-{threat}")
    for name, (threats, _) in FORMS.items()
    for threat in BALLS
    if type(threat) not in {type(each) for each in threats} and name not in TRANSFORMATIONS  # `allows` is all they ask
]


@pytest.mark.parametrize(("name", "threat"), NO_FORM)
def test_a_threat_without_a_form_is_refused_by_name(name, threat):
    model, x, y = linear_problem(3, count=2)
    with pytest.raises(UserError, match=threat.name) as caught:
        partial(forms(name)[0], threat=threat)(model, x, y)
    assert "\n" not in str(caught.value)
