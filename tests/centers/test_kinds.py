import numpy as np
import pytest
import torch
from scipy.io import savemat

from max_mahalanobis.centers import (
    CENTERS,
    CIFAR100_SUPERCLASSES,
    hierarchical_centers,
    make_centers,
    max_mahalanobis_centers,
    orthonormal_centers,
    random_centers,
    read_centers,
)
from max_mahalanobis.centers.bounds import geometry
from max_mahalanobis.errors import UserError

UNIT = max_mahalanobis_centers(4, 6, norm=1).numpy()


@pytest.fixture
def made(tmp_path):
    """One center set of every kind, 4 classes in 6 dimensions, norm 5."""
    np.save(tmp_path / "c.npy", UNIT)
    extra = {"file": {"file": tmp_path / "c.npy"}, "hierarchical": {"superclasses": [0, 1, 1, 0]}}
    return {kind: make_centers(kind, 4, 6, norm=5, seed=1, **extra.get(kind, {})) for kind in CENTERS}


def test_centers_of_every_kind_have_their_shape_precision_and_norm(made):
    for kind, centers in made.items():
        assert centers.shape == (4, 6), kind
        assert centers.dtype == torch.float64
        torch.testing.assert_close(centers.norm(dim=1), torch.full((4,), 5.0, dtype=torch.float64))


def test_no_kind_has_a_larger_angle_than_the_maximal_one(made):
    best = geometry(made["maximal"]).angle
    assert all(geometry(centers).angle <= best + 1e-9 for centers in made.values())


def test_random_centers_follow_their_seed_and_scatter_as_directions_do():
    torch.testing.assert_close(random_centers(10, 256, seed=3), random_centers(10, 256, seed=3), rtol=0, atol=0)
    assert (random_centers(10, 256, seed=3) - random_centers(10, 256, seed=4)).abs().max() > 0.1
    unit = random_centers(500, 64, norm=1)
    assert (unit @ unit.T).triu(1).square().sum().item() / (500 * 499 / 2) == pytest.approx(1 / 64, rel=0.05)


def test_orthonormal_centers_are_orthogonal_and_need_a_dimension_each():
    centers = orthonormal_centers(4, 6, norm=3)
    torch.testing.assert_close(centers @ centers.T, 9 * torch.eye(4, dtype=torch.float64))
    with pytest.raises(UserError, match=r"^7 orthonormal centers need dim >= 7, got 6: raise dim"):
        orthonormal_centers(7, 6)


def test_hierarchical_cosines_are_those_of_the_docstring():
    owners = torch.tensor(CIFAR100_SUPERCLASSES)
    centers = hierarchical_centers(CIFAR100_SUPERCLASSES, 23, norm=1, inner=0.4)
    gram = centers @ centers.T
    siblings = (owners[:, None] == owners) & ~torch.eye(100, dtype=torch.bool)
    strangers = owners[:, None] != owners
    assert gram[siblings].sub(1 - 0.16 * (1 + 1 / 4)).abs().max() < 1e-12
    assert gram[strangers].max().item() == pytest.approx(0.16 - 0.84 / 19)
    assert gram[strangers].max() < gram[siblings].min()


