"""What a report draws: features before and after an attack, a few images and the loss around some, as plain arrays."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..attacks import margin, pgd, undisturbed
from ..draws import derive
from ..models import Classifier
from ..threats import ThreatModel
from ..types import Split, as_pixels
from .surfaces import has_plane, steps_along, surfaces_around

SURFACES = 2  # images around which the loss is drawn


def collect_pictures(
    model: Classifier,
    split: Split,
    *,
    threat: ThreatModel,
    seed: int = 0,
    num_features: int = 300,
    num_images: int = 8,
    batch_size: int = 256,
) -> dict[str, np.ndarray]:
    """Arrays for `reports`: clean and attacked features with the centers, and example images with predictions.

    Around the first two images shown that the attack moved, the loss on a plane (`surfaces_around`): `surface_of`
    names them by their place among the images. The attack is 20-step PGD on the margin. Centers are the head's own
    (preset or learned) or, where a head has none, the means of the clean features of each class.
    """
    part = split.first(num_features)
    device = next(model.parameters()).device
    x, y, seeds = as_pixels(part.images).to(device), part.labels.to(device), derive(seed, part.index).to(device)
    attack, batches = partial(pgd, threat=threat, objective=margin, steps=20), torch.arange(len(y)).split(batch_size)
    x_adv = torch.cat([attack(model, x[rows], y[rows], seeds=seeds[rows]) for rows in batches])
    with undisturbed(model), torch.no_grad():
        features, features_adv = (torch.cat([model.features(z[rows]) for rows in batches]) for z in (x, x_adv))
        predictions, predictions_adv = model.head(features).argmax(1), model.head(features_adv).argmax(1)
    centers, centers_are = _centers(model, features, y)
    shown = _examples(predictions == y, predictions_adv != y, num_images)
    tensors = {
        "features": features,
        "features_adv": features_adv,
        "centers": centers,
        "labels": y,
        "images": x[shown].float(),
        "images_adv": x_adv[shown].float(),
        "image_labels": y[shown],
        "image_predictions": predictions[shown],
        "image_adv_predictions": predictions_adv[shown],
    }
    moved = shown[has_plane(x[shown], x_adv[shown], threat)][:SURFACES]
    if len(moved):
        around = partial(surfaces_around, model, threat=threat, seeds=seeds[moved], batch_size=batch_size)
        planes = around(x[moved], x_adv[moved], y[moved]) | {"steps": steps_along()}
        planes["of"] = torch.isin(shown, moved).nonzero().squeeze(1)
        tensors |= {f"surface_{name}": values for name, values in planes.items()}
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    return arrays | {"centers_are": np.array(centers_are), "attack": np.array(f"pgd-20 margin, {threat}")}


def _centers(model: Classifier, features: Tensor, y: Tensor) -> tuple[Tensor, str]:
    if hasattr(model.head, "centers"):
        centers = model.head.centers
        return centers.detach(), "learned" if centers.requires_grad else "preset"
    return torch.stack([features[y == k].mean(dim=0) for k in y.unique()]), "class means"


def _examples(correct: Tensor, fooled: Tensor, count: int) -> Tensor:
    """Indices of images to show: fooled ones first, then held ones; only such as are right when clean."""
    order = torch.cat([(correct & fooled).nonzero().squeeze(1), (correct & ~fooled).nonzero().squeeze(1)])
    return order[:count]
