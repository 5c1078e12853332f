import dataclasses
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from max_mahalanobis.errors import UserError
from max_mahalanobis.parser import _number, parse
from max_mahalanobis.recipe import FORMAT, Recipe, check_eps

OTHER = {  # a legal value other than the default for every field
    "data": "mnist", "validation": 0.2, "model": "small_cnn", "blocks": 3, "padding": "keras", "dim": 32,
    "normalization": "none",
    "initialization": "torch",
    "head": "softmax", "norm": 5.0, "convention": "authors_code", "centers": "random", "margin": 0.4,
    "scale": 30.0, "center_weight": 0.02, "center_rate": 0.25, "optimizer": "sgd", "learning_rate": 0.1,
    "schedule": "step", "weight_decay": 1e-4, "weight_decay_scope": "all", "epochs": 3, "batch_size": 32,
    "augmentation": "shift", "adversary": "pgd", "threat": "l2", "eps": 0.5, "adversary_steps": 5,
    "adversary_step_size": 0.01, "adversary_objective": "margin", "adversary_targeted": True,
    "adversary_batchnorm": "train", "adversary_warmup": 0.0, "precision": "bf16-mixed", "seed": 1,
    "extra_data": "more.npz", "extra_share": 0.3, "pretrained": "weights.pt", "activation": "silu", "drops": (0.9,),
    "accumulate": 2, "clip_norm": 1.0, "label_smoothing": 0.1, "random_operations": 2, "cutout": 8, "mix": "mixup",
    "mix_alpha": 0.2, "weight_perturbation": 0.005, "averaging": "ema", "average_decay": 0.9, "average_from": 0.5,
    "checkpoint": "best", "patience": 5, "adversary_restarts": 1, "adversary_targets": "wrong",
    "adversary_clean_share": 0.0, "guard": 0.5, "robust_loss": "trades", "robust_weight": 3.0,
}  # fmt: skip
NEEDS = {  # what a field's other value cannot do without
    "robust_loss": {"adversary": "pgd"},
    "robust_weight": {"adversary": "pgd", "robust_loss": "trades"},
    "adversary_targets": {"adversary_targeted": True},
    "adversary_restarts": {"adversary": "pgd"},
}


def test_every_field_changes_the_fingerprint():
    assert OTHER.keys() == {field.name for field in dataclasses.fields(Recipe)}
    alone = OTHER | {
        "adversary_clean_share": 0.5,
        "adversary_targets": "all",
        "adversary_restarts": 2,
    }  # go with no other robust_loss, restarts
    prints = {Recipe(**NEEDS.get(name, {}), **{name: value}).fingerprint for name, value in alone.items()}
    assert len(prints | {Recipe().fingerprint}) == len(OTHER) + 1


def test_fingerprints_never_change():
    """Weights on disk carry them: whoever moves them makes every run of this format unreadable."""
    assert Recipe().fingerprint == "44136fa355b3"
    assert Recipe(data="mnist", norm=1.0, epochs=8).fingerprint == "8eb41d94cf10"


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"robust_loss": "trades"}, "robust_loss trades needs an adversary"),
     ({"robust_loss": "mart", "adversary": "free"}, "the adversary free makes none: choose pgd"),
     ({"robust_loss": "alp", "adversary": "pgd", "adversary_clean_share": 0.5}, "leave adversary_clean_share at 0"),
     ({"robust_weight": 6.0, "adversary": "pgd"}, "robust_weight 6.0 weighs nothing"),
     ({"robust_loss": "mart", "adversary": "pgd", "mix": "mixup"}, "needs one label an image"),
     ({"adversary_targets": "all"}, "set adversary_targeted as well"),
     ({"adversary_objective": "divergence", "adversary_targeted": True}, "divergence is untargeted"),
     ({"adversary_objective": "divergence", "adversary": "mim"}, "divergence is for pgd and fgsm"),
     ({"adversary_targets": "all", "adversary_targeted": True, "adversary": "apgd"}, "all is for pgd, mim and fgsm"),
     ({"adversary": "free", "adversary_objective": "margin"}, "the adversary free climbs the loss it learns from"),
     ({"adversary": "apgd", "adversary_step_size": 0.1}, "the adversary apgd chooses its own steps"),
     ({"head": "center_loss", "label_smoothing": 0.1}, "head center_loss moves its centers once a batch"),
     ({"averaging": "swa", "average_from": 1.0}, "average_from 1 leaves swa no epoch to average"),
     ({"learning_rate": 1e38}, "learning_rate 1e+38 must be at most 1e+30"), ({"dim": 10**11}, "must be at most"),
     ({"adversary": "pgd", "adversary_restarts": 2, "adversary_batchnorm": "train"}, "restarts by itself"),
     ({"adversary_restarts": 2, "adversary": "fgsm"}, "adversary_restarts 2 is for pgd and apgd, not fgsm"),
     ({"adversary_restarts": 2, "adversary": "pgd", "eps": 0.0}, "eps 0 leaves 2 restarts nothing to search"),
     ({"adversary": "free", "weight_perturbation": 0.01}, "free learns while it crafts"),
     ({"adversary": "free", "adversary_targeted": True}, "the adversary free is untargeted"),
     ({"accumulate": 65}, "accumulate 65 is more than the 64 images of a batch"),
     ({"drops": (0.7, 0.5)}, "drops (0.7, 0.5) must rise"), ({"drops": ("a",)}, "drops ('a',) must be numbers"),
     ({"model": "timm:"}, "unknown model 'timm:'")],
)  # fmt: skip
def test_choices_that_exclude_one_another_are_refused(settings, said):
    with pytest.raises(UserError) as refusal:
        Recipe(**settings)
    assert said in str(refusal.value)


