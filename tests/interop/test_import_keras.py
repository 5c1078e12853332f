"""The command `mmc import-keras`, as users run it."""

import shutil
import sys
import tomllib
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from commands import drive
from data.miniatures import random_bytes
from interop.keras_writing import layers_of, write

from max_mahalanobis.errors import UserError
from max_mahalanobis.interop import read_keras
from max_mahalanobis.models import build
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.results import read_results
from max_mahalanobis.runs import load_classifier, open_run

needs_h5py = pytest.mark.skipif(find_spec("h5py") is None, reason="h5py is not installed: pip install -e '.[interop]'")
COMMANDS = (
    "import-keras model.180.h5 --data mine.npz --out authors --norm 5 --adversary untargeted",
    "evaluate authors --images 8 --eps 8/255 --quiet",
    "evaluate authors --images 1 --split validation",
    "train --out authors --resume",
    "import-keras model.180.h5 --data mine.npz --out authors",
    "import-keras model.180.h5 --data mine.npz --out authors --norm 5 --adversary untargeted --overwrite",
    "import-keras model.180.h5 --data mine.npz --out other --depth-n 2",
    "import-keras cut.h5 --data mine.npz --out other",
    "import-keras absent.h5 --data mine.npz --out other",
    "import-keras model.180.h5 --data mine.npz --out other --norm 0",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    x, y = random_bytes(24, 8, 8, 3), np.arange(24) % 3
    np.savez(folder / "mine.npz", x_train=x, y_train=y, x_test=x[:12], y_test=y[:12])
    write(folder / "model.180.h5", layers_of(network(folder)))
    shutil.copy(folder / "model.180.h5", folder / "cut.h5")
    with open(folder / "cut.h5", "r+b") as file:
        file.truncate(20_000)
    return folder


@pytest.fixture(scope="module")
def done(folder):
    return dict(zip(COMMANDS, drive(folder, [words.split() for words in COMMANDS]), strict=True))


def network(folder):
    x = torch.from_numpy(np.load(folder / "mine.npz")["x_train"]).permute(0, 3, 1, 2)
    mean = (x.double() / 255).mean(dim=0).float()
    recipe = Recipe(data="mine.npz", model="resnet_v2", blocks=1, dim=6, norm=5.0)
    return build(recipe, (3, 8, 8), 3, mean=mean).eval()


@needs_h5py
def test_an_imported_run_is_evaluated_as_any_other(done, folder):
    made, evaluated = (done[words] for words in COMMANDS[:2])
    assert (made["code"], made["err"]) == (0, "")
    assert made["out"] == (
        "imported model.180.h5 into authors: resnet_v2 with n = 1, 6 features, 296,390 parameters, head mmc\n"
    )
    assert (evaluated["code"], evaluated["err"]) == (0, "")
    assert "authors" in evaluated["out"]
    assert read_results(folder / "authors" / "results.jsonl") == []  # the import with --overwrite came after


@needs_h5py
def test_an_imported_run_gives_back_the_classifier_of_the_file(done, folder):
    found, x = load_classifier(open_run(folder / "authors")), torch.rand(4, 3, 8, 8)
    torch.testing.assert_close(found(x), network(folder)(x))


@needs_h5py
def test_validation_images_are_said_to_be_training_images_of_the_authors(done):
    assert done[COMMANDS[2]]["err"].startswith("mmc: authors was trained on its validation images too\n")


@needs_h5py
def test_a_run_remembers_the_file_it_came_from(done, folder):
    facts = tomllib.loads((folder / "authors" / "recipe.toml").read_text())
    assert facts["trained_on"]["imported"]["file"] == "model.180.h5"
    assert len(facts["trained_on"]["imported"]["sha256"]) == 64
    assert (facts["adversary"], facts["eps"], facts["adversary_targeted"]) == ("pgd", 8 / 256, False)


@needs_h5py
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (COMMANDS[3], "authors was imported, there is no training to continue: choose another --out"),
        (COMMANDS[4], "authors exists: continue it with --resume, or replace it with --overwrite"),
        (COMMANDS[6], "model.180.h5 has 13 conv2d layers, resnet_v2 with n = 2 and head mmc has 22 "
         "(the first or the last missing): check --version and --depth-n"),
        (COMMANDS[8], "there is no file absent.h5: give the .h5 that Keras wrote"),
        (COMMANDS[9], "norm 0.0 must be above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_gets_one_line_and_touches_nothing(done, words, line):
    result = done[words]
    assert (result["code"], result["err"], result["changed"]) == (2, f"mmc: {line}\n", [])


@needs_h5py
def test_a_file_cut_short_gets_one_line(done):
    result = done[COMMANDS[7]]
    assert (result["code"], result["changed"]) == (2, [])
    assert result["err"].startswith("mmc: cut.h5 is no whole HDF5 file of Keras (")
    assert result["err"].count("\n") == 1


def test_without_h5py_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"needs h5py: pip install 'max-mahalanobis\[interop\]'"):
        read_keras(tmp_path / "x.h5")
