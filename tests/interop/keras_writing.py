"""Keras weight files, written by hand: the two ways of naming layers, and what may be wrong with a file."""

from collections import Counter

import numpy as np
from torch import nn

KERAS = {nn.Conv2d: "conv2d", nn.BatchNorm2d: "batch_normalization", nn.Linear: "dense"}
LAYOUTS = ("keras 2", "keras 3")


def layers_of(classifier, layout="keras 2"):
    """Every layer's arrays in Keras's shapes by layer name, as if created in the order in which ours stand."""
    counts, layers = Counter(), {}
    for module in classifier.modules():
        kind = KERAS.get(type(module))
        if kind is not None:
            number = counts[kind] + (layout == "keras 2")  # Keras 2.2 counts from 1; Keras 3 writes no 0
            layers[f"{kind}_{number}" if number else kind] = arrays_of(module)
            counts[kind] += 1
    return layers


def arrays_of(module):
    value = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    if isinstance(module, nn.Conv2d):
        return {"kernel": value["weight"].transpose(2, 3, 1, 0), "bias": value["bias"]}
    if isinstance(module, nn.Linear):
        return {"kernel": value["weight"].T, "bias": value["bias"]}
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    return {theirs: value[ours] for theirs, ours in names.items()}


def write(path, layers, layout="keras 2", *, whole=False, chunks=1):
    """The file; layers are listed backwards, for their order must not matter, with some that have no weights."""
    import h5py

    names = ["input_1", *reversed(layers), "lambda_1"]
    suffix = ":0" if layout == "keras 2" else ""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        if whole:
            file.attrs["model_config"] = b"never read"
        if chunks == 1:
            root.attrs["layer_names"] = [name.encode() for name in names]
        else:
            for number, part in enumerate(np.array_split(np.array(names, "S"), chunks)):
                root.attrs[f"layer_names{number}"] = part
        for name in names:
            group, arrays = root.create_group(name), layers.get(name, {})
            group.attrs["weight_names"] = [f"{name}/{weight}{suffix}".encode() for weight in arrays]
            for weight, array in arrays.items():
                group[f"{name}/{weight}{suffix}"] = array
    return path
