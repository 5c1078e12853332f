import pickle

import pytest
import torch
from safetensors.torch import save_file

from max_mahalanobis.errors import UserError
from max_mahalanobis.models import build, load_pretrained
from max_mahalanobis.recipe import Recipe

SHAPE = (3, 12, 12)


def made(model: str = "wide_resnet28_10", classes: int = 4, **choices):
    return build(Recipe(model=model, **choices), SHAPE, classes)


def weights_of(module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def in_published_names(body: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A wide ResNet's weights as TRADES's code names them."""
    renamed = {}
    for name, value in body.items():
        parts = name.replace("shortcut.0", "convShortcut").split(".")
        renamed[".".join([parts[0], "layer", *parts[1:]] if parts[0].startswith("block") else parts)] = value
    return renamed


@pytest.fixture(autouse=True)
def _narrow(narrow):
    pass


def test_a_run_with_the_same_head_gives_backbone_and_head_and_keeps_the_new_mean(tmp_path):
    source = build(Recipe(model="resnet_v1", blocks=1, head="softmax", seed=1), SHAPE, 4, mean=torch.rand(SHAPE))
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    model = made("resnet_v1", blocks=1, head="softmax")
    assert load_pretrained(model, tmp_path / "weights.safetensors") == ()
    assert_same(weights_of(model.backbone), weights_of(source.backbone))
    assert_same(weights_of(model.head), weights_of(source.head))
    assert model.normalize.mean.abs().max() == 0


def test_a_head_of_other_shapes_or_another_kind_stays_fresh(tmp_path):
    source = made(head="softmax", seed=1)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    for model in (made(head="softmax", classes=7), made(head="large_margin_gaussian")):
        before = weights_of(model.head)
        assert load_pretrained(model, tmp_path / "w.safetensors") == ("head",)
        assert_same(weights_of(model.head), before)
        assert_same(weights_of(model.backbone), weights_of(source.backbone))


def test_centers_set_beforehand_stay_the_recipes(tmp_path):
    source, model = made(head="mmc", norm=10.0, seed=1), made(head="mmc", norm=30.0)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    assert load_pretrained(model, tmp_path / "w.safetensors") == ()
    assert model.head.centers.norm(dim=1).tolist() == pytest.approx([30.0] * 4)
    assert_same(weights_of(model.backbone), weights_of(source.backbone))


def test_a_linear_layer_that_the_file_lacks_stays_fresh(tmp_path):
    source, model = made(head="softmax", seed=1), made(head="mmc")
    layer = weights_of(model.backbone.to_features)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    assert load_pretrained(model, tmp_path / "w.safetensors") == ("to_features",)
    assert_same(weights_of(model.backbone.to_features), layer)
    assert torch.equal(model.backbone.conv1.weight, source.backbone.conv1.weight)


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_a_state_dict_is_found_under_usual_keys_and_prefixes(tmp_path, key, prefix):
    source, model = made(head="softmax", seed=1), made(head="softmax")
    tensors = {prefix + name: value for name, value in source.backbone.state_dict().items()}
    torch.save({key: tensors, "epoch": 3} if key else tensors, tmp_path / "w.pt")
    assert load_pretrained(model, tmp_path / "w.pt") == ("head",)
    assert_same(weights_of(model.backbone), weights_of(source.backbone))


def test_published_names_of_a_wide_resnet_are_known_with_its_last_layer(tmp_path):
    source, model = made(head="softmax", seed=1), made(head="softmax")
    tensors = in_published_names(weights_of(source.backbone))
    assert "block2.layer.0.convShortcut.weight" in tensors
    tensors |= {f"fc.{name}": value for name, value in source.head.linear.state_dict().items()}
    tensors |= {"sub_block1.layer.0.bn1.weight": torch.ones(16)}
    torch.save({f"module.{name}": value for name, value in tensors.items()}, tmp_path / "w.pt")
    assert load_pretrained(model, tmp_path / "w.pt") == ()
    assert_same(weights_of(model.backbone), weights_of(source.backbone))
    assert_same(weights_of(model.head), weights_of(source.head))


def test_a_last_layer_of_other_classes_is_left_out(tmp_path):
    source, model = made("resnet18", head="softmax", seed=1), made("resnet18", head="softmax")
    tensors = weights_of(source.backbone) | {"linear.weight": torch.ones(9, 512), "linear.bias": torch.ones(9)}
    torch.save(tensors, tmp_path / "w.pth")
    assert load_pretrained(model, tmp_path / "w.pth") == ("head",)
    assert_same(weights_of(model.backbone), weights_of(source.backbone))


def test_weights_are_cast_and_batches_need_not_have_been_counted(tmp_path):
    source, model = made(head="softmax", seed=1), made(head="softmax")
    tensors = {n: v.double() for n, v in source.backbone.state_dict().items() if not n.endswith("num_batches_tracked")}
    torch.save(tensors, tmp_path / "w.pt")
    load_pretrained(model, tmp_path / "w.pt")
    assert model.backbone.conv1.weight.dtype == torch.float32
    assert_same(weights_of(model.backbone), weights_of(source.backbone))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone.conv1.weight": None}, "does not fit the backbone: missing conv1.weight: choose"),
        ({"backbone.more": torch.ones(1)}, "does not fit the backbone: unexpected more: choose"),
        ({"stranger": torch.ones(1)}, "unexpected stranger: choose"),
        ({"backbone.bn1.bias": torch.ones(3)}, r"of another shape bn1.bias \(3,\) for \(128,\): choose"),
        ({"backbone.conv1.weight": None, "backbone.x": torch.ones(1)}, "missing conv1.weight; unexpected x: choose"),
        (None, r"missing conv1.weight, .* and \d+ more; unexpected a: choose the model it is"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line_and_changes_nothing(tmp_path, changes, words):
    model = made(head="softmax", seed=3)
    tensors = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
    tensors = {"backbone.a": torch.ones(1)} if changes is None else tensors | changes
    torch.save({name: value for name, value in tensors.items() if value is not None}, tmp_path / "w.pt")
    before = weights_of(model)
    with pytest.raises(UserError, match=words) as caught:
        load_pretrained(model, tmp_path / "w.pt")
    assert "\n" not in str(caught.value)
    assert_same(weights_of(model), before)


def test_a_linear_layer_of_another_dim_is_refused(tmp_path):
    save_file(made(head="mmc", dim=9).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"of another shape to_features.weight \(9, 128\) for \(12, 128\), to_f"):
        load_pretrained(made(head="mmc", dim=12), tmp_path / "w.safetensors")


class Payload:
    """What a pickle runs when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("write", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing, protocol=2))])
def test_nothing_in_a_file_is_executed(tmp_path, write):
    write({"state_dict": Payload(str(tmp_path / "ran"))}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="w.pt holds no weights") as caught:
        load_pretrained(made(), tmp_path / "w.pt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("w.pt", None, "w.pt does not exist: check the path"),
        ("w.safetensors", None, "w.safetensors does not exist: check the path"),
        ("w.safetensors", b"nonsense", r"holds no weights \(SafetensorError: .*\): give a .safetensors file"),
        ("w.pt", b"nonsense", r"holds no weights \(.*\): give a .safetensors file"),
    ],
)
def test_files_that_hold_no_weights_are_refused(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        load_pretrained(made(), tmp_path / name)


def test_a_list_of_tensors_is_no_state_dict(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "w.pt")
    with pytest.raises(UserError, match="is no state dict"):
        load_pretrained(made(), tmp_path / "w.pt")
