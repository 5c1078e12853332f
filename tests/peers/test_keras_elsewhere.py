"""Keras itself is the judge: the authors' networks built in it, written by it, read by us."""

import os

import numpy as np
import pytest
import torch

from max_mahalanobis.centers import max_mahalanobis_centers
from max_mahalanobis.data.sources import Dataset
from max_mahalanobis.interop import classifier_of, read_keras, recipe_of
from max_mahalanobis.types import Split

pytestmark = pytest.mark.peers
CLASSES = 10


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="keras is not installed: make peers")
    if keras.backend.backend() != "torch":
        pytest.skip("KERAS_BACKEND is not torch")
    return keras


@pytest.fixture(scope="module")
def images():
    """Sixty-four images of noise in the place of CIFAR-10: 40 to train on, 24 apart."""
    pixels = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(pixels, torch.arange(64) % CLASSES, torch.arange(64))
    train, validation = (Split(*(part[rows] for part in split)) for rows in (slice(0, 40), slice(40, 64)))
    return Dataset("cifar10", train, validation, split, CLASSES, tuple(map(str, range(CLASSES))), {}, False)


def authors_network(keras, version, n, head, *, shape=(32, 32, 3)):
    """Layers created in the order of the authors' code; for MMC the unused layer of logits is created too."""
    layers = keras.layers

    def convolution(filters, kernel, strides):
        return layers.Conv2D(filters, kernel, strides=strides, padding="same", kernel_initializer="he_normal")

    def after(x, filters, kernel=3, strides=1, *, norm=True, active=True):  # convolution first
        x = convolution(filters, kernel, strides)(x)
        x = layers.BatchNormalization()(x) if norm else x
        return layers.Activation("relu")(x) if active else x

    def before(x, filters, kernel=3, strides=1, *, bare=False):  # activation first, the convolution created first
        created = convolution(filters, kernel, strides)
        return created(x if bare else layers.Activation("relu")(layers.BatchNormalization()(x)))

    entry = keras.Input(shape)
    x, filters = after(entry, 16), 16
    for stage in range(3):
        wide = filters if version == 1 else 4 * filters if stage == 0 else 2 * filters
        for block in range(n):
            strides = 2 if stage > 0 and block == 0 else 1
            if version == 1:
                y = after(after(x, filters, strides=strides), filters, active=False)
            else:
                y = before(x, filters, 1, strides, bare=stage == block == 0)
                y = before(before(y, filters), wide, 1)
            if block == 0 and (version == 2 or stage > 0):
                x = after(x, wide, 1, strides, norm=False, active=False)
            x = layers.add([x, y])
            x = layers.Activation("relu")(x) if version == 1 else x
        filters = 2 * filters if version == 1 else wide
    if version == 2:
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    features = layers.Dense(64 if version == 1 else 256, kernel_initializer="he_normal")(x)
    logits = layers.Dense(CLASSES, kernel_initializer="he_normal")(features)
    outputs = [features] if head == "mmc" else [features, logits, layers.Activation("softmax")(logits)]
    model = keras.Model(entry, outputs)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights(random_batchnorm(layer))
        elif layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, 0.3 * np.random.default_rng(bias.size).standard_normal(bias.shape)])
    return model


def random_batchnorm(layer):
    """Gamma about 0.8, small beta and mean, variances from 0.5 to 2: activations of any depth stay moderate."""
    random = np.random.default_rng(int(layer.name.rpartition("_")[2]) if layer.name[-1].isdigit() else 0)
    size = layer.gamma.shape[0]
    mean, beta = 0.2 * random.standard_normal((2, size))
    return [random.uniform(0.6, 1, size), beta, mean, random.uniform(0.5, 2, size)]


def write(keras, model, path, *, whole):
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    if whole:
        keras.src.legacy.saving.legacy_h5_format.save_model_to_hdf5(model, str(path), include_optimizer=False)
    else:
        with h5py.File(path, "w") as file:
            save_weights_to_hdf5_group(file, model)


@pytest.mark.parametrize("head", ["mmc", "softmax"])
@pytest.mark.parametrize("n", [1, 2, 5, 18])
@pytest.mark.parametrize("version", [1, 2])
def test_features_and_logits_are_those_of_keras(keras, images, tmp_path, version, n, head):
    if n % 2:
        keras.utils.clear_session()  # names begin at conv2d; else they go on from the last network's
    network = authors_network(keras, version, n, head)
    write(keras, network, tmp_path / "model.180.h5", whole=n == 2)
    file = read_keras(tmp_path / "model.180.h5")
    recipe = recipe_of(file, version=version, head=head)
    assert (recipe.blocks, recipe.dim) == (n, 64 if version == 1 else 256)
    ours = classifier_of(file, recipe, images)

    x = images.test.images.numpy().transpose(0, 2, 3, 1) / np.float32(255)
    with torch.no_grad():
        theirs = network(x - x.mean(axis=0), training=False)
        pixels = images.test.images.float() / 255
        features, logits = ours.features(pixels), ours(pixels)
    theirs = theirs if isinstance(theirs, list) else [theirs]
    close(features, theirs[0])
    if head == "softmax":
        close(logits, theirs[1])
        close(logits.softmax(dim=1), theirs[2])
    else:
        centers = max_mahalanobis_centers(CLASSES, recipe.dim, norm=10)
        close(logits, -(theirs[0].cpu().double()[:, None] - centers).square().sum(dim=2))


def close(found, expected):
    """Equal to 1e-4 of the largest."""
    found, expected = found.double(), expected.detach().cpu().double()
    assert expected.std() > 1e-3 * expected.abs().max()  # numbers that differ, or nothing is proved
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
