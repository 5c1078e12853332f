"""How densely a trained model's features lie, measured as plain numbers that a drawing can be made from.

Every measure comes twice: "raw", in the model's own lengths, and "scale_free", with lengths divided by the mean
distance of two class centers. MMC's features live at norm 10, SCE's wherever training left them: only the second
compares models. Densities are natural logarithms.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor

from ..attacks import undisturbed
from ..density import (
    angles_to_own,
    class_means,
    equal_count_edges,
    log_core_density,
    log_neighbor_density,
    mean_center_distance,
    own_and_other_distances,
    shell_density,
)
from ..models import Classifier
from ..types import Split, as_pixels

NUM_SHELLS = 12
NUM_QUANTILES = 51  # of each distribution kept: every second percent
NUM_DRAWN = 1000  # features kept for the plane
NUM_JUDGED = 500  # features of a class whose neighbors are counted, which costs their square


class Measured(NamedTuple):
    """What a model makes of one split: `features` (N, dim) float64, `labels` (N,), training `losses` (N,)."""

    features: Tensor
    labels: Tensor
    losses: Tensor


def measure(model: Classifier, split: Split, *, batch_size: int = 512) -> Measured:
    """Features and training losses of a split, on the CPU; the model in evaluation mode.

    The head computes in float64: in float32 many a softmax loss is 0.
    """
    device = next(model.parameters(), torch.empty(0)).device
    head = deepcopy(model.head).cpu().double().eval()
    parts = []
    with undisturbed(model), torch.no_grad():
        for rows in torch.arange(len(split.labels)).split(batch_size):
            features = model.features(as_pixels(split.images[rows].to(device))).cpu().double()
            labels = split.labels[rows].cpu()
            parts.append((features, labels, head.loss(features, labels)))
    return Measured(*(torch.cat(part) for part in zip(*parts, strict=True)))


def centers_of(model: Classifier, train: Measured, num_classes: int) -> tuple[Tensor, str]:
    """The head's centers, or the class means of the training features where it has none; and which they are."""
    centers = getattr(model.head, "centers", None)
    if not isinstance(centers, Tensor):
        return class_means(train.features, train.labels, num_classes), "class means of training features"
    kind = "learned centers" if centers.requires_grad else "preset centers"
    return centers.detach().double().cpu(), kind


def density_record(
    model: Classifier, splits: dict[str, Split], *, num_classes: int, convention: str = "volume"
) -> dict:
    """Everything `reports` draws about the features of one model: nested plain numbers, ready for JSON.

    Args:
        model: a classifier.
        splits: by name; "train" must be among them, whose class means stand in for absent centers.
        num_classes: of the data.
        convention: of the shells, see `density.shell_density`.
    """
    measured = {name: measure(model, split) for name, split in splits.items()}
    centers, kind = centers_of(model, measured["train"], num_classes)
    scale = mean_center_distance(centers)
    record = {"dim": centers.shape[1], "centers_are": kind, "scale": scale, "convention": convention}
    record["splits"] = {name: _split_record(found, centers, scale, convention) for name, found in measured.items()}
    return record | {"plane": _plane(next(reversed(measured.values())), centers)}


def core_record(model: Classifier, splits: dict[str, Split], *, num_classes: int) -> dict[str, dict[str, float]]:
    """The core density alone, raw and scale-free, by split: what a course of training is drawn from."""
    measured = {name: measure(model, split) for name, split in splits.items()}
    centers, _ = centers_of(model, measured["train"], num_classes)
    scale = mean_center_distance(centers)
    return {name: _core(found, centers, scale) for name, found in measured.items()}


def _split_record(found: Measured, centers: Tensor, scale: float, convention: str) -> dict:
    dim = centers.shape[1]
    own, other = own_and_other_distances(found.features, centers, found.labels)
    shells = {str(k): _shells(own[found.labels == k], dim, scale, convention) for k in found.labels.unique().tolist()}
    shells["all"] = _shells(own, dim, scale, convention, num_centers=len(found.labels.unique()))
    norms = found.features.norm(dim=1)
    return {
        "count": len(found.labels),
        "nearest_own": float((own < other).double().mean()),
        "core": _core(found, centers, scale),
        "neighbors": _neighbors(found, scale),
        "shells": shells,
        "by_loss": _by_loss(found.losses, own, shells["all"]),
        "quantiles": {
            "own": _quantiles(own),
            "other": _quantiles(other),
            "angle": _quantiles(angles_to_own(found.features, centers, found.labels)),
            "norm": _quantiles(norms),
            "loss": _quantiles(found.losses),
        },
    }


