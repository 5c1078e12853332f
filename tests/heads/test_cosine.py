import pytest
import torch

from max_mahalanobis.heads import HypersphereHead, make_head
from max_mahalanobis.losses import softmax_cross_entropy

FEATURES = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(9) % 4


def test_hypersphere_sees_directions_alone_and_zero_features_do_no_harm():
    head = HypersphereHead(6, 4)
    torch.testing.assert_close(head(1000 * FEATURES), head(FEATURES))
    assert head(FEATURES).abs().max() <= 15
    nothing = torch.zeros(2, 6, requires_grad=True)
    head.loss(nothing, LABELS[:2]).sum().backward()
    assert torch.isfinite(nothing.grad).all()


def test_the_margin_holds_the_own_class_back_in_training_only():
    torch.manual_seed(0)
    plain, other = HypersphereHead(6, 4, margin=0), HypersphereHead(6, 4, margin=0.5)
    other.load_state_dict(plain.state_dict())
    torch.testing.assert_close(plain.loss(FEATURES, LABELS), softmax_cross_entropy(plain(FEATURES), LABELS))
    torch.testing.assert_close(other(FEATURES), plain(FEATURES), rtol=0, atol=0)
    assert (other.loss(FEATURES, LABELS) > plain.loss(FEATURES, LABELS)).all()


def test_hypersphere_embedding_is_the_librarys_cosface_at_equal_settings():
    pytest.importorskip("pytorch_metric_learning", reason="no pytorch-metric-learning (extra metric)")
    ours = HypersphereHead(6, 4, margin=0.35, scale=64.0)
    theirs = make_head("cosface", 6, 4)
    theirs.margin_loss.W.data = ours.linear.weight.detach().T.contiguous()
    torch.testing.assert_close(ours(FEATURES), theirs(FEATURES))
    torch.testing.assert_close(ours.loss(FEATURES, LABELS), theirs.loss(FEATURES, LABELS))


def test_arcface_adds_its_margin_in_radians_to_the_own_angle():
    pytest.importorskip("pytorch_metric_learning", reason="no pytorch-metric-learning (extra metric)")
    head = make_head("arcface", 6, 4, margin=0.3, scale=8.0)
    logits = head(FEATURES)
    own = logits.gather(1, LABELS[:, None])
    held = 8 * torch.cos(torch.acos(own / 8) + 0.3)
    torch.testing.assert_close(
        head.loss(FEATURES, LABELS), softmax_cross_entropy(logits.scatter(1, LABELS[:, None], held), LABELS)
    )


@pytest.mark.parametrize("name", ["cosface", "arcface"])
def test_the_librarys_weights_stay_float32_under_autocast(name):
    pytest.importorskip("pytorch_metric_learning", reason="no pytorch-metric-learning (extra metric)")
    head = make_head(name, 6, 4)
    with torch.autocast("cpu", torch.bfloat16):
        head.loss(FEATURES.bfloat16(), LABELS)
    assert head.margin_loss.W.dtype == torch.float32
