"""FAB, DeepFool, DDN and FMN beside pyautoattack, foolbox, torchattacks and ART: equal settings, the same images."""

from pathlib import Path

import pytest
import torch

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.minimum_norm.ddn import ddn
from max_mahalanobis.attacks.minimum_norm.deep_fool import deepfool
from max_mahalanobis.attacks.minimum_norm.fab import fab
from max_mahalanobis.attacks.minimum_norm.fmn import fmn
from max_mahalanobis.data import load_dataset
from max_mahalanobis.runs import load_classifier, open_run
from max_mahalanobis.threats import L1, L2, Linf
from max_mahalanobis.types import as_pixels

pytestmark = pytest.mark.peers

RUNS = Path(__file__).parents[2] / "runs"
VICTIMS = pytest.mark.parametrize("victim", ["mlp", "cnn", "mmc"], indirect=True)
STEPS = 100


def median_size(victim, x_adv, norm):
    """Of all images, an image that is not fooled counting as infinitely far."""
    with torch.no_grad():
        fooled = is_fooled(victim.model(x_adv), victim.y)
    return norm.unlimited(64).size(x_adv - victim.x).where(fooled, torch.inf).median().item()


def assert_no_larger(ours, theirs, victim, norm):
    sizes = median_size(victim, ours, norm), median_size(victim, theirs, norm)
    print(f"{norm.__name__}: ours {sizes[0]:.5f}, theirs {sizes[1]:.5f}")
    assert sizes[0] <= 1.02 * sizes[1]


def foolbox_run(foolbox, victim, name, **settings):
    model = foolbox.PyTorchModel(victim.model, bounds=(0, 1), device="cpu")
    attack = getattr(foolbox.attacks, name)(**settings)
    return attack.run(model, victim.x, foolbox.criteria.Misclassification(victim.y))


@VICTIMS
def test_ddn_finds_no_larger_perturbations_than_foolbox(foolbox, victim):
    theirs = foolbox_run(foolbox, victim, "DDNAttack", init_epsilon=1.0, steps=STEPS, gamma=0.05)
    ours = ddn(victim.model, victim.x, victim.y, threat=L2.unlimited(64), steps=STEPS)
    assert_no_larger(ours, theirs, victim, L2)


@VICTIMS
@pytest.mark.parametrize("norm", [Linf, L2, L1])
def test_fmn_finds_no_larger_perturbations_than_foolbox(foolbox, victim, norm):
    theirs = foolbox_run(foolbox, victim, "LInfFMNAttack" if norm is Linf else f"{norm.__name__}FMNAttack", steps=STEPS)
    ours = fmn(victim.model, victim.x, victim.y, threat=norm.unlimited(64), steps=STEPS)
    assert_no_larger(ours, theirs, victim, norm)


@VICTIMS
@pytest.mark.parametrize("norm", [Linf, L2])
def test_deepfool_finds_no_larger_perturbations_than_foolbox(foolbox, victim, norm):
    theirs = foolbox_run(foolbox, victim, f"{norm.__name__}DeepFoolAttack", steps=50, candidates=10, overshoot=0.02)
    assert_no_larger(deepfool(victim.model, victim.x, victim.y, threat=norm.unlimited(64)), theirs, victim, norm)


@VICTIMS
def test_deepfool_finds_no_larger_perturbations_than_torchattacks_and_art(torchattacks, victim):
    evasion = pytest.importorskip("art.attacks.evasion")
    estimators = pytest.importorskip("art.estimators.classification")
    few = victim._replace(x=victim.x[:100], y=victim.y[:100])  # both go image by image
    ours = deepfool(few.model, few.x, few.y, threat=L2.unlimited(64))
    assert_no_larger(ours, torchattacks.DeepFool(few.model, steps=50, overshoot=0.02)(few.x, few.y), few, L2)
    wrapped = estimators.PyTorchClassifier(
        few.model, loss=torch.nn.CrossEntropyLoss(), input_shape=few.x.shape[1:], nb_classes=10, clip_values=(0, 1)
    )
    attack = evasion.DeepFool(wrapped, max_iter=50, epsilon=0.02, nb_grads=10, batch_size=100, verbose=False)
    assert_no_larger(ours, torch.from_numpy(attack.generate(few.x.numpy(), few.y.numpy())), few, L2)


@pytest.mark.parametrize("run", ["mnist-at-sce-tuned", "mnist-mmc"])
def test_fab_aimed_at_nine_classes_leaves_no_more_than_autoattack_does(real_data, run):
    pyautoattack = pytest.importorskip("pyautoattack")
    if not (RUNS / run).is_dir():
        pytest.skip(f"no trained model at {RUNS / run}")
    model = load_classifier(open_run(RUNS / run)).eval().requires_grad_(False)
    split = load_dataset("mnist", data_dir=real_data).test.first(100)
    x, y, threat = as_pixels(split.images), split.labels, Linf(0.3)
    with torch.no_grad():
        ranked = model(x).argsort(dim=1, descending=True)
    held = (ranked[:, 0] == y).nonzero().squeeze(1)
    judge = pyautoattack.AutoAttack(model, eps=0.3, norm="Linf", version="standard")
    judge.attacks_to_run, judge.verbose = ["fab-t"], False
    theirs = judge.run_standard_evaluation(x[held], y[held], batch_size=100)
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    with torch.no_grad():
        left_by_them = int((~is_fooled(model(theirs), y[held])).sum())
    for rank in range(1, 10):
        targets, settings = ranked[held, rank], {"threat": threat, "stop_when_fooled": True}
        x_adv = fab(model, x[held], y[held], targets=targets, **settings)
        assert threat.allows(x_adv, x[held]).all()
        with torch.no_grad():
            held = held[~is_fooled(model(x_adv), y[held])]
    print(f"{run}: ours leaves {len(held)}, theirs {left_by_them}")
    assert len(held) <= left_by_them + 0.005 * len(x)
