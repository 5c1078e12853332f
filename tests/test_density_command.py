"""What `mmc density` leaves in its folder, and what it refuses to replace."""

import io
import json
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
import torch
from PIL import Image

from max_mahalanobis import Recipe, train
from max_mahalanobis.errors import UserError
from max_mahalanobis.experiments import densities
from max_mahalanobis.reports import density_page
from max_mahalanobis.reports.density_page import verdict
from max_mahalanobis.reports.figures.density import course_drawing, shells_drawing
from max_mahalanobis.reports.figures.toys import walk_animation
from max_mahalanobis.runs import create_run, facts_of, load_classifier, open_run, save_tensors

EPOCHS, KEPT = 6, (1, 3, 6)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, digits):
    """MMC and SCE of digits, a few epochs each; of MMC's two epochs on the way were kept."""
    folder = tmp_path_factory.mktemp("density")
    for name, head in (("mmc", "mmc"), ("sce", "softmax")):
        recipe = Recipe(head=head, epochs=EPOCHS)
        run = create_run(folder / name, recipe, facts_of(recipe, digits))
        train(recipe, digits, run=run, device="cpu")
    keep(open_run(folder / "mmc"), digits, KEPT)
    return [folder / "mmc", folder / "sce"]


def keep(run, data, epochs):
    """Write what `mmc train --keep` would: the weights after these epochs, here of trainings that ended there."""
    for epoch in epochs:
        model = (
            load_classifier(run) if epoch == EPOCHS else train(replace(run.recipe, epochs=epoch), data, device="cpu")
        )
        header = {"recipe": run.recipe.fingerprint, "epoch": str(epoch)}
        save_tensors(run.checkpoint_file(epoch), model.state_dict(), header)


def tell(runs, out, digits, monkeypatch, **settings):
    monkeypatch.setattr(densities, "_animation", lambda seed: b"GIF89a")
    asked = {"images": 300, "convention": "volume", "device": "cpu", "seed": 0, "overwrite": False} | settings
    densities.tell(runs, out, load=lambda run: digits, quiet=True, **asked)


def read(folder):
    return json.loads((folder / "density.json").read_text())["runs"]


@pytest.fixture(scope="module")
def told(runs, tmp_path_factory, digits):
    out = tmp_path_factory.mktemp("told") / "density"
    with pytest.MonkeyPatch.context() as patch:
        tell([*runs, runs[0]], out, digits, patch)
    return out


def test_the_folder_has_every_drawing_its_numbers_and_a_page(told):
    names = {file.name for file in told.iterdir()}
    drawn = {"density-against-loss", "density-by-shell", "density-by-class", "density-over-training", "distances"}
    drawn |= {"angle-and-norm", "features-0", "features-1", "toy-0"}
    assert names == {f"{name}.svg" for name in drawn} | {"density.json", "density.html", "toy.gif"}
    for name in drawn:
        assert ET.parse(told / f"{name}.svg").getroot().tag.endswith("svg")
    page = (told / "density.html").read_text()
    assert page.count("<svg ") == 9
    assert "mmc has the densest features (test, scale-free)" in page
    assert "class means of training features" in page
    assert "http" not in page.replace("http://www.w3.org/", "")
    folded = page[page.index("<details>") : page.index("</details>")]
    assert page.count("image/gif") == folded.count("image/gif") == 1  # it loops, and stops where it is folded


def test_the_numbers_say_that_mmc_is_denser_on_equal_scale_and_by_neighbors(told):
    assert [run["name"] for run in read(told)] == ["mmc", "sce"]
    mmc, sce = (run["splits"]["test"] for run in read(told))
    for measured in ("core", "neighbors"):
        assert mmc[measured]["scale_free"] > sce[measured]["scale_free"] + 5


def test_a_course_has_the_untrained_weights_the_kept_ones_and_the_last_once(told, runs):
    courses = [run["course"] for run in read(told)]
    assert [[step["epochs"] for step in course] for course in courses] == [[0, *KEPT], [0, EPOCHS]]
    assert [run["kept_epochs"] for run in read(told)] == [list(KEPT), []]
    for split in ("train", "test"):
        along = [step["splits"][split]["scale_free"] for step in courses[0]]
        assert along == sorted(along)
        assert all(len(step["splits"][split]["raw_by_class"]) == 10 for step in courses[0])
    end = courses[0][-1]["splits"]["test"]["scale_free"]
    assert end == pytest.approx(read(told)[0]["splits"]["test"]["core"]["scale_free"], abs=1)


