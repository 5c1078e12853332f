import math

import pytest
import torch
from torch import nn

from max_mahalanobis.evaluation.densities import centers_of, core_record, density_record, measure
from max_mahalanobis.heads import MMCHead, SoftmaxHead
from max_mahalanobis.models import Classifier
from max_mahalanobis.types import Split

DIM, CLASSES = 4, 3


def cloud(count, spread, *, scale=1.0):
    """Images that are already features: around the simplex of norm 10 * scale, `spread` * scale wide."""
    head = MMCHead(DIM, CLASSES, norm=10.0 * scale)
    labels = torch.arange(count) % CLASSES
    noise = torch.randn(count, DIM, generator=torch.Generator().manual_seed(0))
    features = head.centers[labels] + scale * spread * noise
    return Classifier(nn.Flatten(), head), Split(features[:, :, None, None], labels, torch.arange(count))


def record(spread=0.5, **settings):
    model, split = cloud(300, spread, **settings)
    return density_record(model, {"train": split, "test": split.first(150)}, num_classes=CLASSES)


def test_a_tighter_cloud_is_denser_by_the_logarithm_of_its_volume():
    wide, tight = (record(spread)["splits"]["train"] for spread in (1.0, 0.5))
    for measured in ("core", "neighbors"):
        gap = tight[measured]["raw"] - wide[measured]["raw"]
        assert gap == pytest.approx(DIM * math.log(2), abs=1e-3)


def test_scale_free_numbers_do_not_know_the_scale():
    small, large = (record(scale=scale) for scale in (1.0, 7.0))
    for measured in ("core", "neighbors"):
        numbers = [found["splits"]["test"][measured] for found in (small, large)]
        assert numbers[0]["scale_free"] == pytest.approx(numbers[1]["scale_free"], abs=1e-3)
        assert numbers[0]["raw"] - numbers[1]["raw"] == pytest.approx(DIM * math.log(7), abs=1e-3)
    assert large["scale"] == pytest.approx(70 * math.sqrt(3))


def test_shells_hold_every_feature_once():
    found = record()["splits"]["train"]
    assert set(found["shells"]) == {"0", "1", "2", "all"}
    assert [sum(found["shells"][name]["counts"]) for name in ("0", "all")] == [100, 300]


def test_bins_rise_in_loss_and_fall_in_density():
    rows = record()["splits"]["train"]["by_loss"]
    for name in ("loss", "share"):
        values = [row[name] for row in rows]
        assert values == sorted(values)
    for name in ("raw", "scale_free"):
        assert rows[0][name] > rows[-1][name] + 1


def test_losses_are_not_rounded_to_zero():
    head = SoftmaxHead(2, 2)
    nn.init.eye_(head.linear.weight)
    split = Split(torch.tensor([[40.0, 0.0], [0.0, 30.0]])[:, :, None, None], torch.tensor([0, 1]), torch.arange(2))
    found = measure(Classifier(nn.Flatten(), head), split)
    assert found.losses[0] == pytest.approx(math.exp(-40), rel=0.6)  # the bias shifts it
    assert found.features.dtype == torch.float64
    assert head.linear.weight.dtype == torch.float32


def test_a_head_without_centers_gets_the_class_means_of_training_features():
    model = Classifier(nn.Flatten(), SoftmaxHead(DIM, CLASSES))
    _, split = cloud(30, 0.5)
    train = measure(model, split)
    centers, kind = centers_of(model, train, CLASSES)
    assert kind == "class means of training features"
    torch.testing.assert_close(centers[1], train.features[train.labels == 1].mean(dim=0))
    assert centers_of(cloud(3, 0.5)[0], train, CLASSES)[1] == "preset centers"


def test_features_in_two_dimensions_are_drawn_as_they_are():
    head = MMCHead(2, 3)
    split = Split(head.centers.repeat(40, 1)[:, :, None, None], torch.arange(120) % 3, torch.arange(120))
    split.images[::2] += 0.25
    plane = density_record(Classifier(nn.Flatten(), head), {"train": split}, num_classes=3)["plane"]
    assert plane["variance"] is None
    torch.testing.assert_close(torch.tensor(plane["points"]), split.images.flatten(1), rtol=0, atol=1e-4)


def test_the_core_alone_is_the_core_of_the_whole_record():
    model, split = cloud(300, 0.5)
    alone = core_record(model, {"train": split}, num_classes=CLASSES)
    assert alone["train"] == record()["splits"]["train"]["core"]
