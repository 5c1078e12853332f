import pytest
import torch
from scipy.stats import beta

from max_mahalanobis.data.augmentation import cutmix, mix_shares, mixup, partners

SEEDS = torch.arange(4000) * 5 + 2
ROWS = torch.arange(4000) % 10


def test_partners_are_all_other_images_equally_often_and_never_the_image_itself():
    others = partners(ROWS, SEEDS, 10)
    assert not (others == ROWS).any()
    for row in range(10):
        counts = torch.bincount(others[row == ROWS], minlength=10)
        assert counts[row] == 0
        assert counts.sum() == 400
        assert (counts[counts > 0] > 20).sum() == 9


def test_partners_do_not_depend_on_the_batch_and_change_with_the_seed():
    others = partners(ROWS, SEEDS, 10)
    assert torch.equal(partners(ROWS[7:8], SEEDS[7:8], 10), others[7:8])
    assert not torch.equal(partners(ROWS, SEEDS + 1, 10), others)


def test_an_image_alone_in_its_split_is_mixed_with_itself():
    assert (partners(torch.zeros(5, dtype=torch.int64), SEEDS[:5], 1) == 0).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_beta_draws_folded_at_a_half(alpha):
    shares = mix_shares(SEEDS, alpha)
    assert shares.dtype == torch.float32
    assert 0.5 <= shares.min() <= shares.max() <= 1
    for point in (0.55, 0.7, 0.9, 0.99):
        expected = beta.cdf(point, alpha, alpha) - beta.cdf(1 - point, alpha, alpha)
        assert (shares <= point).float().mean().item() == pytest.approx(expected, abs=0.025)  # 3 standard deviations
    assert torch.equal(mix_shares(SEEDS[5:6], alpha), shares[5:6])


def test_partners_are_extra_images_as_often_as_those_of_a_batch_are():
    others = partners(ROWS, SEEDS, 1000, num_own=10, extra_share=0.3)
    extra = others >= 10
    assert extra.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (torch.bincount(others[~extra], minlength=10) > 200).all()
    assert len(others[extra].unique()) > 500


def test_mixup_weighs_each_pair_by_its_share():
    x, other = torch.rand(3, 1, 2, 2), torch.rand(3, 1, 2, 2)
    shares = torch.tensor([1.0, 0.5, 0.75])
    mixed = mixup(x, other, shares)
    torch.testing.assert_close(mixed[0], x[0])
    torch.testing.assert_close(mixed[1], (x[1] + other[1]) / 2)
    torch.testing.assert_close(mixed[2], 0.75 * x[2] + 0.25 * other[2])
    ones = torch.ones(4000, 1, 1, 1)
    assert mixup(ones, ones, mix_shares(SEEDS, 1.0)).max() <= 1


@pytest.mark.parametrize("size", [(8, 8), (9, 32)])
def test_cutmix_says_exactly_which_share_of_the_pixels_is_still_its_own(size):
    x, other = torch.ones(4000, 2, *size), torch.zeros(4000, 2, *size)
    wished = mix_shares(SEEDS, 1.0)
    mixed, shares = cutmix(x, other, wished, SEEDS)
    assert set(mixed.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), shares)
    assert (shares >= wished - 1e-6).all()  # rounding down and borders leave more, never less
    assert 0.5 <= shares.min() < 0.62


def test_what_cutmix_takes_is_a_rectangle_that_anywhere_can_be():
    x, other = torch.ones(4000, 1, 8, 8), torch.zeros(4000, 1, 8, 8)
    mixed, _ = cutmix(x, other, torch.full((4000,), 0.75), SEEDS)
    taken = mixed[:, 0] == 0
    heights, widths = taken.any(dim=2).sum(dim=1), taken.any(dim=1).sum(dim=1)
    assert torch.equal(heights * widths, taken.flatten(1).sum(dim=1))
    assert heights.max() == widths.max() == 4
    assert taken.any(dim=0).all()


def test_a_share_of_one_takes_nothing():
    x = torch.rand(2, 1, 4, 4)
    mixed, shares = cutmix(x, torch.zeros_like(x), torch.ones(2), SEEDS[:2])
    assert torch.equal(mixed, x)
    assert shares.tolist() == [1, 1]