def test_the_page_draws_the_course_and_says_how_a_run_without_one_gets_it(told):
    page = (told / "density.html").read_text()
    assert "<h2>Density over the course of training</h2>" in page
    assert "Of sce only the two ends are there: `mmc train --keep 10`" in page
    mmc = read(told)[0]
    assert "Images at each point: 300 (train), 300 (test), at most." in page
    assert "--keep" not in course_drawing([mmc]).caption
    first, last = (mmc["course"][place]["splits"]["test"]["scale_free"] for place in (0, -1))
    assert f"mmc: from {first:.1f} to {last:.1f} over 6 epochs." in course_drawing([mmc]).alt


def test_the_best_weights_stand_at_their_own_epoch_not_at_the_end(runs, tmp_path):
    shutil.copytree(runs[0], tmp_path / "mmc")
    run = open_run(tmp_path / "mmc")
    final = load_classifier(run)
    save_tensors(run.weights_file, final.state_dict(), {"recipe": run.recipe.fingerprint, "epoch": "4"})
    course = dict(densities.weights_over_training(run, final))
    assert list(course) == [0, 1, 3, 4, 6]
    assert course[4] is final


def test_where_the_weights_do_not_say_their_epoch_the_checkpoint_of_their_name_does(runs, tmp_path):
    shutil.copytree(runs[1], tmp_path / "sce")
    run = open_run(tmp_path / "sce")
    final = load_classifier(run).state_dict()
    save_tensors(run.weights_file, final, {"recipe": run.recipe.fingerprint})
    assert densities.epochs_of_weights(run) == EPOCHS
    header = {"recipe": run.recipe.fingerprint, "epoch": "5"}
    save_tensors(run.checkpoint_file("best"), final, header)
    assert densities.epochs_of_weights(run) == EPOCHS  # this run's weights are the last ones
    save_tensors(run.checkpoint_file("last"), final, header)
    assert densities.epochs_of_weights(run) == 5  # it stopped early


def test_untrained_weights_are_those_training_began_with(runs, digits):
    run = open_run(runs[0])
    before = dict(densities.weights_over_training(run, load_classifier(run)))[0]
    recipe = Recipe(head="mmc", epochs=1, learning_rate=1e-30)
    after = train(recipe, digits, device="cpu").state_dict()
    for name, tensor in before.state_dict().items():
        torch.testing.assert_close(tensor, after[name])


def test_kept_weights_of_another_recipe_are_named(runs, tmp_path):
    shutil.copytree(runs[0], tmp_path / "mmc")
    run = open_run(tmp_path / "mmc")
    shutil.copy(runs[1] / "weights.safetensors", run.checkpoint_file(2))
    with pytest.raises(UserError, match=r"epoch-0002.safetensors belongs to another recipe"):
        list(densities.weights_over_training(run, load_classifier(run)))


def test_only_an_earlier_folder_of_ours_is_replaced_and_only_when_asked(told, runs, tmp_path, digits, monkeypatch):
    with pytest.raises(UserError, match="density exists: replace its drawings with --overwrite"):
        tell(runs[:1], told, digits, monkeypatch)
    (tmp_path / "notes.txt").write_text("not mmc's\n")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="was not made by mmc density: choose another --out"):
            tell(runs[:1], tmp_path, digits, monkeypatch, overwrite=overwrite)
    with pytest.raises(UserError, match=r"notes.txt is a file: choose another --out"):
        tell(runs[:1], tmp_path / "notes.txt", digits, monkeypatch)


def test_replacing_leaves_no_drawing_of_a_run_that_left(told, tmp_path, monkeypatch):
    shutil.copytree(told, tmp_path / "again")
    monkeypatch.setattr(density_page, "density_drawings", lambda records: {})
    density_page.write_folder([read(told)[0]], tmp_path / "again", toys=[], animation=b"GIF89a")
    assert list((tmp_path / "again").glob("features-*.svg")) == []


def test_the_drawing_says_which_convention_it_shows(told):
    record = read(told)[0]
    for convention, words in (("volume", "over its volume"), ("surface", "per unit of half the squared distance")):
        assert words in shells_drawing([record | {"convention": convention}]).caption


def test_features_of_different_dimensions_are_not_ranked(told):
    one, two = read(told)
    assert verdict([one]).startswith("mmc: train ")
    assert verdict([one, two | {"dim": 2}]) == (
        "The features have different numbers of dimensions: their densities have different units."
    )


def test_an_animation_has_a_frame_for_every_epoch():
    walked = densities._arrays(densities.walk("center", num_points=30, batch_size=5, epochs=3))
    gif = Image.open(io.BytesIO(walk_animation([[("a", walked), ("b", walked)], [("c", walked), ("d", walked)]])))
    assert gif.n_frames == 4
    assert gif.size[0] < gif.size[1] < 600


@pytest.mark.slow
def test_the_toy_animation_shows_six_walks_in_under_two_megabytes():
    gif = densities._animation(0)
    assert len(gif) < 2e6
    assert Image.open(io.BytesIO(gif)).n_frames == 41
