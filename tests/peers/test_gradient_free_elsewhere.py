"""Our gradient-free attacks beside those of pyautoattack, torchattacks and foolbox: equal settings, the same images."""

from pathlib import Path

import pytest
import torch
from torch import nn

from max_mahalanobis.attacks import is_fooled
from max_mahalanobis.attacks.gradient_free.spsa import spsa
from max_mahalanobis.attacks.gradient_free.square import square
from max_mahalanobis.attacks.transformations import rotation_translation
from max_mahalanobis.data import load_dataset
from max_mahalanobis.runs import load_classifier, open_run
from max_mahalanobis.threats import L1, L2, Linf

pytestmark = pytest.mark.peers

RUN = Path(__file__).parents[2] / "runs" / "mnist-at-sce-tuned"
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def robust(real_data):
    """An adversarially trained MNIST network and the first 100 images it classifies rightly."""
    if not (RUN / "weights.safetensors").is_file():
        pytest.skip(f"no trained network at {RUN}")
    model = load_classifier(open_run(RUN)).eval().requires_grad_(False)
    split = load_dataset("mnist", data_dir=real_data).test.first(150)
    x, y = split.images.float() / 255, split.labels
    right = (~is_fooled(model(x), y)).nonzero().squeeze(1)[:100]
    return model, x[right], y[right]


def accuracy(model, x_adv, y):
    return (~is_fooled(model(x_adv), y)).double().mean().item() * 100


def assert_not_weaker(ours, theirs):
    """In mean robust accuracy over the seeds: by half a point, or by the spread of the reference where that is more."""
    spread = max(theirs) - min(theirs)
    assert sum(ours) / len(ours) <= sum(theirs) / len(theirs) + max(0.5, spread), (ours, theirs)


def squares(model, x, y, threat, queries):
    reference = pytest.importorskip("pyautoattack.square", reason="pyautoattack is not installed")
    ours, theirs = [], []
    for seed in SEEDS:
        settings = {"norm": threat.name, "eps": threat.eps, "n_queries": queries, "seed": seed, "p_init": 0.8}
        attack = reference.SquareAttack(model, resc_schedule=False, **settings)
        theirs.append(accuracy(model, attack.perturb(x, y), y))
        seeds = torch.arange(len(x)) + 1000 * seed
        ours.append(accuracy(model, square(model, x, y, threat=threat, queries=queries + 1, seeds=seeds), y))
    return ours, theirs


def test_square_is_not_weaker_than_pyautoattack_on_a_robust_network(robust):
    assert_not_weaker(*squares(*robust, Linf(0.3), 1000))


@pytest.mark.parametrize("threat", [L2(2.0), L1(12.0)], ids=str)
def test_square_is_within_five_points_of_pyautoattack_in_other_norms(robust, threat):
    # Known: over 7 seeds ours leaves 2.6 points more standing in both norms (L2: 82.3 to 79.7, L1: 65.9 to 63.3). Our
    # squares also visit the last row and column, which MNIST leaves black; with positions one short, as theirs, it is
    # 80.1 and 64.7. On digits, whose last row and column matter, the same difference makes ours stronger.
    ours, theirs = squares(*robust, threat, 300)
    assert sum(ours) / len(ours) <= sum(theirs) / len(theirs) + 5, (ours, theirs)


@pytest.mark.parametrize("victim", ["mlp", "cnn"], indirect=True)
@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5), L1(1.5)], ids=str)
def test_square_is_not_weaker_than_pyautoattack_on_digits(victim, threat):
    assert_not_weaker(*squares(victim.model, victim.x, victim.y, threat, 300))


class Bare(nn.Module):
    """A plain module around the network: torchattacks asks for the device of a parameter."""

    def __init__(self, model):
        super().__init__()
        self.model, self.device = model, nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize("victim", ["mlp", "cnn"], indirect=True)
def test_spsa_is_not_weaker_than_torchattacks(torchattacks, victim):
    x, y, eps = victim.x[:100], victim.y[:100], 0.1
    ours, theirs = [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        attack = torchattacks.SPSA(Bare(victim.model), eps=eps, delta=0.01, lr=0.02, nb_iter=10, nb_sample=64)
        theirs.append(accuracy(victim.model, attack(x, y), y))
        settings = {"steps": 10, "samples": 64, "delta": 0.01, "learning_rate": 0.02}
        seeds = torch.arange(100) + 1000 * seed
        ours.append(accuracy(victim.model, spsa(victim.model, x, y, threat=Linf(eps), seeds=seeds, **settings), y))
    assert_not_weaker(ours, theirs)


@pytest.mark.parametrize("victim", ["mlp", "cnn"], indirect=True)
@pytest.mark.parametrize(("degrees", "shift"), [(30, 0.0), (0, 0.35)])
def test_the_grids_of_rotations_and_of_shifts_fool_as_many_as_those_of_foolbox(foolbox, victim, degrees, shift):
    # one at a time: foolbox moves first and turns then; its pixel is (side - 1) / side of one
    count = 5 if shift else 1
    side = victim.x.shape[3]
    theirs = {"max_translation": shift * side / (side - 1), "max_rotation": degrees, "num_translations": count}
    attack = foolbox.attacks.SpatialAttack(num_rotations=7 if degrees else 1, **theirs)
    _, _, fooled = attack(foolbox.PyTorchModel(victim.model, bounds=(0, 1), device="cpu"), victim.x, victim.y)
    grid = {"max_shift": shift, "shifts": count, "max_degrees": degrees, "angles": 7 if degrees else 1}
    mine = rotation_translation(victim.model, victim.x, victim.y, threat=Linf(1.0), **grid)
    expected = 100 * (1 - fooled.double().mean().item())
    assert 5 < expected < 95, "the comparison says nothing where all or none are fooled"
    assert abs(accuracy(victim.model, mine, victim.y) - expected) <= 0.3
