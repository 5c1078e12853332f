import pytest
import torch

from max_mahalanobis.density import detour, pull_of_losses, walk
from max_mahalanobis.errors import UserError
from max_mahalanobis.losses import mmc_loss, softmax_cross_entropy


def test_arrows_are_the_negative_gradients_of_the_losses():
    pull = pull_of_losses(side=4)
    points = pull.points.clone().requires_grad_()
    labels = torch.zeros(len(points), dtype=torch.long)
    for loss, arrows in (
        (softmax_cross_entropy(points @ pull.centers.T, labels), pull.sce),
        (mmc_loss(points, pull.centers, labels), pull.mmc),
    ):
        (gradient,) = torch.autograd.grad(loss.sum(), points)
        torch.testing.assert_close(-gradient, arrows)


def test_with_mmc_every_path_is_straight_whatever_the_batch():
    ends = []
    for batch_size in (300, 20, 5):
        walked = walk("mmc", num_points=300, batch_size=batch_size, epochs=10)
        torch.testing.assert_close(detour(walked.positions), torch.ones(300, dtype=torch.float64))
        ends.append(walked.positions[-1])
    torch.testing.assert_close(ends[0], ends[2])


def test_the_goals_of_center_loss_wander_more_the_smaller_the_batch():
    detours = [
        float(detour(walk("center", num_points=300, batch_size=size, epochs=15).goals).mean()) for size in (300, 20, 5)
    ]
    assert 1 < detours[0] < 1.2
    assert detours[0] + 0.2 < detours[1]
    assert detours[1] + 0.2 < detours[2]


def test_center_loss_bends_the_paths_even_with_all_points_at_once():
    walked = walk("center", num_points=300, batch_size=300, epochs=15)
    assert float(detour(walked.positions).mean()) > 1.02


def test_walks_start_alike_and_repeat():
    one, two = (walk(loss, num_points=30, batch_size=5, epochs=2) for loss in ("mmc", "center"))
    torch.testing.assert_close(one.positions[0], two.positions[0])
    assert torch.equal(two.positions, walk("center", num_points=30, batch_size=5, epochs=2).positions)


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="unknown loss 'sce': choose from mmc, center"):
        walk("sce")
    with pytest.raises(UserError, match="need at least 3 points, 1 a batch, 1 epoch: 2, 5, 40"):
        walk("mmc", num_points=2, batch_size=5)
