"""The other libraries, and the models on which we are compared with them."""

import copy
from typing import NamedTuple

import pytest
import torch
from linear import exact_distance, linear_problem
from torch import Tensor, nn

from max_mahalanobis import Recipe, train
from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.threats import L2, Linf
from max_mahalanobis.types import as_pixels


class Victim(NamedTuple):
    """A model, images it classifies rightly, their labels, and for each threat the budget that halves its accuracy."""

    model: nn.Module
    x: Tensor
    y: Tensor
    budgets: dict[type, float]


@pytest.fixture(scope="session")
def torchattacks():
    return pytest.importorskip("torchattacks", reason="torchattacks is not installed: make peers")


@pytest.fixture(scope="session")
def foolbox():
    return pytest.importorskip("foolbox", reason="foolbox is not installed: make peers")


@pytest.fixture(scope="session")
def linear_victim():
    model, x, y = linear_problem(10, count=500)
    duals = {Linf: 1, L2: 2}
    budgets = {threat: exact_distance(model, x, y, dual=dual).median().item() for threat, dual in duals.items()}
    return Victim(model.eval().requires_grad_(False), x, y, budgets)


@pytest.fixture(scope="session")
def mlp_victim(digits):
    return _victim(train(Recipe(head="softmax", epochs=10), digits, device="cpu"), digits, Linf_eps=0.1, L2_eps=0.5)


@pytest.fixture(scope="session")
def cnn_victim(digits):
    recipe = Recipe(head="softmax", model="small_cnn", epochs=10)
    return _victim(train(recipe, digits, device="cpu"), digits, Linf_eps=0.1, L2_eps=0.5)


@pytest.fixture(scope="session")
def mmc_victim(digits_mmc, digits):
    return _victim(digits_mmc, digits, Linf_eps=0.1, L2_eps=0.5)


@pytest.fixture
def victim(request) -> Victim:
    """The victim named by the test's parameter."""
    return request.getfixturevalue(f"{request.param}_victim")


def _victim(trained: nn.Module, digits, *, Linf_eps: float, L2_eps: float) -> Victim:
    """A frozen copy: some peers call `backward` and would leave gradients in a model that other tests share."""
    model = copy.deepcopy(trained).eval().requires_grad_(False)
    x, y = as_pixels(digits.test.images), digits.test.labels
    with torch.no_grad():
        right = ~is_fooled(model(x), y)
    return Victim(model, x[right], y[right], {Linf: Linf_eps, L2: L2_eps})
