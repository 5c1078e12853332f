from functools import partial

import jaxtyping
import pytest
import torch
from torch import nn

from max_mahalanobis import MMCHead, SoftmaxHead
from max_mahalanobis.errors import UserError
from max_mahalanobis.models import MODELS, Classifier, build, folded
from max_mahalanobis.models.published_resnets import PreActResNet18, ResNet18, WideResNet
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.recipe.checks import MODEL_NAMES

NETWORKS = {"resnet18": ResNet18, "preact_resnet18": PreActResNet18, "wide": partial(WideResNet, depth=16, width=1)}
POOLED = {"resnet18": 512, "preact_resnet18": 512, "wide": 64}
SIZES = {
    "resnet18": 11_173_962,
    "preact_resnet18": 11_171_146,
    "wide_resnet28_10": 36_479_194,
    "wide_resnet34_10": 46_160_474,
}


def made(name: str, shape=(3, 32, 32), seed: int = 0, **settings) -> nn.Module:
    torch.manual_seed(seed)
    return NETWORKS[name](shape, **{"dim": POOLED[name]} | settings)


def test_the_recipe_knows_every_model_and_no_other():
    assert tuple(MODELS) == MODEL_NAMES


@pytest.mark.parametrize("name", SIZES)
def test_with_a_softmax_head_the_networks_have_their_published_sizes(name):
    with torch.device("meta"):
        model = build(Recipe(model=name, head="softmax", normalization="none"), (3, 32, 32), 10)
    assert model.num_parameters == SIZES[name]


@pytest.mark.parametrize("name", SIZES)
def test_a_linear_layer_adds_its_own_weights_alone(name):
    recipe = Recipe(model=name, head="softmax", dim=20, normalization="none")
    with torch.device("meta"):
        model = build(recipe, (3, 32, 32), 10)
    pooled = 640 if "wide" in name else 512
    assert model.num_parameters == SIZES[name] - 10 * (pooled + 1) + 20 * (pooled + 1) + 10 * (20 + 1)


@pytest.mark.parametrize(("depth", "convolutions"), [(28, 25), (34, 31)])
def test_a_wide_resnet_is_as_deep_as_its_name_says(depth, convolutions):
    with torch.device("meta"):
        layers = [m for m in WideResNet((3, 32, 32), depth=depth).modules() if isinstance(m, nn.Conv2d)]
    assert sum(layer.kernel_size == (3, 3) for layer in layers) == convolutions  # + 3 shortcuts: depth - 4 + stem
    assert len(layers) - convolutions == 3


@pytest.mark.parametrize("head", ["mmc", "mmlda"])
def test_heads_with_fixed_centers_get_a_linear_layer_and_others_do_not(head):
    assert isinstance(build(Recipe(model="resnet18", head=head), (1, 9, 9), 3).backbone.to_features, nn.Linear)
    for other in ("softmax", "center_loss", "hypersphere"):
        backbone = build(Recipe(model="resnet18", head=other), (1, 9, 9), 3).backbone
        assert isinstance(backbone.to_features, nn.Identity)


def test_the_default_dim_written_out_is_the_same_network():
    left, written = (build(Recipe(model="resnet18", head="softmax", dim=dim), (1, 9, 9), 3) for dim in (None, 512))
    assert left.state_dict().keys() == written.state_dict().keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_pooled_features_go_straight_to_the_head_or_through_a_linear_layer(name):
    x = torch.rand(4, 3, 32, 32)
    pooled = made(name).eval()
    layered = made(name, linear=True, dim=7).eval()
    assert pooled(x).shape == (4, POOLED[name])
    assert layered(x).shape == (4, 7)
    assert (pooled(x) >= 0).all() == (name != "preact_resnet18")  # which ends without activation
    torch.testing.assert_close(layered.to_features(layered.pool(_before_pooling(layered, x))), layered(x))


def _before_pooling(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    kept = []
    handle = network.pool.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    network(x)
    handle.remove()
    return kept[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_another_dim_without_a_linear_layer_is_refused(name):
    with pytest.raises(UserError, match=f"dim 7 needs a linear layer, .* pools {POOLED[name]} features: linear=True"):
        made(name, dim=7)


@pytest.mark.parametrize("name", NETWORKS)
def test_silu_replaces_every_relu_and_changes_no_weight(name):
    relu, silu = (made(name, activation=activation) for activation in ("relu", "silu"))
    assert not any(isinstance(module, nn.ReLU) for module in silu.modules())
    kinds = [sum(isinstance(m, kind) for m in net.modules()) for net, kind in ((relu, nn.ReLU), (silu, nn.SiLU))]
    assert kinds[0] == kinds[1] > 0
    for one, other in zip(relu.parameters(), silu.parameters(), strict=True):
        assert torch.equal(one, other)
    x = torch.rand(2, 3, 32, 32)
    assert not torch.allclose(relu.eval()(x), silu.eval()(x))


def test_the_recipes_activation_reaches_the_network_and_is_refused_where_there_is_none():
    model = build(Recipe(model="preact_resnet18", activation="silu"), (1, 9, 9), 3)
    assert any(isinstance(module, nn.SiLU) for module in model.modules())
    with pytest.raises(UserError, match="activation silu is for resnet18, .*wide_resnet34_10, not mlp: leave it at"):
        build(Recipe(model="mlp", activation="silu"), (1, 9, 9), 3)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("head", [SoftmaxHead, MMCHead])
def test_gradients_reach_every_parameter_and_the_image(name, head):
    model = Classifier(made(name, dim=6, linear=True), head(6, 4))
    x = torch.rand(4, 3, 32, 32, requires_grad=True)
    model.loss(x, torch.arange(4)).mean().backward()
    for parameter in (*model.parameters(), x):
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_a_folded_copy_has_the_logits_of_the_network(name, activation, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # torch.fx calls the model on stand-ins
    model = Classifier(made(name, activation=activation), SoftmaxHead(POOLED[name], 4))
    model(torch.rand(20, 3, 32, 32))  # BatchNorms that have seen something
    model.double().eval()
    copied = folded(model)
    assert copied.pairs
    x = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(copied(x), model(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "shape"), [("resnet18", (1, 9, 30)), ("wide", (5, 5, 64)), ("resnet18", (4, 64, 64))])
def test_other_sizes_and_channels_go_through_and_a_batch_of_one(name, shape):
    network = made(name, shape)
    assert network(torch.rand(2, *shape)).shape == (2, POOLED[name])
    assert network(torch.rand(1, *shape)).shape == (1, POOLED[name])  # BatchNorm trains on one image too


@pytest.mark.parametrize(("name", "side"), [("resnet18", 8), ("preact_resnet18", 8), ("wide", 4)])
def test_images_halved_to_one_pixel_are_refused(name, side):
    with pytest.raises(UserError, match=f"needs images of at least {side + 1} x {side + 1} pixels, got {side} x 32"):
        made(name, (3, side, 32))


def test_a_depth_between_the_wide_resnets_is_refused():
    with pytest.raises(UserError, match="depth 30 is none of a wide ResNet: choose 6n"):
        WideResNet((3, 32, 32), depth=30)


def test_batchnorm_has_pytorchs_constants_and_no_convolution_a_bias():
    for name in NETWORKS:
        modules = list(made(name).modules())
        norms = {(m.eps, m.momentum) for m in modules if isinstance(m, nn.BatchNorm2d)}
        assert norms == {(1e-5, 0.1)}
        assert all(m.bias is None for m in modules if isinstance(m, nn.Conv2d))
