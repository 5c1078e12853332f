import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from max_mahalanobis.errors import UserError
from max_mahalanobis.models import build, default_dim, load_pretrained
from max_mahalanobis.models.libraries import LIBRARIES, library_network
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.recipe.checks import LIBRARIES as KNOWN


def pooling(channels: int, last: list[nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 24, 3), nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), *last
    )


@pytest.fixture
def stand_ins(monkeypatch):
    """Modules with the doors of the two libraries that we knock at."""

    def create_model(name, *, pretrained, num_classes, in_chans):
        if name != "small":
            raise RuntimeError(f"Unknown model ({name})")
        assert not pretrained
        assert num_classes == 0
        return pooling(in_chans, [])

    def get_model(name, *, weights):
        networks = {
            "small": lambda: pooling(3, [nn.Dropout(), nn.Linear(24, 1000)]),
            "map": lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(8, 5)),
            "none": lambda: nn.Conv2d(3, 4, 1),
        }
        assert weights is None
        if name not in networks:
            raise ValueError(f"Unknown model {name}")
        return networks[name]()

    timm, torchvision, models = ModuleType("timm"), ModuleType("torchvision"), ModuleType("torchvision.models")
    timm.create_model, models.get_model, torchvision.models = create_model, get_model, models
    for module in (timm, torchvision, models):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_the_recipe_knows_both_libraries():
    assert sorted(KNOWN) == sorted(LIBRARIES)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("head", "dim", "layer"), [("softmax", None, False), ("softmax", 24, False), ("softmax", 9, True),
                               ("mmc", None, True), ("mmc", 9, True)]
)  # fmt: skip
def test_pooled_features_go_straight_to_softmax_and_through_a_linear_layer_to_centers(
    stand_ins, library, head, dim, layer
):
    model = build(Recipe(model=f"{library}:small", head=head, dim=dim), (3, 8, 8), 4)
    assert model.features(torch.rand(5, 3, 8, 8)).shape == (5, dim or 24)
    assert isinstance(model.backbone.to_features, nn.Linear) == layer
    assert model.backbone.dim == (dim or 24)
    model.loss(torch.rand(5, 3, 8, 8), torch.arange(5) % 4).mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_seed_alone_decides_the_weights_and_counting_features_leaves_no_trace(stand_ins):
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        models.append(build(Recipe(model="timm:small", initialization="torch"), (3, 8, 8), 4))
    for one, other in zip(*(model.state_dict().values() for model in models), strict=True):
        assert torch.equal(one, other)
    norm = models[0].backbone.network[1]
    assert norm.num_batches_tracked == 0
    assert norm.running_mean.abs().max() == 0
    assert models[0].backbone.network.training


def test_timm_takes_any_number_of_channels_and_torchvision_three(stand_ins):
    assert build(Recipe(model="timm:small"), (1, 8, 8), 4)(torch.rand(2, 1, 8, 8)).shape == (2, 4)
    with pytest.raises(UserError, match="torchvision:small takes color images, not 1 channels: choose a timm:NAME"):
        build(Recipe(model="torchvision:small"), (1, 8, 8), 4)


@pytest.mark.parametrize(
    ("model", "shape", "words"),
    [
        ("timm:big", (3, 8, 8), r"timm cannot make 'big' \(RuntimeError: Unknown model \(big\)\): check the name"),
        ("torchvision:big", (3, 8, 8), "torchvision cannot make 'big' .*check the name"),
        ("torchvision:none", (3, 8, 8), "Conv2d has no linear layer inside"),
        ("torchvision:map", (3, 8, 8), r"torchvision:map returns \(1, 4, 8, 8\) instead of features"),
        ("timm:small", (3, 2, 2), r"timm:small does not take images \(3, 2, 2\) \(RuntimeError: "),
    ],
)
def test_networks_that_do_not_fit_are_refused_in_one_line(stand_ins, model, shape, words):
    with pytest.raises(UserError, match=words) as caught:
        library_network(model, shape)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_not_there_is_named_with_what_installs_it(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"{library}:x needs {library} .*pip install 'max-mahalanobis\[backbones"):
        library_network(f"{library}:x", (3, 8, 8))


def test_a_library_built_for_another_torch_is_not_there(monkeypatch):
    class Broken(ModuleType):
        def __getattr__(self, name):
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", Broken("torchvision.models"))
    with pytest.raises(UserError, match="needs torchvision .*nms does not exist.*pip install"):
        library_network("torchvision:x", (3, 8, 8))


@pytest.mark.parametrize("library", LIBRARIES)
def test_weights_by_the_librarys_own_names_are_taken(stand_ins, library, tmp_path):
    source = build(Recipe(model=f"{library}:small", seed=1), (3, 8, 8), 4).backbone.network
    torch.save(source.state_dict() | {"fc.weight": torch.ones(4, 24), "fc.bias": torch.ones(4)}, tmp_path / "w.pt")
    model = build(Recipe(model=f"{library}:small", head="softmax"), (3, 8, 8), 4)
    assert load_pretrained(model, tmp_path / "w.pt") == ()
    for name, value in source.state_dict().items():
        assert torch.equal(model.backbone.network.state_dict()[name], value)
    assert (model.head.linear.weight == 1).all()


def test_only_a_network_of_ours_has_a_number_of_features_before_it_is_built():
    assert default_dim(Recipe(model="timm:resnet18")) is None
    assert default_dim(Recipe(model="resnet_v2")) == 256
    assert default_dim(Recipe(model="wide_resnet34_10")) == 640


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_real_network_of_the_library_becomes_a_classifier(library):
    try:
        LIBRARIES[library]("resnet18", 3)
    except ImportError as error:
        pytest.skip(f"{library} cannot be imported ({type(error).__name__})")
    model = build(Recipe(model=f"{library}:resnet18", dim=16), (3, 64, 64), 5).eval()
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 5)
    assert model.features(torch.rand(2, 3, 64, 64)).shape == (2, 16)
