"""Laws of every head; what is particular to one has its own file beside this one."""

import importlib.util
from typing import get_args

import pytest
import torch

from max_mahalanobis.errors import UserError
from max_mahalanobis.heads import HEADS, GeneralSoftmaxHead, MMCHead, heads_with, make_head, settings_of
from max_mahalanobis.recipe import HeadName, Recipe

FEATURES = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1])
METRIC = pytest.mark.skipif(
    importlib.util.find_spec("pytorch_metric_learning") is None, reason="no pytorch-metric-learning (extra metric)"
)
EVERY = [pytest.param(name, marks=METRIC if name in ("cosface", "arcface") else ()) for name in HEADS]
OTHER = {"norm": 3.0, "convention": "authors_code", "margin": 0.45, "scale": 7.0, "center_weight": 0.6,
         "center_rate": 0.9}  # fmt: skip


def made(name, *, seed=0, **settings):
    torch.manual_seed(seed)
    return make_head(name, 16, 5, seed=seed, **settings)


@pytest.fixture(params=EVERY)
def head(request):
    return made(request.param)


def test_logits_and_loss_have_one_entry_per_class_and_per_image(head):
    assert head(FEATURES).shape == (7, 5)
    assert head.loss(FEATURES, LABELS).shape == (7,)


def test_the_loss_reaches_every_parameter_and_the_features(head):
    features = FEATURES.clone().requires_grad_()
    head.loss(features, LABELS).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in head.parameters())
    assert features.grad.abs().sum() > 0


@pytest.mark.parametrize("name", EVERY)
def test_state_dict_restores_all_that_is_no_setting(name):
    settings = {key: value for key, value in OTHER.items() if key in settings_of(name) and key != "norm"}
    head, other = made(name, seed=1, **settings), made(name, seed=2, **settings)
    other.load_state_dict(head.state_dict())
    torch.testing.assert_close(other(FEATURES), head(FEATURES), rtol=0, atol=0)
    torch.testing.assert_close(other.loss(FEATURES, LABELS), head.loss(FEATURES, LABELS), rtol=0, atol=0)


def test_the_loss_of_an_image_does_not_depend_on_its_neighbors(head):
    alone = torch.cat([head.loss(FEATURES[i : i + 1], LABELS[i : i + 1]) for i in range(7)])
    torch.testing.assert_close(head.loss(FEATURES, LABELS), alone)


def test_a_step_down_the_loss_raises_the_own_logit_above_the_others(head):
    features = FEATURES.clone().requires_grad_()
    down = -torch.autograd.grad(head.loss(features, LABELS).sum(), features)[0]

    def lead(z):
        logits = head(z).double()
        own = torch.nn.functional.one_hot(LABELS, 5).bool()
        return logits[own] - logits.masked_fill(own, -torch.inf).logsumexp(dim=1)

    step = 1e-2 * down / down.norm(dim=1, keepdim=True)
    assert (lead(FEATURES + step) > lead(FEATURES)).float().mean() > 0.8


@pytest.mark.parametrize("name", EVERY)
def test_every_setting_of_a_head_changes_its_loss_or_its_rates(name):
    for setting in settings_of(name).keys() & OTHER.keys():
        plain, other = made(name), made(name, **{setting: OTHER[setting]})
        same = torch.equal(plain.loss(FEATURES, LABELS), other.loss(FEATURES, LABELS))
        assert not same or plain.own_rates != other.own_rates, setting


@pytest.mark.parametrize("name", [name for name in HEADS if name not in ("cosface", "arcface")])
def test_the_features_gradient_is_that_of_finite_differences(name):
    head = made(name).double()
    features = FEATURES.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: head.loss(z, LABELS), features)
    assert torch.autograd.gradcheck(head, features)


