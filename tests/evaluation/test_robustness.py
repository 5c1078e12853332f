from functools import partial

import pytest
import torch
from linear import linear_problem

from max_mahalanobis.attacks import fgsm, margin, pgd
from max_mahalanobis.errors import AttackCheated, ModelChanged, UserError
from max_mahalanobis.evaluation import evaluate, weights_hash
from max_mahalanobis.results import SCHEMA, worst_case
from max_mahalanobis.threats import L2, Linf
from max_mahalanobis.types import Split


def test_any_function_from_images_to_logits_can_be_evaluated():
    model, x, y = linear_problem(10)
    rows = evaluate(lambda images: model(images), (x, y), threat=Linf(0.05))
    assert {row.attack for row in rows} == {
        "fgsm",
        "pgd-20 cross_entropy",
        "pgd-20 margin",
        "pgd-20 dlr",
        "pgd-20 own_distance",
        "pgd-20 nearest_other",
    }
    assert all(row.num_images == 40 and row.num_correct == 40 for row in rows)


def test_the_worst_case_is_per_image_and_never_above_any_attack():
    model, x, y = linear_problem(10, count=80)
    rows = evaluate(model, (x, y), threat=Linf(0.01))
    held = len(x) - sum(worst_case(rows))
    assert 0 < held < len(x)
    assert all(held <= row.num_robust for row in rows)


def test_images_wrong_when_clean_are_not_attacked_and_count_as_fooled_at_size_zero():
    model, x, y = linear_problem(10)
    y[:15] = (y[:15] + 1) % 10
    row = evaluate(model, (x, y), threat=Linf(0.0), suite={"mine": partial(fgsm, threat=Linf(0.0))})[0]
    assert row.correct == [False] * 15 + [True] * 25
    assert row.fooled == [True] * 15 + [False] * 25
    assert row.size[:15] == [0.0] * 15
    assert (row.forwards, row.backwards) == (25, 25)


def test_passes_are_counted_in_images():
    model, x, y = linear_problem(10)
    keep_all = partial(pgd, threat=Linf(0.1), steps=7, stop_when_fooled=False)
    leaving = partial(pgd, threat=Linf(0.1), steps=7)
    rows = evaluate(model, (x, y), threat=Linf(0.1), suite={"all": keep_all, "leaving": leaving}, batch_size=16)
    assert (rows[0].forwards, rows[0].backwards) == (280, 280)
    assert rows[1].forwards < 280


@pytest.mark.parametrize(
    "cheat",
    [
        lambda model, x, y, seeds: x + 0.2,
        lambda model, x, y, seeds: x - 0.05 - 0.9 * (x < 0.5),
        lambda model, x, y, seeds: x * torch.nan,
    ],
)
def test_an_attack_that_leaves_the_ball_or_the_box_raises(cheat):
    model, x, y = linear_problem(3)
    with pytest.raises(AttackCheated, match="cheat left the threat model on 40 of 40 images"):
        evaluate(model, (x, y), threat=Linf(0.1), suite={"cheat": cheat})


@pytest.mark.parametrize("cheat", [lambda model, x, y, seeds: x[:3], lambda model, x, y, seeds: x.double()])
def test_an_attack_that_returns_other_shapes_or_types_raises(cheat):
    model, x, y = linear_problem(3)
    with pytest.raises(AttackCheated, match="cheat returned"):
        evaluate(model, (x, y), threat=Linf(0.1), suite={"cheat": cheat})


def test_an_attack_cannot_change_the_images_it_is_judged_against():
    model, x, y = linear_problem(3)

    def swap(model, images, y, seeds):
        images.zero_()
        return images

    with pytest.raises(AttackCheated):
        evaluate(model, (x, y), threat=Linf(0.1), suite={"swap": swap})


def test_an_attack_cannot_change_the_labels_the_mode_or_the_weights_it_is_judged_by():
    model, x, y = linear_problem(3)

    def relabel(model, images, y, seeds):
        y.add_(1).remainder_(3)
        model.train()
        return images

    assert evaluate(model, (x, y), threat=Linf(0.1), suite={"relabel": relabel})[0].num_robust == 40

    def retrain(counter, images, y, seeds):
        with torch.no_grad():
            counter.model.layer.weight.zero_()
        return images

    with pytest.raises(ModelChanged, match="retrain changed the model's weights"):
        evaluate(model, (x, y), threat=Linf(0.1), suite={"retrain": retrain})


