import pytest
import torch
from torch import nn

from max_mahalanobis import Classifier, MMCHead, SoftmaxHead
from max_mahalanobis.errors import UserError
from max_mahalanobis.models import with_head


def network():
    """Pooling after a ReLU, then a softmax layer, as most networks end."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 24, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Sequential(nn.Linear(24, 7))
    )


X = torch.rand(20, 3, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("head", [MMCHead, SoftmaxHead])
@pytest.mark.parametrize("dim", [None, 9, 40])
def test_the_last_layer_makes_features_and_everything_learns(head, dim):
    model = with_head(network(), head, 5, dim=dim)
    assert model.features(X).shape == (20, dim or 24)
    assert model(X).shape == (20, 5)
    model.loss(X, torch.arange(20) % 5).mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_stood_before_the_last_layer_is_kept_as_it_was():
    old = network()
    body = old[:4](X)
    model = with_head(old, MMCHead, 5)
    torch.testing.assert_close(model.backbone[:4](X), body, rtol=0, atol=0)
    torch.testing.assert_close(model.features(X), model.backbone[4][0](body))


def test_without_the_linear_layer_pooled_relu_features_cannot_come_near_the_centers():
    model = with_head(network(), MMCHead, 5, linear=False)
    features, centers = model.features(X), model.head.centers
    assert (features >= 0).all()
    floor = 0.5 * centers.clamp(max=0).square().sum(dim=1)
    for label in range(5):
        assert (model.head.loss(features, torch.full((20,), label)) >= floor[label]).all()
    assert floor.max() > 10  # of 50, the loss at the origin


def test_settings_reach_the_head_and_pixels_are_normalized_inside():
    model = with_head(network(), MMCHead, 5, norm=3.0, convention="authors_code", normalize=nn.Hardtanh(0, 0.5))
    assert model.head.centers.norm(dim=1).tolist() == pytest.approx([3.0] * 5)
    assert model.head.convention == "authors_code"
    torch.testing.assert_close(model(X), model.head(model.backbone(X.clamp(max=0.5))))


def test_the_layer_to_replace_may_be_named():
    body = nn.Sequential(nn.Flatten(), nn.Linear(243, 12), nn.Tanh(), nn.Linear(12, 3), nn.Linear(3, 3))
    model = with_head(body, MMCHead, 4, last="3", dim=3)
    assert [type(part) for part in model.backbone] == [nn.Flatten, nn.Linear, nn.Tanh, nn.Linear, nn.Linear]
    assert model.backbone[3].out_features == 3


def test_the_new_layer_has_the_type_of_the_old():
    model = with_head(network().double(), MMCHead, 5)
    assert model(X.double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("body", "settings", "words"),
    [
        (nn.Flatten(), {}, "Flatten has no linear layer inside: name the nn.Linear to replace"),
        (nn.Linear(4, 4), {}, "Linear has no linear layer inside"),
        (network(), {"last": "0"}, "Sequential has Conv2d at '0'"),
        (network(), {"last": "fc"}, "Sequential has no linear layer inside"),
        (network(), {"linear": False, "dim": 8}, "dim 8 needs a linear layer, the features before 4.0 are 24"),
        (network(), {"dim": 1}, "5 classes"),
    ],
)
def test_what_cannot_be_replaced_is_refused_and_left_alone(body, settings, words):
    before = repr(body)
    with pytest.raises(UserError, match=words):
        with_head(body, MMCHead, 5, **settings)
    assert repr(body) == before


def test_a_network_that_returns_features_needs_no_replacing():
    body = nn.Sequential(nn.Flatten(), nn.Linear(243, 16))
    assert Classifier(body, MMCHead(16, 5))(X).shape == (20, 5)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_networks_of_other_libraries_take_a_head(library):
    try:
        body = OTHERS[library]()
    except Exception as error:  # beside another build of torch their import fails in its own ways
        pytest.skip(f"{library} cannot be imported ({type(error).__name__})")
    model = with_head(body, MMCHead, 5, dim=16).eval()
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 5)
    assert model.features(torch.rand(2, 3, 64, 64)).shape == (2, 16)


def torchvision_network():
    from torchvision.models import resnet18

    return resnet18(weights=None)


def timm_network():
    from timm import create_model

    return create_model("resnet18", pretrained=False)


OTHERS = {"torchvision": torchvision_network, "timm": timm_network}
