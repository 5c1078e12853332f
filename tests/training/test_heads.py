"""Every head trains by its recipe, its own parameters by their own rates, and goes on after a crash."""

import importlib.util

import pytest
import torch

from max_mahalanobis.errors import UserError
from max_mahalanobis.evaluation import weights_hash
from max_mahalanobis.heads import HEADS
from max_mahalanobis.losses import center_loss
from max_mahalanobis.models import accelerated, build
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.runs import create_run, facts_of, load_classifier
from max_mahalanobis.training import accuracy, fill_defaults, train
from max_mahalanobis.training.schedule import make_optimizers

METRIC = pytest.mark.skipif(
    importlib.util.find_spec("pytorch_metric_learning") is None, reason="no pytorch-metric-learning (extra metric)"
)
EVERY = [pytest.param(name, marks=METRIC if name in ("cosface", "arcface") else ()) for name in HEADS]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("name", EVERY)
def test_digits_are_learned(name, optimizer, digits):
    model = train(Recipe(head=name, epochs=12, optimizer=optimizer), digits, device="cpu")
    assert accuracy(model, digits.test) > 0.94


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_head_can_fight_an_adversary(name, digits):
    recipe = Recipe(head=name, epochs=8, adversary="pgd", adversary_steps=3)
    assert accuracy(train(recipe, digits, device="cpu"), digits.test) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("convention", ["paper", "authors_code"])
@pytest.mark.parametrize("norm", [10.0, 100.0])
def test_mmlda_converges_with_sgd_at_its_default_rate(norm, convention, digits):
    recipe = Recipe(head="mmlda", norm=norm, convention=convention, optimizer="sgd", epochs=12)
    assert accuracy(train(recipe, digits, device="cpu"), digits.test) > 0.94


@pytest.mark.parametrize(
    ("settings", "rate"),
    [({"convention": "paper"}, 0.01), ({"convention": "authors_code"}, 0.005), ({"norm": 100.0}, 0.001),
     ({"norm": 1.0}, 0.01), ({"norm": 100.0, "optimizer": "adam"}, 0.001), ({"learning_rate": 0.3}, 0.3)],
)  # fmt: skip
def test_sgds_default_rate_is_divided_by_the_slope_of_mmlda(settings, rate):
    recipe = fill_defaults(Recipe(**{"head": "mmlda", "optimizer": "sgd"} | settings))
    assert recipe.learning_rate == pytest.approx(rate)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_step_moves_the_centers_of_center_loss_by_its_rule_alone(optimizer, digits):
    recipe = fill_defaults(
        Recipe(head="center_loss", optimizer=optimizer, center_rate=0.25, weight_decay=0.1, weight_decay_scope="all")
    )
    model = build(recipe, digits.image_shape, 10)
    model.head.centers.data = torch.randn(10, 64)
    main, own = make_optimizers(model, recipe)
    moved = {id(p) for group in main.param_groups for p in group["params"]}
    assert moved == {id(p) for name, p in model.named_parameters() if name != "head.centers"}
    x, y = digits.train.images[:64] / 255, digits.train.labels[:64]
    before = model.head.centers.detach().clone().requires_grad_()
    center_loss(model.features(x).detach(), before, y).sum().backward()
    for _ in range(2):  # no momentum: the second step, at the same gradients, is as long as the first
        model.head.centers.data = before.detach().clone()
        model.loss(x, y).mean().backward()
        own.step()
        own.zero_grad()
        torch.testing.assert_close(model.head.centers.detach(), before.detach() - 0.25 * before.grad)


@pytest.mark.parametrize("name", ["center_loss", "large_margin_gaussian"])
def test_a_run_with_learned_centers_resumes_bit_for_bit(name, tmp_path, digits):
    recipe = Recipe(head=name, epochs=3, batch_size=400)
    whole = train(recipe, digits, device="cpu")

    def stop(event):
        if event["epoch"] == 2:
            raise KeyboardInterrupt

    run = create_run(tmp_path / "run", fill_defaults(recipe), facts_of(recipe, digits))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, digits, run=run, device="cpu", progress=stop)
    train(recipe, digits, run=run, resume=True, device="cpu")
    assert weights_hash(load_classifier(run)) == weights_hash(whole)


def test_the_centers_of_center_loss_come_to_lie_among_their_features(digits):
    model = train(Recipe(head="center_loss", epochs=3), digits, device="cpu")
    with torch.no_grad():
        features = model.features(digits.train.images / 255)
    means = torch.stack([features[digits.train.labels == k].mean(dim=0) for k in range(10)])
    apart = (model.head.centers.detach() - means).norm(dim=1)
    spread = torch.stack([(features[digits.train.labels == k] - means[k]).norm(dim=1).mean() for k in range(10)])
    assert (apart < 0.5 * spread).all()


@pytest.mark.parametrize("name", EVERY)
def test_the_copy_that_attacks_are_given_has_the_logits_of_every_head(name):
    model = build(Recipe(head=name, model="small_cnn"), (1, 8, 8), 5).eval()
    x = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(accelerated(model)(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_in_bfloat16_has_a_finite_loss(name):
    model = build(Recipe(head=name), (1, 8, 8), 5)
    x, y = torch.rand(20, 1, 8, 8), torch.arange(20) % 5
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(x, y).mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_every_setting_of_a_head_is_written_down_with_its_default(name):
    recipe = fill_defaults(Recipe(head=name, adversary="pgd"))
    assert fill_defaults(recipe) == recipe
    assert recipe.adversary_objective is not None
    if name in ("center_loss", "large_margin_gaussian"):
        assert recipe.center_weight in (0.01, 0.1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"head": "mmc", "margin": 0.2}, "margin 0.2 is no setting of head mmc: leave it at None, or choose head "
      "large_margin_gaussian or hypersphere or cosface or arcface"),
     ({"head": "softmax", "norm": 5.0}, "norm 5.0 is no setting of head softmax: leave it at 10.0, or choose head mmc"),
     ({"head": "squared", "centers": "random"}, "centers random is no setting of head squared: leave it at maximal")],
)  # fmt: skip
def test_a_setting_of_another_head_is_refused(settings, said):
    with pytest.raises(UserError) as refusal:
        fill_defaults(Recipe(**settings))
    assert said in str(refusal.value)
