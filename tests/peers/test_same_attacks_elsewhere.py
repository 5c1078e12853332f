"""Our gradient attacks beside those of torchattacks and foolbox: equal settings, no random start, the same images."""

import pytest
import torch

from max_mahalanobis.attacks import bim, fgsm, is_fooled, margin, mim, own_distance, pgd
from max_mahalanobis.threats import L2, Linf

pytestmark = pytest.mark.peers

STEPS = 10
VICTIMS = pytest.mark.parametrize("victim", ["linear", "mlp", "cnn"], indirect=True)
OURS = {"fgsm": fgsm, "bim": bim, "pgd": pgd, "mim": mim}

TORCHATTACKS = {
    ("fgsm", Linf): lambda lib, model, eps, step: lib.FGSM(model, eps=eps),
    ("bim", Linf): lambda lib, model, eps, step: lib.BIM(model, eps=eps, alpha=step, steps=STEPS),
    ("mim", Linf): lambda lib, model, eps, step: lib.MIFGSM(model, eps=eps, alpha=step, steps=STEPS, decay=1.0),
    ("pgd", Linf): lambda lib, model, eps, step: lib.PGD(model, eps=eps, alpha=step, steps=STEPS, random_start=False),
    # its 1e-10 beside the length of a batch-averaged gradient shortens the steps of confident images: not ours to match
    ("pgd", L2): lambda lib, model, eps, step: lib.PGDL2(
        model, eps=eps, alpha=step, steps=STEPS, random_start=False, eps_for_division=1e-30
    ),
}
# No mim: foolbox adds up signs (Linf) or gradients of L2 length 1, Dong et al. gradients over their L1 length.
FOOLBOX = {
    ("fgsm", Linf): "LinfFastGradientAttack",
    ("fgsm", L2): "L2FastGradientAttack",
    ("bim", Linf): "LinfBasicIterativeAttack",
    ("bim", L2): "L2BasicIterativeAttack",
    ("pgd", Linf): "LinfProjectedGradientDescentAttack",
    ("pgd", L2): "L2ProjectedGradientDescentAttack",
}


@VICTIMS
@pytest.mark.parametrize(("name", "threat"), [pytest.param(*k, id=f"{k[0]}-{k[1].__name__}") for k in TORCHATTACKS])
def test_we_agree_with_torchattacks(torchattacks, victim, name, threat):
    eps = victim.budgets[threat]
    theirs = TORCHATTACKS[name, threat](torchattacks, victim.model, eps, eps / 4)(victim.x, victim.y)
    assert_agreement(name, threat, victim, theirs)


@VICTIMS
@pytest.mark.parametrize(("name", "threat"), [pytest.param(*k, id=f"{k[0]}-{k[1].__name__}") for k in FOOLBOX])
def test_we_agree_with_foolbox(foolbox, victim, name, threat):
    eps = victim.budgets[threat]
    settings = {} if name == "fgsm" else {"abs_stepsize": eps / 4, "steps": STEPS}
    attack = getattr(foolbox.attacks, FOOLBOX[name, threat])(random_start=False, **settings)
    assert_agreement(name, threat, victim, attack.run(wrapped(foolbox, victim), victim.x, victim.y, epsilon=eps))


@VICTIMS
def test_we_agree_with_torchattacks_on_images_aimed_at_a_class(torchattacks, victim):
    eps, targets = victim.budgets[Linf], (victim.y + 1) % 10
    attack = TORCHATTACKS["pgd", Linf](torchattacks, victim.model, eps, eps / 4)
    attack.set_mode_targeted_by_label(quiet=True)
    ours = attacked("pgd", Linf, victim, targets=targets, stop_when_fooled=False)
    assert share_equal(ours, attack(victim.x, targets)) >= 0.95


@VICTIMS
@pytest.mark.parametrize("threat", [Linf, L2])
def test_we_agree_with_foolbox_on_images_aimed_at_a_class(foolbox, victim, threat):
    eps, targets = victim.budgets[threat], (victim.y + 1) % 10
    attack_class = getattr(foolbox.attacks, FOOLBOX["pgd", threat])
    attack = attack_class(random_start=False, abs_stepsize=eps / 4, steps=STEPS)
    criterion = foolbox.criteria.TargetedMisclassification(targets)
    theirs = attack.run(wrapped(foolbox, victim), victim.x, criterion, epsilon=eps)
    ours = attacked("pgd", threat, victim, targets=targets, stop_when_fooled=False)
    assert share_equal(ours, theirs) >= 0.95


