import pytest
import torch
from linear import linear_problem

from max_mahalanobis.attacks import pgd
from max_mahalanobis.evaluation import evaluate
from max_mahalanobis.evaluation.signs import signs_of
from max_mahalanobis.results import SIGNS
from max_mahalanobis.threats import Linf


def seen(change):
    model, x, _ = linear_problem(3, count=12)
    return signs_of(lambda images: change(model(images)), x)


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        (lambda logits: logits.softmax(dim=1), "probabilities"),
        (lambda logits: logits * 0, "constant logits"),
        (
            lambda logits: torch.where(logits > logits.amax(), torch.nan, logits / (logits != logits[0, 0])),
            "non-finite logits",
        ),
        (lambda logits: logits + torch.rand(3), "different answers"),
        (lambda logits: logits.detach(), "no gradient"),
    ],
)
def test_each_sign_is_seen_alone(change, sign):
    assert seen(change) == [sign]
    assert sign in SIGNS


def test_a_sound_model_shows_none():
    assert seen(lambda logits: logits) == []


def test_constant_logits_are_seen_in_batches_of_one():
    model, x, _ = linear_problem(3, count=12)
    assert signs_of(lambda images: model(images) * 0, x, batch_size=1) == ["constant logits"]


def test_one_image_alone_is_not_called_constant():
    model, x, _ = linear_problem(3, count=1)
    assert signs_of(model, x) == []


def test_images_without_finite_logits_are_counted_never_robust_and_do_not_spoil_the_others():
    model, x, y = linear_problem(3, count=20)

    def broken(images):
        hurt = images[:, 0, 0, 0] > 0.52
        return model(images).masked_fill(hurt[:, None], torch.nan)

    clean = ~torch.isfinite(broken(x)).all(dim=1)
    row = evaluate(broken, (x, y), threat=Linf(0.001), suite={"pgd": lambda *a, **k: pgd(*a, threat=Linf(0.001), **k)})[
        0
    ]
    assert row.signs == ["non-finite logits"]
    assert row.non_finite >= int(clean.sum()) > 0
    assert all(f for f, bad in zip(row.fooled, clean.tolist(), strict=True) if bad)
    assert row.num_robust > 0


def test_evaluate_puts_the_signs_into_every_row():
    model, x, y = linear_problem(3, count=12)
    rows = evaluate(lambda images: model(images).softmax(dim=1), (x, y), threat=Linf(0.01))
    assert all(row.signs == ["probabilities"] for row in rows)
