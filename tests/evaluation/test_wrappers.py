"""Wrappers answer as the model does, put back what it moves, and hide nothing that an audit asks it for."""

import pytest
import torch
from linear import linear_problem
from torch import nn

from max_mahalanobis.evaluation import evaluate
from max_mahalanobis.evaluation.trials import planted
from max_mahalanobis.evaluation.wrappers import Cast, Still
from max_mahalanobis.threats import Linf


class Counting(nn.Module):
    """Counts its answers in a buffer: in place, or in another tensor of the same name."""

    def __init__(self, model, how):
        super().__init__()
        self.model, self.how = model, how
        if how != "registers late":
            self.register_buffer("count", torch.zeros(2))

    def forward(self, x):
        if self.how == "registers late" and not hasattr(self, "count"):
            self.register_buffer("count", torch.zeros(2))
        elif self.how == "in place":
            self.count += 1
        elif self.how == "fails":
            self.count = self.count + 1
            raise RuntimeError("out of order")
        else:
            self.count = torch.cat([self.count, self.count]) if self.how == "grows" else self.count + 1
        return self.model(x) * (1 + self.count.sum())


@pytest.mark.parametrize("how", ["in place", "rebound", "grows", "registers late", "fails"])
def test_buffers_are_put_back_wherever_the_model_keeps_them(how):
    model, x, _ = linear_problem(3, count=4)
    counting = Counting(model, how)
    assert Still.is_needed(counting, x)
    buffer, still = counting.count, Still(counting)
    for _ in range(2):
        try:
            still(x)
        except RuntimeError:
            assert how == "fails"
    assert counting.count is buffer
    assert torch.equal(buffer, torch.zeros(2))


def test_a_model_at_rest_is_left_as_it_is():
    model, x, _ = linear_problem(3, count=4)
    assert not Still.is_needed(nn.Sequential(model, nn.BatchNorm1d(3)), x)


class Featured(nn.Module):
    """A model with features of its own, which counts who asks for them."""

    def __init__(self, model):
        super().__init__()
        self.model, self.asked = model, []
        self.register_buffer("count", torch.zeros(1))

    def features(self, x):
        self.count += 1
        self.asked.append(x.dtype)
        return x.flatten(1) * self.model.layer.weight[0]

    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize("wrapped", [Still, lambda model: Cast(model, torch.float64)])
def test_features_are_found_through_a_wrapper_and_asked_as_the_model_is(wrapped):
    model, x, y = linear_problem(3, count=3)
    featured = Featured(model)
    around = wrapped(featured)
    found = planted(around, x, y, Linf(0.1))
    assert found["binarization"]["planted"] == 3
    assert featured.asked
    if isinstance(around, Still):
        assert featured.count == 0
    else:
        assert set(featured.asked) == {torch.float64}


def test_a_wrapper_of_a_model_without_features_has_none():
    assert Still(linear_problem(3)[0]).features is None


@pytest.mark.parametrize("step", [0.001, 0.3])
def test_only_what_fools_the_model_itself_counts_as_given_up(step):
    model, x, y = linear_problem(3, count=6)
    away = x - step * (model.layer.weight[y]).sign().view_as(x)
    fools = model(away).argmax(dim=1) != y
    assert fools.all() if step == 0.3 else not fools.any()

    def fast(model):
        return lambda images: model(images) if torch.equal(images, x) else -model(x)

    def looks_and_gives_up(model, x, y, *, seeds):
        model(away)
        return x

    lost = {}
    evaluate(model, (x, y), threat=Linf(0.3), suite={"mine": looks_and_gives_up}, faster=fast, lost=lost)
    assert lost == {"mine": set(fools.nonzero().flatten().tolist())}