def test_equal_recipes_have_equal_fingerprints():
    assert Recipe(norm=5, eps=1) == Recipe(norm=5.0, eps=1.0)
    assert Recipe(norm=5, eps=1).fingerprint == Recipe(norm=5.0, eps=1.0).fingerprint


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(**OTHER), Recipe(data='my "own" \\ ünï.npz', eps=8 / 255)])
def test_a_recipe_survives_its_file_with_facts_beside_it(tmp_path, recipe):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml(trained_on={"image_shape": [1, 8, 8]}), encoding="utf-8")
    assert Recipe.from_toml(path) == recipe
    assert tomllib.loads(path.read_text(encoding="utf-8"))["format"] == FORMAT


@given(st.fractions(min_value=0, max_value=1, max_denominator=10**6))
def test_every_budget_survives_the_file_exactly(fraction):
    values = tomllib.loads(Recipe(eps=float(fraction)).to_toml())
    assert values["eps"] == float(fraction)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("epochs", 0), ("epochs", True), ("epochs", 1.5), ("epochs", "3"), ("norm", 0.0), ("norm", float("nan")),
     ("learning_rate", float("inf")), ("weight_decay", -1.0), ("validation", 0.0), ("validation", 1.0),
     ("adversary_warmup", 1.1), ("adversary_targeted", 1), ("model", "vgg"), ("head", "mm"), ("threat", "l7"),
     ("margin", -0.1), ("margin", float("nan")), ("scale", 0.0), ("center_weight", -1.0), ("center_rate", 1.5),
     ("centers", "corners"), ("adversary_objective", "dlr_"), ("data", 3), ("seed", 2**62), ("eps", -0.1),
     ("eps", 1.1)],
)  # fmt: skip
def test_what_could_not_train_is_refused_with_its_name_and_value(setting, value):
    with pytest.raises(UserError, match=setting.split("_")[0]) as refusal:
        Recipe(**{setting: value})
    assert str(value) in str(refusal.value)


def test_a_budget_above_one_is_refused_in_linf_alone():
    check_eps(2.0, "l2")
    check_eps(1.0, "Linf")
    check_eps(None, "linf")
    with pytest.raises(UserError, match="write 8/255 for 8"):
        check_eps(8.0, "Linf")


@pytest.mark.parametrize(("word", "number"), [("8/255", 8 / 255), ("1e-3", 1e-3), ("3", 3.0), ("-1/2", -0.5)])
def test_a_fraction_is_a_number(word, number):
    assert _number(word) == number


def test_every_field_of_a_recipe_is_an_option_of_train():
    words = ["train", "--out", "x"]
    for name, value in OTHER.items():
        words += [f"--{name.replace('_', '-')}"] + ([] if value is True else str(value).strip("(),").split(", "))
    assert parse(words).recipe == Recipe(**OTHER)