def _shells(own: Tensor, dim: int, scale: float, convention: str, num_centers: int = 1) -> dict[str, list[float]]:
    """Shells of equal counts, raw and scale-free."""
    edges = equal_count_edges(own, max(1, min(NUM_SHELLS, len(own) // 5)))
    settings = {"num_centers": num_centers, "convention": convention}
    raw = shell_density(own, dim, edges, **settings)
    free = shell_density(own / scale, dim, edges / scale, **settings)
    named = {"edges": edges, "counts": raw.counts, "raw": raw.log_density, "scale_free": free.log_density}
    return {name: tensor.tolist() for name, tensor in named.items()}


def _core(found: Measured, centers: Tensor, scale: float) -> dict:
    """Log density of the ball around its center that holds half a class: by class, and their median over classes."""
    dim = centers.shape[1]
    own = (found.features - centers[found.labels]).norm(dim=1)
    present = found.labels.unique()
    raw = torch.stack([log_core_density(own[found.labels == k], dim) for k in present])
    free = torch.stack([log_core_density(own[found.labels == k] / scale, dim) for k in present])
    both = {"raw": float(raw.median()), "scale_free": float(free.median())}
    return both | {"classes": present.tolist(), "raw_by_class": raw.tolist(), "scale_free_by_class": free.tolist()}


def _neighbors(found: Measured, scale: float, neighbors: int = 10) -> dict[str, float]:
    """Median over classes of the median log density of a class's features by their nearest neighbors."""
    medians = []
    for k in found.labels.unique():
        mine = found.features[found.labels == k][:NUM_JUDGED]
        if len(mine) > neighbors:
            medians.append(log_neighbor_density(mine, neighbors=neighbors).median())
    if not medians:
        return {}
    raw, dim = float(torch.stack(medians).median()), found.features.shape[1]
    return {"raw": raw, "scale_free": raw + dim * float(torch.tensor(scale).log())}


def _by_loss(losses: Tensor, own: Tensor, shells: dict[str, list[float]], bins: int = 10) -> list[dict[str, float]]:
    """Features in order of their loss, in bins of equal counts: median loss, median density of their shells."""
    edges = torch.tensor(shells["edges"], dtype=own.dtype)
    shell = torch.bucketize(own, edges[1:-1].contiguous())
    order = losses.argsort()
    rows = []
    for number, part in enumerate(order.chunk(bins)):
        density = {kind: torch.tensor(shells[kind])[shell[part]].median() for kind in ("raw", "scale_free")}
        values = {"share": torch.tensor((number + 0.5) / bins), "loss": losses[part].median()} | density
        rows.append({name: float(value) for name, value in values.items()})
    return rows


def _quantiles(values: Tensor) -> list[float]:
    return torch.quantile(values, torch.linspace(0, 1, NUM_QUANTILES, dtype=values.dtype)).tolist()


def _plane(found: Measured, centers: Tensor) -> dict:
    """Features in two dimensions: themselves where there are two, else their two main axes (PCA, scikit-learn)."""
    features, labels = found.features[:NUM_DRAWN], found.labels[:NUM_DRAWN]
    points, stars, share = _flatten(features, centers)
    round4 = [[[round(value, 4) for value in row] for row in rows.tolist()] for rows in (points, stars)]
    return {"points": round4[0], "centers": round4[1], "labels": labels.tolist(), "variance": share}


def _flatten(features: Tensor, centers: Tensor) -> Sequence:
    if features.shape[1] == 2:
        return features, centers, None
    if features.shape[1] == 1:
        return *(torch.nn.functional.pad(part, (0, 1)) for part in (features, centers)), None
    from sklearn.decomposition import PCA

    pca = PCA(n_components=2, svd_solver="full").fit(features.numpy())
    flat = (torch.from_numpy(pca.transform(part.numpy())) for part in (features, centers))
    return *flat, float(pca.explained_variance_ratio_.sum())