def test_an_attack_that_claims_success_is_not_believed():
    model, x, y = linear_problem(3)
    row = evaluate(model, (x, y), threat=Linf(0.1), suite={"idle": lambda model, x, y, seeds: x})[0]
    assert row.num_robust == 40
    assert max(row.size) == 0


@pytest.mark.parametrize("threat", [Linf(0.03), pytest.param(L2(0.15), marks=pytest.mark.slow)])
def test_float64_verdicts_and_sizes_are_equal_for_every_batch_size(threat):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 40), torch.nn.ReLU(), torch.nn.Linear(40, 10))
    model, x = layers.double(), torch.rand(12, 1, 4, 4, dtype=torch.float64)
    y = model(x).argmax(dim=1)
    found = [evaluate(model, (x, y), threat=threat, batch_size=size) for size in (1, 7, 64)]
    for rows in found[1:]:
        assert [row.fooled for row in rows] == [row.fooled for row in found[0]]
        for row, first in zip(rows, found[0], strict=True):
            torch.testing.assert_close(torch.tensor(row.size), torch.tensor(first.size), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_batch_size_moves_no_verdict_beyond_rounding_on_real_digits(digits, digits_mmc):
    sizes = (1, 64)
    found = [evaluate(digits_mmc, digits.test.first(25), threat=L2(0.5), batch_size=size) for size in sizes]
    for others in found[1:]:
        for one, two in zip(found[0], others, strict=True):
            pairs = zip(one.fooled, two.fooled, one.size, two.size, strict=True)
            differing = [i for i, (a, b, c, d) in enumerate(pairs) if a != b or abs(c - d) > 1e-5]
            assert not differing, f"{one.attack}: images {differing}"


def test_twice_at_one_batch_size_is_equal_bit_for_bit(digits, digits_mmc):
    part = digits.test.first(100)
    first, second = (evaluate(digits_mmc, part, threat=L2(0.5), seed=3) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert (one.fooled, one.size) == (two.fooled, two.size)


def test_an_image_is_judged_alike_whatever_its_neighbours(digits, digits_mmc):
    rows = evaluate(digits_mmc, digits.test.first(60), threat=Linf(0.1))
    last = Split(*(tensor[50:60] for tensor in digits.test))
    for whole, part in zip(rows, evaluate(digits_mmc, last, threat=Linf(0.1)), strict=True):
        assert part.fooled == whole.fooled[50:60]
        torch.testing.assert_close(torch.tensor(part.size), torch.tensor(whole.size[50:60]), rtol=0, atol=1e-5)


def test_the_known_liar_is_caught_mmc_under_cross_entropy_alone(digits, digits_mmc):
    """The project's reason to be: cross-entropy PGD overstates what MMC withstands, the adaptive objectives do not."""
    rows = {row.attack: row for row in evaluate(digits_mmc, digits.test, threat=Linf(0.1))}
    ce, worst = rows["pgd-20 cross_entropy"], len(digits.test.labels) - sum(worst_case(list(rows.values())))
    assert ce.num_robust / ce.num_images > worst / ce.num_images + 0.10
    assert rows["pgd-20 margin"].num_robust < ce.num_robust - 30


def test_rows_name_what_was_attacked_and_with_which_settings():
    model, x, y = linear_problem(10, count=6)
    split = Split((x * 255).round().to(torch.uint8), y, torch.arange(100, 106))
    names = {"run": "r", "data": "made", "split": "validation"}
    row = evaluate(
        model,
        split,
        threat=Linf(0.25),
        names=names,
        seed=5,
        suite={"m": partial(pgd, threat=Linf(0.25), objective=margin)},
    )[0]
    assert (row.run, row.data, row.split, row.suite, row.attack) == ("r", "made", "validation", "custom", "m")
    assert (row.threat, row.eps, row.seed, row.index) == ("Linf", 0.25, 5, list(range(100, 106)))
    assert row.labels == split.labels.tolist()
    assert row.settings["attack"] == "pgd"
    assert row.settings["objective"] == "margin"
    assert row.settings["steps"] == 10
    assert row.settings["restarts"] == 1
    assert len(row.weights_hash) == len(row.data_hash) == 16
    assert row.schema == SCHEMA


def test_other_weights_have_another_hash_and_the_model_is_put_back():
    model, x, y = linear_problem(10)
    model.train()
    first = evaluate(model, (x, y), threat=Linf(0.01), suite="curve")[0].weights_hash
    assert model.training
    model.layer.bias.data[0] += 1e-3
    assert evaluate(model, (x, y), threat=Linf(0.01), suite="curve")[0].weights_hash != first


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x, y: (x * 255, y), r"pixels must lie in \[0, 1\]"),
        (lambda x, y: (x * torch.nan, y), "NaN"),
        (lambda x, y: (x, y + 5), "labels reach from .* but the model has 3 classes"),
        (lambda x, y: (x, y - 3), "labels reach from -"),
        (lambda x, y: (x[:0], y[:0]), "no images to evaluate"),
        (lambda x, y: (x, y[:7]), "labels must be 40 integers"),
    ],
)
def test_data_that_cannot_be_judged_are_refused(change, says):
    model, x, y = linear_problem(3)
    with pytest.raises(UserError, match=says):
        evaluate(model, change(x, y), threat=Linf(0.1))


