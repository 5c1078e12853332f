import json

import pytest
import torch
from drive import disk

from max_mahalanobis.errors import UserError
from max_mahalanobis.evaluation import weights_hash
from max_mahalanobis.files import write_atomically
from max_mahalanobis.recipe import Recipe
from max_mahalanobis.runs import (
    create_run,
    facts_of,
    load_classifier,
    load_tensors,
    open_run,
    read_metrics,
    save_tensors,
    write_metrics,
)
from max_mahalanobis.training import fill_defaults, train

RECIPE = fill_defaults(Recipe(epochs=1))
TENSORS = {
    "b": torch.arange(6.0).view(2, 3).T,
    "a": torch.tensor(7),
    "bits": torch.tensor([True, False, True]),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
}


@pytest.fixture
def run(tmp_path, digits):
    return create_run(tmp_path / "run", RECIPE, facts_of(RECIPE, digits))


def test_a_trained_run_gives_back_its_classifier(run, digits):
    model = train(RECIPE, digits, run=run, device="cpu")
    loaded = load_classifier(open_run(str(run.path)))
    assert weights_hash(loaded) == weights_hash(model)
    assert not loaded.training


def test_a_run_remembers_its_recipe_and_data(run, digits):
    found = open_run(run.path)
    assert (found.name, found.recipe) == ("run", RECIPE)
    assert found.trained_on == facts_of(RECIPE, digits)


def test_overwrite_removes_what_is_ours_and_nothing_else(run, digits):
    train(RECIPE, digits, run=run, device="cpu")
    (run.path / "notes.txt").write_text("mine")
    create_run(run.path, RECIPE, facts_of(RECIPE, digits), overwrite=True)
    left = {path.name for path in run.path.rglob("*") if path.is_file()}
    assert left == {"recipe.toml", "notes.txt"}


def test_an_empty_folder_may_become_a_run(tmp_path):
    (tmp_path / "empty").mkdir()
    assert create_run(tmp_path / "empty", RECIPE, {}).recipe == RECIPE


def test_tensors_of_every_kind_survive_the_file(tmp_path):
    save_tensors(tmp_path / "t", TENSORS, {"recipe": "x"})
    loaded, header = load_tensors(tmp_path / "t")
    assert loaded.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0)
    assert header["recipe"] == "x"


def test_equal_tensors_make_equal_files(tmp_path):
    headers = {"recipe": "x", "epochs_done": "3", "one": "1", "two": "2"}
    files = set()
    for number in range(8):
        save_tensors(tmp_path / str(number), TENSORS, headers)
        files.add((tmp_path / str(number)).read_bytes())
    assert len(files) == 1


def test_every_single_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "t"
    save_tensors(path, {"a": torch.arange(4.0)}, {})
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for position in [*range(0, header, 7), *range(header, len(whole))]:
        damaged = bytearray(whole)
        damaged[position] ^= 1
        if bytes(damaged[8:header]).strip() == whole[8:header].strip() and position < header:
            continue
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged"):
            load_tensors(path)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_truncated_file_is_damaged(tmp_path, size):
    save_tensors(tmp_path / "t", TENSORS, {})
    (tmp_path / "t").write_bytes((tmp_path / "t").read_bytes()[:size])
    with pytest.raises(UserError, match="is damaged"):
        load_tensors(tmp_path / "t")


def test_a_file_without_a_checksum_is_not_believed(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3)}, tmp_path / "t")
    with pytest.raises(UserError, match="checksum"):
        load_tensors(tmp_path / "t")


def test_facts_that_describe_no_images_are_refused(run, digits):
    train(RECIPE, digits, run=run, device="cpu")
    text = run.recipe_file.read_text()
    for old, new in (("num_classes = 10", "num_classes = 'ten'"), ("num_classes = 10", "num_classes = 0"),
                     ("num_classes = 10\n", "")):  # fmt: skip
        assert old in text
        run.recipe_file.write_text(text.replace(old, new))
        with pytest.raises(UserError, match=r"needs image_shape and num_classes under \[trained_on\]"):
            load_classifier(run)


def test_a_full_disk_leaves_the_old_file_and_no_scrap(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with disk(100), pytest.raises(UserError, match="cannot write .*file.*make room there"):
        write_atomically(path, b"new" * 100)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_torn_and_foreign_lines_of_the_metrics_are_left_out(run):
    write_metrics(run, [{"epoch": 0, "loss": 1.5}, {"epoch": 1, "loss": 1.25}])
    with open(run.metrics_file, "ab") as file:
        file.write(b'3\n"epoch"\n{"loss": 1}\n\xff\xfe\n{"epoch": 2, "lo')
    assert read_metrics(run) == [{"epoch": 0, "loss": 1.5}, {"epoch": 1, "loss": 1.25}]
    assert json.loads(run.metrics_file.read_text(errors="replace").splitlines()[0])["loss"] == 1.5
