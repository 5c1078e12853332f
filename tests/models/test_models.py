import pytest
import torch
from torch import nn

from max_mahalanobis.errors import UserError
from max_mahalanobis.models import MODELS, build, he_normal_, mean_image
from max_mahalanobis.models.paper_resnets import ResNetV1
from max_mahalanobis.recipe import Recipe

SHAPES = {
    "mlp": (1, 8, 8),
    "small_cnn": (3, 13, 9),
    "resnet_v1": (3, 12, 12),
    "resnet_v2": (1, 9, 12),
    "resnet18": (3, 9, 12),
    "preact_resnet18": (1, 13, 9),
    "wide_resnet28_10": (3, 12, 7),
    "wide_resnet34_10": (1, 5, 9),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("head", ["softmax", "mmc"])
@pytest.mark.usefixtures("narrow")
def test_every_model_takes_gray_or_color_of_odd_sizes_and_a_batch_of_one(name, head):
    model = build(Recipe(model=name, head=head, blocks=1, dim=12), SHAPES[name], 3).eval()
    x = torch.rand(1, *SHAPES[name])
    assert model.features(x).shape == (1, 12)
    assert model(x).shape == (1, 3)
    assert model.loss(x, torch.tensor([2])).shape == (1,)


def test_the_papers_network_has_47_layers_and_its_published_size():
    model = build(Recipe(model="resnet_v2", head="mmc", blocks=5), (3, 32, 32), 10)
    assert model.num_parameters == 1_453_376
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    shortcuts = 3
    assert len(weighted) - shortcuts == 47
    assert model.backbone.dim == 256
    softmax = build(Recipe(model="resnet_v2", head="softmax", blocks=5), (3, 32, 32), 10)
    assert softmax.num_parameters == 1_453_376 + 2_570


def test_the_basic_block_network_is_6n_plus_2_deep():
    model = build(Recipe(model="resnet_v1", head="mmc", blocks=5), (3, 32, 32), 10)
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    shortcuts = 2
    assert len(weighted) - shortcuts == 6 * 5 + 2
    assert model.backbone.dim == 64


@pytest.mark.parametrize("name", ["resnet_v1", "resnet_v2"])
def test_batchnorm_has_keras_constants_and_every_convolution_a_bias(name):
    model = build(Recipe(model=name, blocks=1), (3, 8, 8), 10)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    assert all(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(("padding", "side", "first"), [("keras", 8, 0), ("torch", 8, -1), ("keras", 9, -1)])
def test_kerass_padding_puts_the_kernel_one_pixel_further_on_even_sides(padding, side, first):
    entry = ResNetV1((1, side, side), blocks=1, padding=padding).layers[4].branch[: 2 if padding == "keras" else 1]
    nn.init.zeros_(entry[-1].weight).data[:, 0, 0, 0] = 1  # a kernel that takes the pixel at its upper left corner
    nn.init.zeros_(entry[-1].bias)
    x = torch.arange(1.0, side**2 + 1).view(1, 1, side, side).repeat(1, 16, 1, 1)
    x[:, 1:] = 0
    expected = [[x[0, 0, i, j].item() if min(i, j) >= 0 else 0 for j in range(first, side + first, 2)]
                for i in range(first, side + first, 2)]  # fmt: skip
    assert entry(x)[0, 0].tolist() == expected


def test_kerass_padding_changes_no_weight_and_no_shape_but_the_features():
    models = [build(Recipe(model="resnet_v1", blocks=1, padding=p), (3, 12, 9), 10).eval() for p in ("torch", "keras")]
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    one, other = (model.features(torch.ones(2, 3, 12, 9)) for model in models)
    assert one.shape == other.shape
    assert (one - other).abs().max() > 0.01 * one.abs().max()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("narrow")
def test_features_are_linear_so_they_can_be_negative(name):
    features = build(Recipe(model=name, blocks=1), (1, 12, 12), 10).eval().features(torch.rand(20, 1, 12, 12))
    assert (features < 0).any()
    assert (features > 0).any()


def test_he_normal_has_variance_two_over_fan_in_and_no_tails():
    layer = nn.Linear(400, 2000)
    torch.manual_seed(0)
    he_normal_(layer)
    assert layer.weight.var().item() == pytest.approx(2 / 400, rel=0.02)
    assert layer.weight.abs().max() <= 2 * (2 / 400) ** 0.5 / 0.8796
    assert layer.bias.abs().max() == 0


def test_pixels_are_normalized_inside_and_the_mean_is_saved():
    mean = torch.rand(1, 8, 8)
    model = build(Recipe(), (1, 8, 8), 10, mean=mean)
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(model.features(x), model.backbone(x - mean))
    torch.testing.assert_close(model.state_dict()["normalize.mean"], mean)
    bare = build(Recipe(normalization="none"), (1, 8, 8), 10)
    torch.testing.assert_close(bare.features(x), bare.backbone(x))


def test_the_mean_image_of_bytes_lies_in_the_unit_range():
    images = torch.tensor([[[[0, 255]]], [[[255, 255]]]], dtype=torch.uint8)
    torch.testing.assert_close(mean_image(images, chunk=1), torch.tensor([[[0.5, 1.0]]]))
    torch.testing.assert_close(mean_image(images / 255), torch.tensor([[[0.5, 1.0]]]))


def test_the_seed_alone_decides_the_weights():
    torch.manual_seed(1)
    first = build(Recipe(seed=3), (1, 8, 8), 10).backbone.layers[1].weight
    torch.manual_seed(2)
    torch.testing.assert_close(build(Recipe(seed=3), (1, 8, 8), 10).backbone.layers[1].weight, first, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["small_cnn", "resnet_v1", "resnet_v2", "resnet18", "wide_resnet34_10"])
def test_images_too_small_for_a_network_are_refused(name):
    with pytest.raises(UserError, match="needs images of at least . x . pixels, got 3 x 9: use mlp"):
        build(Recipe(model=name), (1, 3, 9), 3)
