import math
import time

import numpy as np
import pytest
import torch

from max_mahalanobis import MMCHead
from max_mahalanobis.centers import max_mahalanobis_centers, packing, random_centers, stored
from max_mahalanobis.centers.bounds import angle_bound, geometry

BEST_KNOWN = {7: 77.8695, 8: 74.8585, 9: 70.5288, 10: 66.1468, 11: 63.4349, 12: 63.4349, 24: 43.6908}  # degrees, dim 3


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, request):
    monkeypatch.setenv("MMC_CACHE", str(tmp_path))
    if "slow" not in request.keywords:
        monkeypatch.setattr(packing, "MOST_STARTS", 2)
    return tmp_path / "centers"


def angle_of(num_classes, dim):
    return geometry(max_mahalanobis_centers(num_classes, dim)).angle


def test_twelve_in_space_are_an_icosahedron():
    assert angle_of(12, 3) == pytest.approx(math.acos(1 / math.sqrt(5)), abs=1e-9)


@pytest.mark.parametrize("num_classes", [5, 6])
def test_five_or_six_in_space_have_right_angles(num_classes):
    assert angle_of(num_classes, 3) == pytest.approx(math.pi / 2, abs=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", BEST_KNOWN)
def test_in_space_the_best_known_angles_are_reached(num_classes):
    assert angle_of(num_classes, 3) == pytest.approx(math.radians(BEST_KNOWN[num_classes]), abs=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_classes", "dim", "cosine"), [(10, 4, 1 / 6), (24, 4, 0.5), (16, 5, 0.2), (27, 6, 0.25), (56, 7, 1 / 3)]
)
def test_the_famous_codes_are_found(num_classes, dim, cosine):
    found = geometry(max_mahalanobis_centers(num_classes, dim)).cosine
    assert found == pytest.approx(cosine, abs=1e-4)  # the 24-cell, the half 5-cube, the 27 lines, the 28 bitangents


@pytest.mark.slow
def test_a_thousand_classes_in_128_dimensions_are_far_better_than_a_thousand_random_draws():
    began = time.process_time()
    found = geometry(max_mahalanobis_centers(1000, 128))
    assert time.process_time() - began < 180  # 33 s when this was written
    drawn = min(geometry(random_centers(1000, 128, seed=seed)).cosine for seed in range(1000))
    assert found.cosine < 0.075 < 0.3 < drawn
    assert found.angle > 0.97 * angle_bound(1000, 128).angle


def test_no_random_start_of_a_plain_descent_beats_the_search():
    """The slow twin: the authors' way for dim < classes - 1, a descent on the largest cosine itself."""
    points = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([points], lr=1e-2)
    for _ in range(500):
        unit = points / points.norm(dim=1, keepdim=True)
        optimizer.zero_grad()
        (unit @ unit.T - 2 * torch.eye(9, dtype=torch.float64)).max().backward()
        optimizer.step()
    twin = geometry(points).cosine
    ours = geometry(max_mahalanobis_centers(9, 4)).cosine
    assert ours - 1e-9 <= twin < ours + 0.1


def test_the_search_comes_out_the_same_and_another_seed_differs():
    first = packing.pack(9, 4, seed=1)
    np.testing.assert_array_equal(packing.pack(9, 4, seed=1), first)
    assert np.abs(packing.pack(9, 4, seed=2) - first).max() > 0.1


def test_progress_ends_at_the_total():
    told = []
    packing.pack(9, 4, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))


def test_blocks_of_rows_change_neither_the_soft_maximum_nor_its_gradient(monkeypatch):
    flat = np.random.default_rng(0).standard_normal(30 * 4)
    value, gradient = packing._soft_maximum(flat, (30, 4), 100.0)
    monkeypatch.setattr(packing, "_BLOCK", 7 * 30)
    again, same = packing._soft_maximum(flat, (30, 4), 100.0)
    assert again == pytest.approx(value, abs=1e-14)
    np.testing.assert_allclose(same, gradient, atol=1e-14)


def test_the_soft_maximum_has_the_gradient_of_its_slow_twin():
    points = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    unit = points / points.norm(dim=1, keepdim=True)
    pairs = torch.stack([unit[i] @ unit[j] for i in range(6) for j in range(i)])
    slow = torch.logsumexp(30.0 * pairs, dim=0) / 30.0
    slow.backward()
    value, gradient = packing._soft_maximum(points.detach().numpy().ravel(), (6, 3), 30.0)
    assert value == pytest.approx(slow.item(), abs=1e-14)
    np.testing.assert_allclose(gradient, points.grad.numpy().ravel(), atol=1e-14)


def test_what_was_found_is_read_again_and_a_damaged_file_is_made_anew(cache, monkeypatch):
    first = max_mahalanobis_centers(9, 4, seed=3)
    (file,) = cache.iterdir()
    assert file.name == f"9x4-3-v{packing.VERSION}.npy"
    good = file.read_bytes()
    for bad in (b"", good[:100], good[:-8] + bytes(8), b"PK\x03\x04"):
        file.write_bytes(bad)
        torch.testing.assert_close(max_mahalanobis_centers(9, 4, seed=3), first, rtol=0, atol=0)
        assert file.read_bytes() == good
    monkeypatch.setattr(stored, "pack", None)
    torch.testing.assert_close(max_mahalanobis_centers(9, 4, seed=3), first, rtol=0, atol=0)


def test_a_cache_nobody_can_write_costs_nothing_but_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MMC_CACHE", str(tmp_path / "file"))
    assert max_mahalanobis_centers(9, 4).shape == (9, 4)


def test_a_head_of_ten_classes_has_two_features_if_asked():
    head = MMCHead(2, 10)
    assert head(head.centers).argmax(dim=1).tolist() == list(range(10))
