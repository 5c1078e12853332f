"""The paper's density argument on the user's own runs: measure the features, draw them, say which lie densest.

Command: `mmc density runs/a runs/b --out FOLDER` (seconds on two cores for MNIST and a small network). Expected: MMC's
features lie far more densely around their centers than SCE's around their class means, also on equal scale.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..data import Dataset
from ..density import pull_of_losses, walk
from ..evaluation.densities import core_record, density_record
from ..models import Classifier, build
from ..reports.density_page import check_folder, verdict, write_folder
from ..reports.figures.toys import pull_drawing, walk_animation
from ..runs import Run, load_classifier, load_tensors, open_run
from ..terminal import say

COURSE_IMAGES = 2000  # of a split, for every point of a course
BATCH_SIZES = (1000, 20, 5)
TOYS = {"mmc": "MMC", "center": "center loss"}


def tell(
    paths: Sequence[Path],
    out: Path,
    *,
    load: Callable[[Run], Dataset],
    images: int,
    convention: str,
    device: str,
    seed: int,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Measure the runs, write the folder, print the verdict with the page's place."""
    check_folder(out, overwrite=overwrite)
    runs = [open_run(path) for path in {path.resolve(): path for path in paths}.values()]
    models = [load_classifier(run) for run in runs]  # what cannot be loaded stops here, before the work
    names = [run.name for run in runs]
    records = []
    for run, model in zip(runs, models, strict=True):
        name = run.name if names.count(run.name) == 1 else f"{run.name} ({run.path})"
        say(f"measuring {name}", quiet=quiet)
        records.append({"name": name} | _record(run, model, load(run), images, convention, device))
    page = write_folder(records, out, toys=[pull_drawing(_arrays(pull_of_losses()))], animation=_animation(seed))
    for record in records:
        print(_line(record))
    print(f"{verdict(records)}\n\nThe page: {page}")


def weights_over_training(run: Run, final: Classifier) -> Iterator[tuple[int, Classifier]]:
    """Classifiers of one run, each with the epochs done: 0, those whose weights were kept, and the run's own, in order.

    Untrained weights are those of the recipe, with the final normalization; `mmc train --keep` says which are kept.

    Raises:
        UserError: kept weights are damaged or belong to another recipe.
    """
    ends = epochs_of_weights(run)
    for epochs in sorted({0, ends, *run.kept_epochs}):
        if epochs in (0, ends):
            yield epochs, final if epochs else _empty(run, final)
        else:
            yield epochs, load_classifier(run, epochs)


def epochs_of_weights(run: Run) -> int:
    """After how many epochs the run's own weights were taken: fewer than it has where the best are kept."""
    for file in (run.weights_file, run.checkpoint_file(run.recipe.checkpoint)):
        epoch = load_tensors(file)[1].get("epoch", "") if file.exists() else ""
        if epoch.isdigit():
            return int(epoch)
    return run.recipe.epochs


def _empty(run: Run, final: Classifier) -> Classifier:
    """The classifier before its training."""
    facts = run.trained_on
    model = build(run.recipe, tuple(facts["image_shape"]), facts["num_classes"])
    model.normalize.load_state_dict(final.normalize.state_dict())
    return model.eval()


def _record(run: Run, model: Classifier, data: Dataset, images: int, convention: str, device: str) -> dict:
    splits = {name: getattr(data, name).first(images) for name in ("train", "test")}
    record = density_record(model.to(device), splits, num_classes=data.num_classes, convention=convention)
    few = {name: split.first(COURSE_IMAGES) for name, split in splits.items()}
    course = [
        {"epochs": epochs, "splits": core_record(state.to(device), few, num_classes=data.num_classes)}
        for epochs, state in weights_over_training(run, model)
    ]
    about = {"course_images": {name: len(split.labels) for name, split in few.items()}, "kept_epochs": run.kept_epochs}
    return {"head": run.recipe.head, "data": run.recipe.data} | record | {"course": course} | about


def _line(record: dict) -> str:
    ends = (
        f"{name} {found['core']['raw']:.1f} (scale-free {found['core']['scale_free']:.1f})"
        for name, found in record["splits"].items()
    )
    return f"{record['name']}: log density of half a class, {', '.join(ends)}; {record['centers_are']}"


def _animation(seed: int) -> bytes:
    walks = [
        [(f"{words}, batches of {size}", _arrays(walk(loss, batch_size=size, seed=seed))) for size in BATCH_SIZES]
        for loss, words in TOYS.items()
    ]
    return walk_animation(walks)


def _arrays(named) -> dict:
    return {name: tensor.numpy() for name, tensor in named._asdict().items()}
