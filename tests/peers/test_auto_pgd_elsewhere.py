"""Our APGD beside the authors' own, in AutoAttack's packaged form: the same images, budgets and starting points."""

from pathlib import Path

import pytest
import torch

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.auto_pgd import apgd
from max_mahalanobis.attacks.objectives import cross_entropy, dlr
from max_mahalanobis.data import load_dataset
from max_mahalanobis.draws import derive
from max_mahalanobis.runs import load_classifier, open_run
from max_mahalanobis.threats import L1, L2, Linf
from max_mahalanobis.types import as_pixels

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:there are .* points with zero gradient"),  # the reference says so of DLR
]

STEPS = 100
OBJECTIVES = pytest.mark.parametrize(("objective", "loss"), [(cross_entropy, "ce"), (dlr, "dlr")])
VICTIMS = pytest.mark.parametrize("victim", ["linear", "mlp", "cnn"], indirect=True)
RUNS = Path(__file__).parents[2] / "runs"


@pytest.fixture(scope="session")
def autopgd():
    return pytest.importorskip("pyautoattack.autopgd_base", reason="pyautoattack is not installed: make peers")


@VICTIMS
@OBJECTIVES
@pytest.mark.parametrize("threat", [Linf, L2])
def test_from_the_same_starting_points_we_agree_with_the_authors(autopgd, victim, objective, loss, threat):
    model, x, y, budgets = victim
    assert len(x) >= 400
    threat = threat(budgets[threat])
    theirs = authors_attack(autopgd, model, threat, loss)
    theirs.init_hyperparam(x)
    start = threat.sample(x, derive(torch.arange(len(x)), 0))
    _, holds, _, _ = theirs.attack_single_run(x, y, x_init=start)
    assert 0.1 <= holds.double().mean() <= 0.9, "a budget at which most images hold or fall shows little"
    for stop_when_fooled in (True, False):
        settings = {"objective": objective, "steps": STEPS, "stop_when_fooled": stop_when_fooled}
        ours = ~is_fooled(model(apgd(model, x, y, threat=threat, **settings)), y)
        assert (ours == holds.bool()).double().mean() >= 0.99
        assert (ours.double().mean() - holds.double().mean()) <= 0.005


@VICTIMS
@OBJECTIVES
def test_in_l1_with_larger_radii_we_are_no_weaker_than_the_authors(autopgd, victim, objective, loss):
    model, x, y, budgets = victim
    threat = L1(4 * budgets[L2])
    theirs = robust_accuracy(model, authors_attack(autopgd, model, threat, loss).perturb(x, y), y)
    assert 0.1 <= theirs <= 0.9, "a budget at which most images hold or fall shows little"
    ours = robust_accuracy(model, apgd(model, x, y, threat=threat, objective=objective, steps=STEPS), y)
    assert ours - theirs <= 0.005


@pytest.mark.parametrize(("run", "eps", "count"), [("mnist-mmc", 0.08, 100), ("mnist-at-sce-tuned", 0.32, 60)])
def test_over_all_targets_we_are_no_weaker_than_the_authors_on_mnist(autopgd, real_data, run, eps, count):
    if not (RUNS / run).exists():
        pytest.skip(f"no trained model at {RUNS / run}")
    model = load_classifier(open_run(RUNS / run)).eval().requires_grad_(False)
    test = load_dataset("mnist", data_dir=real_data).test.first(count)
    x, y = as_pixels(test.images), test.labels
    theirs = authors_attack(autopgd, model, Linf(eps), "dlr", targeted=True).perturb(x, y)
    ours = toward_each_rival(model, x, y, threat=Linf(eps), objective=dlr, steps=STEPS)
    assert robust_accuracy(model, ours, y) - robust_accuracy(model, theirs, y) <= 0.005
    assert Linf(eps).allows(ours, x).all()


@pytest.mark.parametrize("victim", ["mmc"], indirect=True)
@pytest.mark.parametrize("threat", [Linf, L2])
def test_a_saturated_cross_entropy_stops_the_authors_code_where_we_still_climb(autopgd, victim, threat):
    model, x, y, budgets = victim
    threat = threat(budgets[threat])
    theirs = robust_accuracy(model, authors_attack(autopgd, model, threat, "ce").perturb(x, y), y)
    assert robust_accuracy(model, apgd(model, x, y, threat=threat, steps=STEPS), y) < theirs - 0.02


def authors_attack(autopgd, model, threat, loss, *, targeted: bool = False):
    settings = {"n_iter": STEPS, "norm": threat.name, "eps": threat.eps, "device": "cpu"}
    settings["use_largereps"] = isinstance(threat, L1)
    if targeted:
        return autopgd.APGDAttack_targeted(model, n_target_classes=9, **settings)
    return autopgd.APGDAttack(model, loss=loss, **settings)


def toward_each_rival(model, x, y, **settings):
    """Aimed at each wrong class in turn, the likeliest first; an image leaves with the first that fools."""
    x_adv = x.clone()
    with torch.no_grad():
        rivals = model(x).scatter(1, y[:, None], -torch.inf).argsort(dim=1, descending=True)[:, :-1]
    for order, targets in enumerate(rivals.T):
        held = (~is_fooled(model(x_adv), y)).nonzero().squeeze(1)
        seeds = derive(held, order)
        x_adv[held] = apgd(model, x[held], y[held], targets=targets[held], seeds=seeds, **settings)
    return x_adv


def robust_accuracy(model, x_adv, y) -> float:
    with torch.no_grad():
        return 1 - is_fooled(model(x_adv), y).double().mean().item()
