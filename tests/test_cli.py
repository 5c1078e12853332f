"""What `mmc` prints, where it prints it, and how it exits."""

import csv
import json
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from commands import drive, python

from max_mahalanobis import __version__
from max_mahalanobis.results import read_results

HEAVY = ("torch", "lightning_fabric", "matplotlib", "sklearn", "numpy", "scipy", "safetensors", "PIL", "h5py")
COMMANDS = (
    "train --out plain --quiet",
    "train --out plain --resume",
    "train --out named --recipe-file plain/recipe.toml --head softmax --epochs 2 --epochs 1",
    "train --out diverged --learning-rate 1e30 --epochs 1",
    "train --out small --epochs 1 --batch-size 5000 --dim 9 --quiet",
    "train --out with|spaces/a|run --epochs 1 --adversary pgd --adversary-steps 1 --eps 8/255",
    "train --out replaced --epochs 1 --seed 1 --quiet",
    "train --out replaced --epochs 1 --seed 2 --quiet --overwrite",
    "evaluate named --images 99999 --eps 8/255 --suite quick",
    "evaluate named --images 99999 --quiet --eps 8/255 --suite quick",
    "report named named --format markdown",
    "report named --format json",
    "report named --format csv --quiet",
    "report named --format latex",
    "report named --format robustbench",
    "centers --classes 3 --dim 5 --out centers.npy",
    "centers --classes 1",
    "plan --images 1000",
    "plan --precision 2 --accuracy 100",
    "centers --classes 10 --dim 2 --plot centers.svg",
    "centers --kind file --file centers.npy --norm 1",
    "centers --kind hierarchical --superclasses 0 0 1 1 1",
    "train --out planar --dim 2 --epochs 1 --quiet",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def done(folder):
    """What each of the commands did; one process for all of them, `|` stands for a space."""
    commands = [[word.replace("|", " ") for word in words.split()] for words in COMMANDS]
    return dict(zip(COMMANDS, drive(folder, commands), strict=True))


def test_train_with_nothing_but_out_trains_an_mlp_with_mmc_on_digits(done, folder):
    assert done[COMMANDS[0]]["code"] == 0
    assert re.fullmatch(r"trained plain: \d+\.\d % of the validation images\n", done[COMMANDS[0]]["out"])
    recipe = tomllib.loads((folder / "plain" / "recipe.toml").read_text())
    assert [recipe[key] for key in ("data", "model", "head", "dim", "norm")] == ["digits", "mlp", "mmc", 64, 10.0]
    assert json.loads((folder / "plain" / "metrics.jsonl").read_text().splitlines()[-1])["validation_accuracy"] > 0.94


def test_resume_of_a_finished_run_changes_no_file(done):
    result = done["train --out plain --resume"]
    assert (result["code"], result["out"], result["changed"]) == (0, done[COMMANDS[0]]["out"], [])


def test_options_override_the_recipe_file_and_the_last_one_counts(done, folder):
    recipe = tomllib.loads((folder / "named" / "recipe.toml").read_text())
    assert (recipe["head"], recipe["epochs"]) == ("softmax", 1)


def test_diverged_training_exits_with_1_and_names_the_remedy(done):
    result = done["train --out diverged --learning-rate 1e30 --epochs 1"]
    assert (result["code"], result["out"]) == (1, "")
    assert result["err"].splitlines()[-1] == (
        "mmc: loss is nan in epoch 1, by step 19: lower --learning-rate (now 1e+30) or --norm; "
        "the last finished epoch is kept"
    )


def test_eight_over_255_is_a_number_and_paths_may_have_spaces(done, folder):
    assert done[COMMANDS[5]]["code"] == 0
    assert tomllib.loads((folder / "with spaces" / "a run" / "recipe.toml").read_text())["eps"] == 8 / 255
    assert done[COMMANDS[5]]["out"].startswith("adversary: PGD-1 climbing own_distance; linf eps 8/255\n")


def test_overwrite_replaces_a_run_of_ours(done, folder):
    assert done[COMMANDS[7]]["code"] == 0
    assert tomllib.loads((folder / "replaced" / "recipe.toml").read_text())["seed"] == 2


def test_progress_goes_to_stderr_and_results_to_stdout(done):
    loud = done["evaluate named --images 99999 --eps 8/255 --suite quick"]
    assert "clean" in loud["out"]
    assert "named" in loud["out"]
    assert done[COMMANDS[2]]["out"].startswith("trained named: ")
    assert done[COMMANDS[2]]["err"].startswith("mmc: named: epoch 1/1, loss ")


def test_more_images_than_the_split_has_uses_all_and_says_so(done, folder):
    result = done["evaluate named --images 99999 --eps 8/255 --suite quick"]
    assert result["err"] == "mmc: --images 99999: the test split has 497, all of them are used\n"
    assert read_results(folder / "named" / "results.jsonl")[0].num_images == 497


def test_quiet_silences_stderr_and_leaves_the_results(done):
    loud, quiet = (done[f"evaluate named --images 99999 {q}--eps 8/255 --suite quick"] for q in ("", "--quiet "))
    assert (quiet["err"], quiet["out"]) == ("", loud["out"])
    assert all(result["err"] == "" for words, result in done.items() if "--quiet" in words)


def test_a_run_named_twice_is_reported_once(done, folder):
    result = done["report named named --format markdown"]
    assert result["code"] == 0
    assert sum(line.startswith("| named") for line in result["out"].splitlines()) == 1
    assert result["changed"] == ["report.html"]


def test_tables_for_machines_stand_on_stdout_alone(done):
    told = json.loads(done["report named --format json"]["out"])
    assert told["tables"]["accuracy"][0]["rows"][0][0]["text"] == "named"
    lines = list(csv.DictReader(done["report named --format csv --quiet"]["out"].splitlines()))
    assert {line["section"] for line in lines} == {"trainings", "accuracy", "classes", "unions", "costs", "repeat"}
    latex = done["report named --format latex"]
    assert latex["out"].startswith(r"\begin{table}")
    assert latex["out"].endswith("\\end{table}\n")
    assert latex["err"] == "mmc: the page: report.html\n"


def test_the_record_for_robustbench_stands_on_stdout_and_what_is_unknown_on_stderr(done):
    result = done["report named --format robustbench"]
    told = json.loads(result["out"])
    assert (told["name"], told["link"], "autoattack_acc" in told) == ("named", "", False)
    assert "left empty, for you to fill in: link, authors, venue" in result["err"]


def test_centers_are_written_as_a_simplex(done, folder):
    assert done["centers --classes 3 --dim 5 --out centers.npy"]["code"] == 0
    gram = np.load(folder / "centers.npy") @ np.load(folder / "centers.npy").T
    np.testing.assert_allclose(gram, 150 * np.eye(3) - 50, atol=1e-9)
    assert done["centers --classes 1"]["code"] == 0


def test_a_plan_tells_images_intervals_and_differences(done):
    assert done["plan --images 1000"]["out"].splitlines() == [
        "50 % to +-1 point (95 %, Wilson): 9,600 images",
        "1,000 images show 50.0 % [46.9, 53.1]; where none holds 0.0 % [0.0, 0.4]",
        "two models on the same images, differences seen (McNemar p < 0.05) four times in five:",
        "  from 2 points where one alone is right on 5 % of images",
        "  from 2.9 points where one alone is right on 10 % of images",
        "  from 4 points where one alone is right on 20 % of images",
        "  from 6.4 points where one alone is right on 50 % of images (independent errors)",
    ]
    assert done["plan --precision 2 --accuracy 100"]["out"].splitlines() == [
        "100 % to +-2 points (95 %, Wilson): 189 images",
        "189 images show 100.0 % [98.0, 100.0]; where none holds 0.0 % [0.0, 2.0]",
    ]


@pytest.mark.slow
def test_a_plan_does_not_wait_for_torch(tmp_path):
    lines = (
        "import sys",
        "from max_mahalanobis.cli import main",
        "try: main(['plan'])",
        "except SystemExit as stop: print(stop.code, 'torch' in sys.modules)",
    )
    assert python("-c", "\n".join(lines), cwd=tmp_path).stdout.splitlines()[-1] == "0 False"


def test_centers_of_any_kind_say_where_they_stand_and_are_drawn(done, folder):
    plane = done["centers --classes 10 --dim 2 --plot centers.svg"]
    assert plane["out"] == (
        "10 centers in 2 dimensions, norm 10: a regular polygon, the optimum\n"
        "smallest angle 36 degrees, largest cosine 0.809017, smallest distance 6.18034\n"
        "wrote centers.svg\n"
    )
    assert ET.parse(folder / "centers.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    again = done["centers --kind file --file centers.npy --norm 1"]
    assert again["out"].splitlines()[0] == "3 centers in 5 dimensions, norm 1: from a file"
    groups = done["centers --kind hierarchical --superclasses 0 0 1 1 1"]["out"].splitlines()
    assert groups[0] == "5 centers in 4 dimensions, norm 10: hierarchical"


def test_ten_classes_train_on_two_features(done, folder):
    assert done["train --out planar --dim 2 --epochs 1 --quiet"]["out"].startswith("trained planar: ")
    assert tomllib.loads((folder / "planar" / "recipe.toml").read_text())["dim"] == 2


def test_help_and_version_import_nothing_heavy_and_take_no_time(tmp_path):
    lines = (
        "import sys, time; began = time.perf_counter()",
        "from max_mahalanobis.cli import main",
        "for words in (['--help'], ['train', '--help'], ['--version']):",
        "    try: main(words)",
        "    except SystemExit as stop: assert stop.code == 0",
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])",
        "print('seconds:', time.perf_counter() - began)",
    )
    out = python("-c", "\n".join(lines), cwd=tmp_path).stdout
    assert f"mmc {__version__}\n" in out
    assert "heavy: []" in out
    assert float(out.split()[-1]) < 2  # half a second on an idle machine


def test_help_names_every_option_of_train(tmp_path):
    from max_mahalanobis.recipe import Recipe

    out = python("-m", "max_mahalanobis.cli", "train", "--help", cwd=tmp_path).stdout
    assert out == ""  # the module is no script: mmc is
    out = python("-c", "from max_mahalanobis.cli import main; main(['train', '--help'])", cwd=tmp_path).stdout
    for name in Recipe.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in out


def test_the_package_itself_is_the_command(tmp_path):
    done = python("-m", "max_mahalanobis", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"mmc {__version__}\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_stdout_on_a_full_disk_gets_one_line_and_a_reader_that_leaves_none(tmp_path):
    command = [sys.executable, "-c", "from max_mahalanobis.cli import main; main(['--version'])"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "mmc: cannot write the output: No space left on device\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