def to_own_center(model, x, y):
    return (model.features(x) - model.head.centers[y]).square().sum(dim=1)


def lead_of_the_nearest_other_center(model, x, y):
    distances = (model.features(x)[:, None] - model.head.centers).square().sum(dim=2)
    own = distances.gather(1, y[:, None]).squeeze(1)
    return own - distances.scatter(1, y[:, None], torch.inf).amin(dim=1)


@pytest.mark.parametrize("victim", ["mmc"], indirect=True)
@pytest.mark.parametrize("threat", [Linf, L2])
@pytest.mark.parametrize(
    ("objective", "by_hand"), [(own_distance, to_own_center), (margin, lead_of_the_nearest_other_center)]
)
def test_our_objectives_do_what_foolbox_does_with_the_formula(foolbox, victim, threat, objective, by_hand):
    eagerpy = pytest.importorskip("eagerpy")

    class WithFormula(getattr(foolbox.attacks, FOOLBOX["pgd", threat])):
        def get_loss_fn(self, model, labels):
            return lambda inputs: eagerpy.astensor(by_hand(victim.model, inputs.raw, labels.raw).sum())

    eps = victim.budgets[threat]
    attack = WithFormula(random_start=False, abs_stepsize=eps / 4, steps=STEPS)
    theirs = attack.run(wrapped(foolbox, victim), victim.x, victim.y, epsilon=eps)
    ours = attacked("pgd", threat, victim, objective=objective, stop_when_fooled=False)
    assert share_equal(ours, theirs) >= 0.95
    assert abs(robust_accuracy(victim, ours) - robust_accuracy(victim, theirs)) <= 0.005


@pytest.mark.parametrize("victim", ["mmc"], indirect=True)
def test_a_saturated_softmax_gives_us_and_foolbox_the_same_signs(foolbox, victim):
    assert share_equal(*on_saturated_softmax(foolbox, victim, Linf)) >= 0.95


@pytest.mark.parametrize("victim", ["mmc"], indirect=True)
def test_a_saturated_softmax_stops_foolbox_in_l2_where_we_still_climb(foolbox, victim):
    """foolbox divides a gradient by no less than 1e-12; cross-entropy on MMC logits has far shorter ones."""
    ours, theirs = on_saturated_softmax(foolbox, victim, L2)
    assert robust_accuracy(victim, ours) < robust_accuracy(victim, theirs)


def on_saturated_softmax(foolbox, victim, threat):
    attack_class = getattr(foolbox.attacks, FOOLBOX["pgd", threat])
    eps = victim.budgets[threat]
    attack = attack_class(random_start=False, abs_stepsize=eps / 4, steps=STEPS)
    theirs = attack.run(wrapped(foolbox, victim), victim.x, victim.y, epsilon=eps)
    return attacked("pgd", threat, victim, stop_when_fooled=False), theirs


def assert_agreement(name, threat, victim, theirs):
    """Image by image where all images take all steps; in robust accuracy where fooled ones leave."""
    assert len(victim.x) >= 400
    peer = robust_accuracy(victim, theirs)
    assert 0.2 <= peer <= 0.8, "a budget at which most images hold or fall shows little"
    kept = attacked(name, threat, victim, stop_when_fooled=False)
    leaving = attacked(name, threat, victim)
    assert share_equal(kept, theirs) >= 0.95
    assert abs(robust_accuracy(victim, kept) - peer) <= 0.005
    assert abs(robust_accuracy(victim, leaving) - peer) <= 0.005


def attacked(name, threat, victim, **settings):
    eps = victim.budgets[threat]
    if name != "fgsm":
        settings |= {"steps": STEPS, "step_size": eps / 4}
    if name == "pgd":
        settings["random_start"] = False
    return OURS[name](victim.model, victim.x, victim.y, threat=threat(eps), **settings)


def robust_accuracy(victim, x_adv) -> float:
    with torch.no_grad():
        return 1 - is_fooled(victim.model(x_adv), victim.y).double().mean().item()


def share_equal(ours, theirs) -> float:
    """Share of images that differ by no more than rounding."""
    return ((ours - theirs).flatten(1).abs().amax(dim=1) <= 1e-5).double().mean().item()


def wrapped(foolbox, victim):
    return foolbox.PyTorchModel(victim.model, bounds=(0, 1), device="cpu")
