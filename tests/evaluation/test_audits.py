"""Known liars are caught by the right finding; sound models raise no alarm; what is not the model's fault is said."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from linear import linear_problem
from torch import nn
from torch.nn.functional import one_hot

from max_mahalanobis.attacks import apgd, cross_entropy, margin, pgd, square
from max_mahalanobis.errors import ModelChanged, UserError
from max_mahalanobis.evaluation import CHECKS, Evidence, Journal, Suite, Thresholds, audit, weights_hash
from max_mahalanobis.evaluation.probes import facts_about
from max_mahalanobis.evaluation.trials import planted, under_attack
from max_mahalanobis.results import worst_case
from max_mahalanobis.statistics import proportion
from max_mahalanobis.threats import Linf
from max_mahalanobis.types import as_pixels

THREAT = Linf(0.1)
LIGHT = Suite(
    {
        "pgd-20 cross_entropy": partial(pgd, threat=THREAT, objective=cross_entropy, steps=20),
        "apgd-20 margin": partial(apgd, threat=THREAT, objective=margin, steps=20),
        "apgd-40 cross_entropy": partial(apgd, threat=THREAT, objective=cross_entropy, steps=40),
        "square": partial(square, threat=THREAT, queries=200, ahead=4),
    },
    cascade=True,
)


class Wrapped(nn.Module):
    """A model whose answers come by way of a function."""

    def __init__(self, model, answer):
        super().__init__()
        self.model, self.answer = model, answer

    def forward(self, x):
        return self.answer(self.model, x)


class AlwaysTraining(nn.Module):
    """Dropout that no eval() reaches."""

    def __init__(self, model):
        super().__init__()
        self.model, self.drop = model, nn.Dropout(0.3)

    def train(self, mode=True):
        self.model.train(mode)
        return self

    def forward(self, x):
        return self.model(self.drop(x))


class WinnersTakeAll(nn.Module):
    """Xiao et al. 2020: all but the largest activations are set to zero."""

    def forward(self, x):
        return x * (x >= x.topk(int(0.15 * x.shape[1]), dim=1).values[:, -1:])


@pytest.fixture(scope="module")
def digits_sce(digits):
    from max_mahalanobis import Recipe, train

    return train(Recipe(epochs=15, head="softmax"), digits, device="cpu").eval()


@pytest.fixture(scope="module")
def winners(digits):
    torch.manual_seed(0)
    parts = (nn.Linear(64, 512), WinnersTakeAll(), nn.Linear(512, 512), WinnersTakeAll(), nn.Linear(512, 10))
    model, x, y = nn.Sequential(nn.Flatten(), *parts), as_pixels(digits.train.images), digits.train.labels.long()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for rows in (rows for _ in range(20) for rows in torch.randperm(len(x)).split(64)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.eval()


def refusing(model, x):
    logits = model(x)
    return torch.cat([logits, logits.topk(2, dim=1).values[:, 1:] + 3], dim=1)


def audited(model, digits, **settings):
    """The verdict on 120 images, and its findings by weight."""
    found = audit(model, digits.test.first(120), threat=THREAT, trial_images=60, **({"suites": [LIGHT]} | settings))
    by_weight = {"doubt": set(), "note": set()}
    for finding in found.verdict.findings:
        by_weight[finding.weight].add(finding.check)
    return found, by_weight["doubt"], by_weight["note"]


LIARS = {
    "rounded inputs": (lambda model, x: model((4 * x).round() / 4), {"zero_gradients", "black_box", "planted"}),
    "a random layer": (lambda model, x: model(x + 0.1 * torch.randn_like(x)), {"random_answers"}),
    "one-hot answers": (lambda model, x: one_hot(model(x).argmax(dim=1), 10).float(), {"no_gradient", "probabilities"}),
    "probabilities": (lambda model, x: model(x).softmax(dim=1), {"probabilities"}),
    "a detector that refuses": (refusing, {"refusals"}),
    "statistics of the batch": (lambda model, x: model(x - x.mean(dim=0) + 0.3), {"batch_dependence"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIARS)
def test_a_liar_is_caught_by_the_right_finding(name, digits, digits_sce):
    answer, doubts = LIARS[name]
    found, doubtful, _ = audited(Wrapped(digits_sce, answer), digits)
    assert doubts <= doubtful
    assert found.verdict.reliability == "doubtful"


@pytest.mark.slow
def test_a_model_in_training_mode_is_named_with_its_layers(digits, digits_sce):
    found, doubtful, _ = audited(AlwaysTraining(digits_sce), digits)
    assert {"training_mode", "random_answers"} <= doubtful
    assert "drop" in next(finding.seen for finding in found.verdict.findings if finding.check == "training_mode")


@pytest.mark.slow
def test_winners_take_all_loses_to_queries_or_misses_what_was_planted(digits, winners):
    assert {"black_box", "planted"} & audited(winners, digits)[1]


@pytest.mark.slow
def test_scaled_logits_are_an_illusion_with_its_cause_and_the_number_stands(digits, digits_sce):
    sound, _, _ = audited(digits_sce, digits, suites=["adaptive"])
    found, doubtful, notes = audited(Wrapped(digits_sce, lambda model, x: 1000 * model(x)), digits, suites=["adaptive"])
    assert found.verdict.number.count == pytest.approx(sound.verdict.number.count, abs=5)  # cross-entropy helps no more
    assert found.verdict.reliability == "reliable", doubtful
    assert {"saturated_softmax", "objectives_disagree"} <= notes
    assert found.verdict.illusion[0].source == "pgd-20 cross_entropy alone"
    assert found.verdict.illusion[0].points > 10


@pytest.mark.slow
def test_mmc_without_adversarial_training_is_an_illusion_under_cross_entropy(digits, digits_mmc):
    found, doubtful, notes = audited(digits_mmc, digits)
    assert not doubtful
    assert "saturated_softmax" in notes
    only_cross_entropy = Suite({"pgd-20 cross_entropy": LIGHT.attacks["pgd-20 cross_entropy"]})
    asked, _, _ = audited(digits_mmc, digits, suites=[only_cross_entropy, LIGHT])
    assert asked.verdict.number.count <= found.verdict.number.count
    assert [each.points for each in found.verdict.illusion] == sorted(
        (each.points for each in found.verdict.illusion), reverse=True
    )


def test_a_sound_model_raises_no_alarm(digits, digits_sce):
    found, doubtful, notes = audited(digits_sce, digits)
    assert (found.verdict.reliability, found.verdict.illusion, doubtful) == ("reliable", [], set())
    assert notes <= {"few_images"}


def leaves_the_ball(model, x, y, *, seeds=None):
    return (x + 0.3).clamp(0, 1)


def in_half_precision(model, x, y, *, seeds=None):
    return pgd(model, x, y, threat=THREAT, objective=margin, steps=5, seeds=seeds).half()


def throws_its_best_away(model, x, y, *, seeds=None):
    pgd(model, x, y, threat=THREAT, objective=margin, steps=20, seeds=seeds, stop_when_fooled=False)
    return x.clone()


def test_attacks_that_break_the_rules_are_left_out_and_named_and_the_rest_goes_on(digits, digits_sce):
    own = {"leaves": leaves_the_ball, "half": in_half_precision, "forgets": throws_its_best_away}
    few = Suite({"apgd-5 margin": partial(apgd, threat=THREAT, objective=margin, steps=5)})
    found, doubtful, _ = audited(digits_sce, digits, suites=[few], attacks=own)
    assert {"broken_rules", "silent_success"} <= doubtful
    assert set(found.evidence.broken_rules) == {"leaves", "half"}
    count, met = found.evidence.facts["lost"]["forgets"]
    assert 0 < count <= met
    assert found.verdict.number.count <= found.evidence.rows[0].num_robust
    assert "forgets alone" in [each.source for each in found.verdict.illusion]


def test_a_model_that_crashes_on_a_batch_is_judged_on_the_others_and_called_incomplete():
    model, x, y = linear_problem(3, count=40)
    x[13, 0, 0, 0] = 1.0

    def crashing(images):
        if (images[:, 0, 0, 0] > 0.99).any():
            raise RuntimeError("out of order")
        return model(images)

    few = Suite({"pgd": partial(pgd, threat=Linf(0.01), objective=margin, steps=3)})
    found = audit(crashing, (x, y), threat=Linf(0.01), suites=[few], batch_size=10, trial_images=10)
    assert found.verdict.number.total == 30
    assert found.evidence.rows[0].labels == [*y[:10].tolist(), *y[20:].tolist()]
    assert not found.verdict.complete
    crash = next(finding for finding in found.verdict.findings if finding.check == "crashes")
    assert "images 10 to 19 on clean images: RuntimeError: out of order" in crash.seen


@pytest.mark.slow
def test_until_decided_stops_where_the_verdict_is_shown_and_says_so():
    model, x, y = linear_problem(3, count=400)
    few = Suite({"pgd": partial(pgd, threat=Linf(0.9), objective=margin, steps=5)})
    found = audit(model, (x, y), threat=Linf(0.9), suites=[few], trial_images=10, until_decided=True)
    assert (found.verdict.robustness, found.verdict.number.total) == ("broken", 100)
    assert found.verdict.number == proportion(0, 100, "anytime")
    assert "stopped_early" in [finding.check for finding in found.verdict.findings]
    whole = audit(model, (x, y), threat=Linf(0.9), suites=[few], trial_images=10)
    assert whole.verdict.number.total == 400


def test_nothing_right_when_clean_is_nothing_to_audit():
    model, x, y = linear_problem(3)
    with pytest.raises(UserError, match="no image is classified rightly when clean"):
        audit(model, (x, (y + 1) % 3), threat=Linf(0.01), suites=["quick"])


@pytest.mark.slow
def test_the_published_form_has_what_it_promises(digits, digits_sce):
    few = Suite({"apgd-5 margin": partial(apgd, threat=THREAT, objective=margin, steps=5)})
    form = audited(digits_sce, digits, suites=[few])[0].to_json()
    assert form["schema"] == 1
    promised = {"number", "interval", "images", "clean", "reliability", "robustness", "illusion", "findings"}
    assert promised <= form["verdict"].keys()
    low, high = form["verdict"]["interval"]
    assert 0 <= low <= form["verdict"]["number"] <= high <= 1
    assert {"attacks", "trials", "facts", "weights_hash", "data_hash", "seed", "version"} <= form.keys()
    assert set(form["trials"]) == {
        "white box", "one step", "noise", "black box", "four budgets", "no limit", "longer"
    }  # fmt: skip


SMALL = Suite({"pgd": partial(pgd, threat=Linf(0.05), objective=margin, steps=5)})


def small_audit(model, split, **settings):
    return audit(model, split, **({"threat": Linf(0.05), "suites": [SMALL], "trial_images": 10} | settings))


def checks_of(found):
    return {finding.check for finding in found.verdict.findings}


@pytest.mark.slow
def test_what_only_the_longer_attacks_fell_is_counted_and_doubted(digits, digits_sce):
    blind = Suite({"pgd-20 cross_entropy": LIGHT.attacks["pgd-20 cross_entropy"]})
    saturated = Wrapped(digits_sce, lambda model, x: 1000 * model(x))
    found = audit(saturated, digits.test.first(120), threat=THREAT, suites=[blind], trial_images=40)
    assert "more_steps" in checks_of(found)
    assert found.verdict.number.count < found.evidence.rows[0].num_robust
    assert found.verdict.reliability == "doubtful"


class NoisyNorm(nn.Module):
    """A BatchNorm that no eval() reaches: it moves its statistics whenever it answers."""

    def __init__(self, model):
        super().__init__()
        self.model, self.norm = model, nn.BatchNorm2d(1)

    def train(self, mode=True):
        return self

    def forward(self, x):
        return self.model(self.norm(x))


@pytest.mark.slow
def test_a_model_that_moves_its_buffers_is_audited_and_put_back():
    model, x, y = linear_problem(3, count=40)
    moving = NoisyNorm(model)
    y, before = moving(x).argmax(dim=1), moving.norm.running_mean.clone()
    moving.norm.running_mean.copy_(before)
    found = audit(moving, (x, y), threat=Linf(0.05), suites=[SMALL], trial_images=10)
    assert {"training_mode"} <= checks_of(found)
    torch.testing.assert_close(moving.norm.running_mean, before)


@pytest.mark.slow
def test_several_suites_of_ones_own_are_told_apart_and_one_without_a_budget_is_refused():
    model, x, y = linear_problem(3, count=30)
    mine, auto = replace(SMALL, name="mine"), replace(SMALL, name="auto_fast")
    found = small_audit(model, (x, y), suites=[SMALL, mine, SMALL, mine, auto, "auto_fast"], attacks=SMALL.attacks)
    names = ["plain", "custom", "mine", "custom 2", "mine 2", "auto_fast 2", "auto_fast", "own"]
    assert list(dict.fromkeys(row.suite for row in found.evidence.rows)) == names
    with pytest.raises(UserError, match="suite minimum_norm knows no budget"):
        audit(model, (x, y), threat=Linf(0.05), suites=["minimum_norm"])
    with pytest.raises(UserError, match="an audit needs at least one"):
        audit(model, (x, y), threat=Linf(0.05), suites=[])


def test_each_suite_of_ones_own_may_be_an_illusion_and_attacks_beside_them_are_none_of_it():
    model, x, y = linear_problem(3, count=30)
    idle, strong = Suite({"idle": lambda model, x, y, seeds: x}), Suite(SMALL.attacks, name="strong")
    settings = {"threat": Linf(0.3), "suites": [idle, strong], "attacks": {"pgd": partial(pgd, threat=Linf(0.3))}}
    found = small_audit(model, (x, y), **settings)
    assert [(each.source, each.points) for each in found.verdict.illusion[:1]] == [("suite custom alone", 100.0)]
    assert "pgd alone" not in [each.source for each in found.verdict.illusion]


def raises(model, x, y, *, seeds=None):
    return {}[3]


def asks_wrongly(model, x, y, *, seeds=None):
    return model(x[..., 1:])


@pytest.mark.parametrize("attack", [raises, asks_wrongly])
@pytest.mark.parametrize("door", ["suites", "attacks"])
def test_an_attack_that_raises_is_named_and_left_out_by_whichever_door_it_came(door, attack):
    model, x, y = linear_problem(3, count=20)
    given = {"attacks": {"mine": attack}} if door == "attacks" else {"suites": Suite({"mine": attack} | SMALL.attacks)}
    found = small_audit(model, (x, y), **given)
    (said,) = found.evidence.raised.values()
    assert said == "mine raised KeyError: 3" or said.startswith("mine raised RuntimeError: mat1 and mat2 shapes")
    assert "attack_raised" in checks_of(found)
    assert not {"broken_rules", "crashes"} & checks_of(found)
    assert {row.attack for row in found.evidence.rows} == {"pgd-20 cross_entropy", "pgd"}
    assert found.verdict.number == small_audit(model, (x, y)).verdict.number


@pytest.mark.parametrize("door", ["suites", "attacks"])
def test_a_model_that_fails_under_an_attack_of_ones_own_is_no_fault_of_the_attack(door):
    model, x, y = linear_problem(3, count=20)
    x[13, 0, 0, 0] = 0.99

    def crashing(images):
        if (images[:, 0, 0, 0] >= 1).any():
            raise RuntimeError("out of order")
        return model(images)

    y, up = model(x).argmax(dim=1), {"up": lambda model, x, y, seeds: (model((x + 0.05).clamp(0, 1)), x)[1]}
    given = {"attacks": up, "suites": Suite({"idle": lambda model, x, y, seeds: x})}
    given = given if door == "attacks" else {"suites": Suite(up)}
    found = small_audit(crashing, (x, y), batch_size=5, **given)
    assert not found.evidence.raised
    assert found.evidence.crashes["10 attacked"] == "images 10 to 14 under attack: RuntimeError: out of order"
    assert found.verdict.number.total == 15


def test_a_suite_of_which_each_attack_fails_somewhere_ends_the_audit_in_one_line():
    model, x, y = linear_problem(3, count=150)

    def leaves(images):
        return lambda model, x, y, seeds: x + 0.3 * torch.isin(x[:, :1, :1, :1], images[:, 0, 0, 0])

    mixed, never = Suite({"late": leaves(x[100:]), "early": leaves(x[:100])}), Thresholds(robust=1.0, broken=1.0)
    with pytest.raises(UserError, match=r"no attack of a suite is left on all images: early left .*; late left "):
        small_audit(model, (x, y), suites=mixed, threat=Linf(1e-4), thresholds=never, until_decided=True)


class Unfeatured(Wrapped):
    def features(self, x):
        raise RuntimeError("no features today")


def test_what_could_not_be_measured_is_said():
    model, x, y = linear_problem(3, count=20)
    found = small_audit(Unfeatured(model, lambda model, x: model(x)), (x, y))
    said = "images 0 to 9 while adversarial examples were planted: RuntimeError: no features today"
    assert list(found.evidence.crashes.values()) == [said]
    assert not found.verdict.complete


@pytest.mark.slow
@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_a_budget_of_next_to_nothing_is_no_reason_for_doubt(eps):
    model, x, y = linear_problem(3, count=30, dtype=torch.float64)
    tiny = Suite({"pgd": partial(pgd, threat=Linf(eps), objective=margin, steps=5)})
    found = audit(model, (x, y), threat=Linf(eps), suites=[tiny], trial_images=10)
    assert found.verdict.reliability == "reliable", found.verdict.findings
    assert found.verdict.complete


def test_a_class_that_these_images_lack_is_not_a_refusal():
    model, x, y = linear_problem(10, count=60)
    few = y < 5
    found = audit(model, (x[few], y[few]), threat=Linf(0.05), suites=[SMALL], trial_images=10)
    assert "refusals" not in checks_of(found)


@pytest.mark.slow
def test_an_attack_of_a_suite_that_cheats_is_left_out_and_the_others_stay():
    model, x, y = linear_problem(3, count=30)
    mixed = Suite(dict(SMALL.attacks) | {"leaves": leaves_the_ball})
    found = audit(model, (x, y), threat=Linf(0.05), suites=[mixed], trial_images=10)
    assert set(found.evidence.broken_rules) == {"leaves"}
    assert [row.attack for row in found.evidence.rows] == ["pgd-20 cross_entropy", "pgd"]


@pytest.mark.slow
def test_changed_code_is_not_answered_from_the_journal_of_the_old(tmp_path):
    model, x, y = linear_problem(3, count=30)

    class Module(nn.Module):
        coarse = True

        def forward(self, x):
            return model((8 * x).round() / 8 if self.coarse else x)

    module, asked = Module(), {"threat": Linf(0.05), "suites": [SMALL], "trial_images": 10}
    audit(module, (x, y), journal=Journal(tmp_path), **asked)
    module.coarse = False
    again = audit(module, (x, y), journal=Journal(tmp_path), **asked)
    assert again.verdict.number == audit(module, (x, y), **asked).verdict.number


def test_facts_are_of_all_trial_images_and_never_of_more_than_a_batch_at_once():
    model, x, y = linear_problem(10, count=40)
    asked = []

    def watching(images):
        asked.append(len(images))
        return model(images)

    measures, facts = (facts_about, partial(under_attack, labels=set(range(10))), planted), {}
    for size in (7, 40):
        asked.clear()
        some = [measure(watching, x, y, Linf(0.05), batch_size=size) for measure in measures]
        facts[size] = {name: value for found in some for name, value in found.items()}
        assert max(asked) == max(size, 8)  # dependence on the batch needs one
    assert facts[7]["images"] == 40
    rounded = ("logit_gap", "detection", "batch_dependence")  # by the batch's own rounding
    exact = [{name: value for name, value in found.items() if name not in rounded} for found in facts.values()]
    assert exact[0] == exact[1]
    for name in rounded[:2]:
        assert facts[7][name] == pytest.approx(facts[40][name], abs=1e-4)
    small = audit(model, (x, y), threat=Linf(0.05), suites=[SMALL], trial_images=30, batch_size=7)
    assert small.evidence.facts["images"] == 30


def test_what_plain_pgd_says_is_known_whatever_suite_is_asked(tmp_path):
    model, x, y = linear_problem(3, count=30)
    blinded, run = Wrapped(model, lambda model, x: 1e6 * model(x)), {"threat": Linf(0.01), "trial_images": 10}
    found = audit(blinded, (x, y), suites="auto_fast", journal=Journal(tmp_path), **run)
    first = found.evidence.rows[0]
    assert (first.attack, first.suite, first.attempted) == ("pgd-20 cross_entropy", "plain", first.correct)
    assert found.verdict.illusion[0].source == "pgd-20 cross_entropy alone"
    assert "suite auto_fast alone" not in [each.source for each in found.verdict.illusion]
    assert found.to_json()["attacks"][0]["forwards"] == first.forwards > 0
    again = []
    audit(blinded, (x, y), suites="auto_fast", journal=Journal(tmp_path), progress=lambda *s: again.append(s), **run)
    assert not again


class NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(context, logits):
        return logits.clone()


def test_plain_pgd_is_not_run_twice_and_a_model_it_fails_on_is_judged_without():
    model, x, y = linear_problem(3, count=20)
    assert (
        sum(
            "cross_entropy" in row.attack
            for row in small_audit(model, (x, y), suites=[LIGHT], threat=THREAT).evidence.rows
        )
        == 2
    )

    idle = Suite({"idle": lambda model, x, y, seeds: x})
    rows = small_audit(lambda images: NoBackward.apply(model(images)), (x, y), suites=[idle]).evidence.rows
    assert [row.attack for row in rows] == ["idle"]


def weights_of(model):
    return next(each for each in model.modules() if isinstance(each, nn.Linear)).weight


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("door", ["suites", "attacks"])
def test_nothing_is_measured_of_a_model_whose_weights_an_attack_has_changed(door, raises):
    model, x, y = linear_problem(3, count=20)

    def retrains(model, x, y, *, seeds=None):
        weights_of(model).data.mul_(2)
        return x.tolist()["no list has keys"] if raises else x

    own = {"retrains": retrains}
    given = {"attacks": own} if door == "attacks" else {"suites": Suite(own | dict(SMALL.attacks))}
    with pytest.raises(ModelChanged, match="retrains changed the model's weights: load the model again"):
        small_audit(model, (x, y), **given)


def test_an_attack_is_left_out_by_its_own_name_and_not_by_the_beginning_of_anothers():
    model, x, y = linear_problem(3, count=20)
    mixed = Suite({"mine": SMALL.attacks["pgd"], "mine-2": leaves_the_ball})
    found = small_audit(model, (x, y), suites=mixed)
    assert set(found.evidence.broken_rules) == {"mine-2"}
    assert [row.attack for row in found.evidence.rows] == ["pgd-20 cross_entropy", "mine"]


def hands_back_in_another_order(model, x, y, *, seeds=None):
    return pgd(model, x, y, threat=Linf(0.1), steps=10, seeds=seeds, stop_when_fooled=False).roll(1, dims=0)


@pytest.mark.parametrize("attack", [throws_its_best_away, hands_back_in_another_order])
def test_a_suite_of_ones_own_is_watched_too_and_after_a_kill_what_it_lost_is_known(attack, tmp_path):
    model, x, y = linear_problem(3, count=30)
    settings = {"suites": Suite({"forgets": attack}), "threat": Linf(0.3), "batch_size": 15}
    for journal in (None, Journal(tmp_path), Journal(tmp_path)):
        found = small_audit(model, (x, y), journal=journal, **settings)
        assert "silent_success" in checks_of(found)
        count, met = found.evidence.facts["lost"]["forgets"]
        assert 0 < count <= met == 30
        assert len(found.evidence.facts["lost_images"]) == count
        assert sum(worst_case(found.evidence.rows)) <= 30 - found.verdict.number.count


def test_a_batch_handed_back_in_another_order_leaves_the_balls_of_its_images():
    model, _, _ = linear_problem(3)
    x = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    suite = Suite({"rolled": hands_back_in_another_order, "pgd": SMALL.attacks["pgd"]})
    found = small_audit(model, (x, model(x).argmax(dim=1)), suites=suite, threat=Linf(0.1))
    assert set(found.evidence.broken_rules) == {"rolled"}


def test_what_a_model_that_answers_by_chance_let_slip_is_not_held_against_the_attack():
    model, x, y = linear_problem(3, count=20)
    noisy = Wrapped(model, lambda model, x: model(x) + 0.3 * torch.randn(len(x), 3))
    found = small_audit(noisy, (x, y), attacks={"forgets": throws_its_best_away})
    assert "random_answers" in checks_of(found)
    assert "lost" not in found.evidence.facts


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda logits: logits * torch.nan, "the model gives NaN or infinite logits"),
        (lambda logits: logits.index_fill(1, torch.tensor([2]), -torch.inf), "the model gives NaN or infinite logits"),
        (lambda logits: logits * 0 + torch.tensor([0.0, 0.0, 5.0]), "the model gives every image the same logits"),
    ],
)
def test_nothing_right_when_clean_comes_with_the_signs_of_why(answer, says):
    model, x, y = linear_problem(3, count=20)
    with pytest.raises(UserError, match=rf"no robustness to audit \({says}"):
        small_audit(Wrapped(model, lambda model, x: answer(model(x))), (x[y != 2], y[y != 2]))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"trial_images": 0}, "trial_images must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"suites": Suite({})}, "the suite has no attack"),
        ({"suites": ["quick", "best"]}, "unknown suite 'best'"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(settings, says):
    model, x, y = linear_problem(3, count=10)
    ran = []
    with pytest.raises(UserError, match=says):
        small_audit(model, (x, y), progress=lambda *step: ran.append(step), **settings)
    assert not ran


def test_a_model_that_returns_more_than_logits_is_refused_in_one_line():
    model, x, y = linear_problem(3, count=10)
    with pytest.raises(UserError, match=r"the model must return logits \(batch, classes\), got tuple"):
        small_audit(lambda images: (model(images), images), (x, y))


@pytest.mark.parametrize("size", [1, 3])
def test_small_batches_hide_neither_neighbours_nor_constant_logits(size):
    model, x, y = linear_problem(3, count=12)
    leaning = facts_about(lambda images: model(images - images.mean(dim=0)), x, y, Linf(0.05), batch_size=size)
    assert CHECKS["batch_dependence"](Evidence([], facts=leaning)) is not None
    constant = facts_about(lambda images: model(images) * 0, x, y, Linf(0.05), batch_size=size)
    assert CHECKS["constant"](Evidence([], facts=constant)) is not None
    alone = facts_about(model, x, y, Linf(0.05), batch_size=size)
    assert not {CHECKS[name](Evidence([], facts=alone)) for name in ("batch_dependence", "constant")} - {None}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_model_of_another_float_type_is_audited_with_images_cast_for_it(dtype, digits, digits_sce):
    few, model = digits.test.first(60), copy.deepcopy(digits_sce)
    plain = small_audit(digits_sce, few)
    found = small_audit(model.to(dtype), few)
    assert found.verdict.complete
    assert found.verdict.number.count == pytest.approx(plain.verdict.number.count, abs=3)
    assert found.evidence.rows[0].weights_hash == weights_hash(model)
    assert max(found.evidence.rows[0].size) <= 0.05 + 1e-6


def test_arrays_are_images_and_labels_too():
    model, x, y = linear_problem(3, count=12)
    found = small_audit(model, (x.double().numpy(), y.numpy()))
    assert found.verdict.number == small_audit(model, (x, y)).verdict.number


@pytest.mark.slow
def test_an_attack_that_cheats_only_later_is_left_out_of_all_that_came_before():
    model, x, y = linear_problem(3, count=150)
    late = x[120, 0, 0, 0]

    def cheats_late(model, x, y, *, seeds=None):
        return x + 0.3 * (x[:, 0, 0, 0] == late).view(-1, 1, 1, 1)

    mixed = Suite({"late": cheats_late, "idle": lambda model, x, y, seeds: x})
    never = Thresholds(robust=1.0, broken=1.0)
    found = small_audit(model, (x, y), suites=mixed, threat=Linf(0.0001), thresholds=never, until_decided=True)
    assert set(found.evidence.broken_rules) == {"late"}
    assert [(row.attack, row.num_images) for row in found.evidence.rows] == [
        ("pgd-20 cross_entropy", 150), ("idle", 150)
    ]  # fmt: skip