def test_a_model_that_returns_no_logits_is_refused():
    _, x, y = linear_problem(3)
    with pytest.raises(UserError, match=r"must return logits \(batch, classes\), got shape \(40, 1, 4, 4\)"):
        evaluate(lambda images: images, (x, y), threat=Linf(0.1))


def test_a_model_that_returns_more_than_logits_is_refused():
    model, x, y = linear_problem(3)
    with pytest.raises(UserError, match=r"must return logits \(batch, classes\), got tuple"):
        evaluate(lambda images: (model(images), images), (x, y), threat=Linf(0.1))


def test_a_suite_without_an_attack_is_refused():
    model, x, y = linear_problem(3)
    with pytest.raises(UserError, match="the suite has no attack: give at least one"):
        evaluate(model, (x, y), threat=Linf(0.1), suite={})


@pytest.mark.parametrize("as_array", [lambda x: x.numpy(), lambda x: x.double().numpy()])
def test_arrays_are_evaluated_as_tensors_are(as_array):
    model, x, y = linear_problem(3)
    found = evaluate(model, (as_array(x), y.numpy()), threat=Linf(0.01))
    assert [row.fooled for row in found] == [row.fooled for row in evaluate(model, (x, y), threat=Linf(0.01))]


def test_what_is_no_pair_is_refused():
    model, x, _ = linear_problem(3)
    with pytest.raises(UserError, match="images and labels must come as a pair"):
        evaluate(model, (x,), threat=Linf(0.1))


def test_a_model_in_bfloat16_gets_images_of_its_type_and_the_ball_is_kept_in_float32():
    model, x, y = linear_problem(3)
    model = model.bfloat16()
    y = model(x.bfloat16()).argmax(dim=1)
    rows = evaluate(model, (x, y), threat=Linf(0.2))
    assert all(row.num_correct == 40 and row.num_robust < 40 for row in rows)
    assert all(max(row.size) <= 0.2 + 1e-6 for row in rows)
    assert rows[0].weights_hash == weights_hash(model)


def test_an_unknown_suite_lists_the_known():
    model, x, y = linear_problem(3)
    with pytest.raises(
        UserError, match="unknown suite 'best': choose from quick, paper, paper_faithful, curve, adaptive, auto, "
    ):
        evaluate(model, (x, y), threat=Linf(0.1), suite="best")


def test_the_paper_suite_runs_targeted_attacks_too():
    model, x, y = linear_problem(10, count=12)
    rows = {row.attack: row for row in evaluate(model, (x, y), threat=Linf(0.02), suite="paper")}
    assert rows["pgd-10 cross_entropy targeted"].settings["targeted"] == "one random wrong class"
    assert rows["pgd-50 cross_entropy"].settings["step_size"] == 0.005
    assert len(rows) == 11
