import subprocess
import sys

import pytest

from max_mahalanobis.data.catalogue import SOURCES, default_eps
from max_mahalanobis.errors import UserError


def test_every_set_has_as_many_class_names_as_classes():
    expected = {"digits": 10, "mnist": 10, "fashion-mnist": 10, "cifar10": 10, "cifar100": 100}
    assert {name: len(set(source.class_names)) for name, source in SOURCES.items()} == expected


def test_every_published_file_has_a_hash_of_the_right_length():
    digits = {"md5": 32, "sha1": 40, "sha256": 64}
    for source in SOURCES.values():
        for layout in source.layouts:
            for file in (*layout.files, *([source.archive] if source.archive else [])):
                algorithm, _, value = file.hash.partition(":")
                assert len(value) == digits[algorithm], file


@pytest.mark.parametrize(
    ("data", "threat", "eps"),
    [
        ("digits", "linf", 0.1),
        ("mnist", "Linf", 0.3),
        ("fashion-mnist", "linf", 0.1),
        ("cifar100", "linf", 8 / 255),
        ("mine.npz", "linf", 8 / 255),
        ("mnist", "L2", 2.0),
        ("fashion-mnist", "l2", 1.5),
        ("mine.npz", "l2", 0.5),
    ],
)
def test_usual_budget(data, threat, eps):
    assert default_eps(data, threat) == eps


def test_an_unknown_threat_lists_the_choices():
    with pytest.raises(UserError, match="threat L1 has no usual budget: give one with --eps"):
        default_eps("mnist", "L1")


def test_the_catalogue_loads_without_torch():
    code = "import sys; from max_mahalanobis.data import SOURCES, default_eps; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
