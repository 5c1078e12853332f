"""What another library is given is a frozen copy in evaluation mode; its absence is named with the remedy."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from max_mahalanobis import Classifier, MMCHead
from max_mahalanobis.errors import UserError
from max_mahalanobis.interop import foolbox_view


def small():
    return Classifier(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 8)), MMCHead(8, 3))


@pytest.fixture
def given(monkeypatch):
    """What a stand-in for foolbox is called with."""
    calls = {}
    stand_in = SimpleNamespace(PyTorchModel=lambda model, **settings: calls.update(model=model, **settings))
    monkeypatch.setitem(sys.modules, "foolbox", stand_in)
    return calls


def test_the_view_is_frozen_in_evaluation_mode_and_the_model_is_left_alone(given):
    model = small().train()
    foolbox_view(model)
    assert (given["bounds"], given["device"]) == ((0, 1), torch.device("cpu"))
    assert "preprocessing" not in given
    assert not given["model"].training
    assert not any(p.requires_grad for p in given["model"].parameters())
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    x = torch.rand(4, 3, 2, 2)
    torch.testing.assert_close(given["model"](x), model.eval()(x), rtol=0, atol=0)


def test_a_view_for_a_library_that_is_absent_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(UserError, match="needs foolbox .*: pip install 'foolbox>=3.3.4'"):
        foolbox_view(small())


def test_a_plain_function_has_no_view(given):
    with pytest.raises(UserError, match="foolbox takes a torch module, got function"):
        foolbox_view(lambda x: x)