def test_superclasses_may_differ_in_size_or_hold_one_class_each():
    uneven = hierarchical_centers([0, 0, 0, 1, 1, 2], 4, norm=1)
    torch.testing.assert_close(uneven.norm(dim=1), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(hierarchical_centers([2, 0, 1], 2), max_mahalanobis_centers(3, 2)[[2, 0, 1]])


@pytest.mark.parametrize(
    ("superclasses", "dim", "inner", "message"),
    [
        ([0, 0, 2], 9, 0.5, r"no class has superclass 1 of 0\.\.2"),
        ([0, 10**15], 9, 0.5, r"no class has superclass 1 of 0\.\."),
        ([0, 2**70], 9, 0.5, "one integer for each class, from 0"),
        ([], 9, 0.5, "num_classes and dim must be at least 1, got 0 and 9"),
        ([0, -1], 9, 0.5, "one integer for each class, from 0"),
        (torch.tensor([0.5, 1.0]), 9, 0.5, "one integer for each class, from 0"),
        ([0, 0, 1, 1, 2, 2], 2, 0.5, "3 superclasses of up to 2 classes do not fit into dim 2: raise dim to 3"),
        ([0, 0, 1, 1], 9, 1.0, r"inner must lie between 0 and 1, got 1\.0"),
    ],
)
def test_impossible_hierarchies_are_refused(superclasses, dim, inner, message):
    with pytest.raises(UserError, match=message):
        hierarchical_centers(superclasses, dim, inner=inner)


def test_the_superclasses_of_cifar100_are_the_published_ones(real_data):
    file = real_data / "cifar100" / "labels.npz"
    if not file.exists():
        pytest.skip(f"no labels of CIFAR-100 at {file}")
    labels = np.load(file)
    np.testing.assert_array_equal(np.array(CIFAR100_SUPERCLASSES)[labels["test"]], labels["test_coarse"])


def test_files_of_either_kind_are_scaled_to_the_norm(tmp_path):
    np.save(tmp_path / "c.npy", 7 * UNIT.astype(np.float32))
    savemat(tmp_path / "c.mat", {"mean_logits": UNIT})
    for name in ("c.npy", "c.mat"):
        centers = read_centers(tmp_path / name, num_classes=4, dim=6, norm=10)
        torch.testing.assert_close(centers, max_mahalanobis_centers(4, 6), rtol=0, atol=1e-5)
    assert read_centers(tmp_path / "c.npy").norm(dim=1)[0] == pytest.approx(7)


def test_the_authors_broken_file_is_named(tmp_path):
    path = tmp_path / "meanvar1_featuredim64_class100.mat"
    savemat(path, {"mean_logits": max_mahalanobis_centers(100, 100, norm=1).numpy()})
    with pytest.raises(UserError, match=r"100 dimensions, not 64 \(the authors' own script made it 100 wide"):
        read_centers(path, num_classes=100, dim=64)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.where(np.eye(4, 6) > 0, np.nan, UNIT), "center 0 holds NaN or infinity"),
        (UNIT[[0, 1, 2, 1]], "centers 1 and 3 are equal"),
        (UNIT[:3], "3 centers, 4 classes need 4"),
        (UNIT[:, :5], "centers in 5 dimensions, not 6: set dim to 5"),
        (UNIT[0], r"holds float64 of shape \(6,\): centers are a matrix"),
        (np.array([["a", "b"]]), "centers are a matrix of numbers"),
        (np.array([[{}]]), "damaged, or no .npy file"),
        (UNIT[:, :0], "centers are a matrix of numbers"),
    ],
)
def test_a_file_of_other_contents_says_what_is_wrong(tmp_path, array, message):
    np.save(tmp_path / "c.npy", array)
    with pytest.raises(UserError, match=message):
        read_centers(tmp_path / "c.npy", num_classes=4, dim=6)


@pytest.mark.parametrize("name", ["c.npy", "c.mat"])
@pytest.mark.parametrize("contents", [b"", b"no centers", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"MATLAB 5.0" * 20])
def test_a_damaged_file_is_a_users_error(tmp_path, name, contents):
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(UserError, match=f"c.{name[2:]} is damaged, or no"):
        read_centers(tmp_path / name)


def test_a_mat_file_with_other_names_lists_them(tmp_path):
    savemat(tmp_path / "c.mat", {"centers": UNIT})
    with pytest.raises(UserError, match="c.mat holds centers: centers are expected under mean_logits"):
        read_centers(tmp_path / "c.mat")


def test_a_kind_gets_what_it_needs_and_nothing_is_ignored(tmp_path):
    with pytest.raises(UserError, match="unknown kind of centers 'simplexes': choose from maximal, random"):
        make_centers("simplexes", 4, 6)
    with pytest.raises(UserError, match="random centers come from no file"):
        make_centers("random", 4, 6, file=tmp_path / "c.npy")
    with pytest.raises(UserError, match="hierarchical centers need the superclass of each class"):
        make_centers("hierarchical", 4, 6)
    assert make_centers("hierarchical", 100, 64).shape == (100, 64)