@pytest.mark.parametrize("name", ["mmc", "mmlda"])
def test_random_centers_have_the_norm_and_follow_the_seed_alone(name):
    first, again, other = (made(name, seed=seed, centers="random", norm=3.0).centers for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
    torch.testing.assert_close(first.norm(dim=1), torch.full((5,), 3.0))


def test_names_and_settings_of_heads_are_those_of_recipes():
    assert tuple(HEADS) == get_args(HeadName)
    fields = Recipe.__dataclass_fields__
    for name in HEADS:
        assert settings_of(name).keys() <= fields.keys()
    assert heads_with("center_rate") == ["center_loss"]


def test_a_setting_that_a_head_does_not_have_is_refused_with_the_heads_that_have_it():
    with pytest.raises(UserError, match="^scale 3 is no setting of head mmc: .* hypersphere or cosface or arcface$"):
        make_head("mmc", 16, 5, scale=3)


@pytest.mark.skipif(importlib.util.find_spec("pytorch_metric_learning") is not None, reason="it is installed")
@pytest.mark.parametrize("name", ["cosface", "arcface"])
def test_without_the_extra_the_remedy_is_named(name):
    with pytest.raises(UserError, match=r"pip install 'max-mahalanobis\[metric\]'"):
        make_head(name, 16, 5)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [("center_loss", "center_weight", -1.0), ("center_loss", "center_rate", 1.5),
     ("large_margin_gaussian", "margin", -0.1), ("large_margin_gaussian", "center_weight", float("inf")),
     ("hypersphere", "margin", 2.0), ("hypersphere", "scale", 0.0), ("mmc", "centers", "corners"),
     ("mmlda", "convention", "half"), ("mmlda", "norm", -1.0)],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_with_its_name_and_value(name, setting, value):
    with pytest.raises(UserError, match=setting) as refusal:
        make_head(name, 16, 5, **{setting: value})
    assert str(value) in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda c: c[:3], r"centers must be \(5, 16\), got \(3, 16\)"),
     (lambda c: c.index_fill(0, torch.tensor([1]), torch.nan), "finite"),
     (lambda c: c[[0, 0, 2, 3, 4]], "two classes share one")],
)  # fmt: skip
def test_centers_that_cannot_serve_are_refused(change, said):
    with pytest.raises(UserError, match=said):
        MMCHead(16, 5, centers=change(torch.randn(5, 16)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"precisions": -1.0}, "that of class 0 has -1"),
     ({"precisions": torch.tensor([1.0, 0.0])}, "that of class 1 has 0"),
     ({"precisions": torch.tensor([[1.0, 1, 1], [1, 1, -2]])}, "that of class 1 has -2"),
     ({"precisions": torch.stack([torch.eye(3), -torch.eye(3)])}, "that of class 1 has -1"),
     ({"precisions": torch.ones(2, 3, 3).triu()}, "symmetric"),
     ({"precisions": torch.ones(3)}, r"of shape \(2,\), \(2, 3\), \(2, 3, 3\), got \(3,\)"),
     ({"precisions": float("nan")}, "positive"),
     ({"biases": torch.zeros(3)}, r"biases must be \(2,\), got \(3,\)"),
     ({"biases": torch.tensor([0.0, torch.inf])}, "finite")],
)  # fmt: skip
def test_precisions_and_biases_that_cannot_be_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        GeneralSoftmaxHead(torch.randn(2, 3), **settings)


@pytest.mark.parametrize("name", ["mmlda", "large_margin_gaussian", "mmc", "squared"])
def test_a_divergence_under_autocast_is_that_of_the_features_in_full(name):
    torch.manual_seed(0)
    head = make_head(name, 8, 4)
    z = (torch.randn(40, 8) * 3).bfloat16()
    moved = z + (0.1 * torch.randn(40, 8)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = head.divergence(z, moved)
    full = head.divergence(z.float(), moved.float())
    assert torch.corrcoef(torch.stack([found.float(), full]))[0, 1] > (0.9 if name == "squared" else 0.999)
