"""Weights of the authors' layouts come back as the same classifier, and what is not theirs is named."""

import numpy as np
import pytest
import torch
from interop.keras_writing import LAYOUTS, layers_of, write

from max_mahalanobis.data.sources import Dataset
from max_mahalanobis.errors import UserError
from max_mahalanobis.interop import classifier_of, read_keras, recipe_of
from max_mahalanobis.models import build, mean_image
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.types import Split

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install -e '.[interop]'")


def images(shape=(3, 8, 8)):
    pixels = torch.randint(256, (30, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = Split(pixels, torch.arange(30) % 10, torch.arange(30))
    train, validation = (Split(*(part[rows] for part in whole)) for rows in (slice(0, 20), slice(20, 30)))
    return Dataset("mine", train, validation, whole, 10, tuple("0123456789"), {}, False)


@pytest.fixture(scope="module")
def data():
    return images()


def network(data, version=2, head="mmc", n=1, dim=12, shape=None):
    """A classifier as the authors would have trained it, every number random."""
    recipe = Recipe(model=f"resnet_v{version}", blocks=n, dim=dim, head=head, padding="keras")
    mean = mean_image(torch.cat([data.train.images, data.validation.images]))
    model = build(recipe, shape or data.image_shape, 10, mean=mean if shape is None else mean.expand(shape).clone())
    generator = torch.Generator().manual_seed(version)
    for name, value in model.state_dict().items():
        if name not in ("normalize.mean", "head.centers") and value.is_floating_point():
            value.copy_(0.1 + 0.3 * torch.rand(value.shape, generator=generator))
    return model.eval()


def imported(path, data, **settings):
    file = read_keras(path)
    return classifier_of(file, recipe_of(file, **settings), data)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("head", ["mmc", "softmax"])
@pytest.mark.parametrize(("version", "n"), [(1, 2), (2, 1)])
def test_every_number_comes_back_in_its_place(tmp_path, data, layout, head, version, n):
    model = network(data, version, head, n)
    path = write(tmp_path / "x.h5", layers_of(model, layout), layout, whole=head == "mmc", chunks=n)
    found = imported(path, data, version=version, head=head)
    expected = model.state_dict()
    assert found.state_dict().keys() == expected.keys()
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    assert not found.training


def test_layers_are_in_the_order_of_their_numbers_not_of_letters(tmp_path, data):
    """With one block a stage the third convolution and the fourth, of the shortcut, have one shape."""
    layers = layers_of(network(data))
    for name, arrays in layers.items():
        if "kernel" in arrays:
            arrays["kernel"] = np.full_like(arrays["kernel"], float(name.rpartition("_")[2]))
    found = imported(write(tmp_path / "x.h5", layers), data).backbone
    entry, *blocks = found.layers[0], *found.layers[3:6]
    numbers = [int(layer.weight[0, 0, 0, 0]) for layer in (entry, blocks[0].branch[0], blocks[0].branch[-1],
               blocks[0].shortcut, blocks[1].branch[2], blocks[2].branch[-1], blocks[2].shortcut)]  # fmt: skip
    assert numbers == [1, 2, 4, 5, 6, 12, 13]


def test_kernels_turn_from_height_width_in_out(tmp_path, data):
    layers = layers_of(network(data))
    kernel = np.arange(3 * 3 * 3 * 16, dtype=np.float64).reshape(3, 3, 3, 16)
    layers["conv2d_1"]["kernel"] = kernel
    found = imported(write(tmp_path / "x.h5", layers), data).backbone.layers[0].weight
    assert found[7, 2, 0, 1] == kernel[0, 1, 2, 7]


def test_the_mean_is_that_of_all_training_images(tmp_path, data):
    found = imported(write(tmp_path / "x.h5", layers_of(network(data))), data)
    torch.testing.assert_close(found.normalize.mean, (data.test.images / 255).mean(dim=0))  # here: the same thirty


def test_gray_images_repeated_into_three_channels_give_the_same_logits(tmp_path):
    gray = images((1, 8, 8))
    model = network(gray, shape=(3, 8, 8))
    found = imported(write(tmp_path / "x.h5", layers_of(model)), gray)
    x = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(found(x), model(x.expand(5, 3, 8, 8)))


def test_the_recipe_says_what_the_network_is(tmp_path, data):
    file = read_keras(write(tmp_path / "x.h5", layers_of(network(data, n=2))))
    recipe = recipe_of(file, data="mnist", norm=3.0, adversary="targeted")
    names = ("data", "model", "blocks", "dim", "head", "norm", "padding", "normalization", "epochs", "eps")
    assert [getattr(recipe, name) for name in names] == [
        "mnist", "resnet_v2", 2, 12, "mmc", 3.0, "keras", "pixel_mean", 50, 8 / 256
    ]  # fmt: skip
    assert recipe.adversary_targeted
    assert recipe_of(file).adversary == "none"


WRONG = (
    ("a layer missing", lambda layers: layers.pop("conv2d_4"), {"blocks": 1},
     "has 12 conv2d layers, resnet_v2 with n = 1 and head mmc has 13 (conv2d_4 missing): check --version"),
    ("the last layer missing", lambda layers: layers.pop("batch_normalization_10"), {},
     "has 9 batch_normalization layers, resnet_v2 with n = 1 and head mmc has 10 (the first or the last missing)"),
    ("a layer missing, depth unknown", lambda layers: layers.pop("conv2d_4"), {},
     "has 12 convolutions, resnet_v2 has 9 n + 4: give --depth-n to hear which layer is missing"),
    ("the other version", lambda layers: layers.pop("conv2d_13") and layers.update(
        {f"conv2d_{k}": layers["conv2d_1"] for k in (13, 14, 15)}), {},
     "has 15 convolutions, resnet_v2 has 9 n + 4: try --version 1"),
    ("a layer extra", lambda layers: layers.update(conv2d_14=layers["conv2d_1"]), {"blocks": 1},
     "has 14 conv2d layers, resnet_v2 with n = 1 and head mmc has 13 (conv2d_14 beyond them): check --version"),
    ("another depth", lambda layers: None, {"blocks": 2},
     "has 13 conv2d layers, resnet_v2 with n = 2 and head mmc has 22 (the first or the last missing)"),
    ("an SCE file", lambda layers: layers.update(dense_2=layers["dense_1"]), {},
     "has 2 dense layers, resnet_v2 with n = 1 and head mmc has 1 (dense_2 beyond them): check --head"),
    ("an MMC file", lambda layers: None, {"head": "softmax"},
     "has 1 dense layers, resnet_v2 with n = 1 and head softmax has 2 (the first or the last missing): check --head"),
    ("no features", lambda layers: layers.pop("dense_1"), {}, "has no dense layer: the features of"),
    ("a strange layer", lambda layers: layers.update(p_re_lu_3={"alpha": np.ones(3)}), {},
     "has layers that the authors' networks lack: p_re_lu_3"),
    ("no bias", lambda layers: layers["conv2d_2"].pop("bias"), {},
     "conv2d_2 has kernel where the authors' has kernel, bias"),
    ("another shape", lambda layers: layers.update(conv2d_3=layers["conv2d_2"]), {},
     "conv2d_3/kernel has shape (1, 1, 16, 16), resnet_v2 with n = 1 for cifar10 needs (3, 3, 16, 16): check"),
    ("a negative variance", lambda layers: layers["batch_normalization_2"]["moving_variance"].fill(-1), {},
     "batch_normalization_2/moving_variance holds -1: a variance cannot be negative"),
    ("not finite", lambda layers: layers["dense_1"]["bias"].fill(np.nan), {},
     "dense_1/bias:0 holds NaN or infinity: its training diverged"),
    ("integers", lambda layers: layers["dense_1"].update(bias=np.arange(12)), {},
     "dense_1/bias:0 is int64 of shape (12,): not a weight of these networks"),
    ("a dim too small for the classes", lambda layers: layers["dense_1"].update(
        kernel=np.ones((256, 1), np.float32), bias=np.ones(1, np.float32)), {}, "10 classes"),
)  # fmt: skip


@pytest.mark.parametrize(("change", "settings", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_not_theirs_is_named(tmp_path, data, change, settings, words):
    layers = {
        name: {key: np.array(a) for key, a in arrays.items()} for name, arrays in layers_of(network(data)).items()
    }
    change(layers)
    with pytest.raises(UserError) as caught:
        imported(write(tmp_path / "x.h5", layers), data, **settings)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.2, 0.9])
def test_a_file_cut_short_is_no_whole_file(tmp_path, data, share):
    path = write(tmp_path / "x.h5", layers_of(network(data)))
    contents = path.read_bytes()
    path.write_bytes(contents[: int(share * len(contents))])
    with pytest.raises(UserError, match=r"x.h5 is no whole HDF5 file of Keras \(.*\): fetch it again"):
        read_keras(path)


def test_files_of_other_layouts_are_refused(tmp_path):
    with h5py.File(tmp_path / "new.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.ones(3)
    with pytest.raises(UserError, match=r"has no layer_names: it needs the layout of Keras 2's save_weights"):
        read_keras(tmp_path / "new.h5")
    with pytest.raises(UserError, match="there is no file .*: give the .h5"):
        read_keras(tmp_path / "absent.h5")


def test_a_layer_whose_array_is_not_there_is_named(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv2d_1"]
        file.create_group("conv2d_1").attrs["weight_names"] = [b"conv2d_1/kernel:0"]
    with pytest.raises(UserError, match="names conv2d_1/kernel:0 and does not hold it: fetch it again"):
        read_keras(tmp_path / "x.h5")


def test_an_enormous_array_is_refused_before_it_is_read(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv2d_1"]
        file.create_group("conv2d_1").attrs["weight_names"] = [b"kernel:0"]
        file["conv2d_1"].create_dataset("kernel:0", (10**6, 10**6), "f4")  # takes no room on disk
    with pytest.raises(UserError, match="not a weight of these networks"):
        read_keras(tmp_path / "x.h5")
