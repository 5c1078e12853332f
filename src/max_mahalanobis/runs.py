"""A run folder: what a training leaves behind, written so that no crash or full disk destroys what was there.

recipe.toml          the recipe with every default filled in, and facts about the data it met ([trained_on])
metrics.jsonl        one line per epoch
weights.safetensors  the trained classifier; its header names the recipe and a checksum
checkpoints/         the weights that held best on the validation images, the last ones, and those of epochs asked for
results.jsonl        one row per attack, appended by every evaluation
pictures.npz         arrays a report draws
evaluation/          what an evaluation that was killed had found; the next one continues from it
audit/               the verdict of `mmc audit` for each threat, budget and number of images (Linf-0.3-1000.json); and
                     what audits found, batch by batch: the next one runs only what is missing
state/               what `--resume` continues from
logs/                the epochs again, for other programs (`--log`)
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .data import SOURCES
from .errors import UserError
from .files import write_atomically
from .recipe import Recipe, read_toml
from .versions import versions

if TYPE_CHECKING:
    from torch import Tensor

    from .data import Dataset
    from .models import Classifier


@dataclass(frozen=True)
class Run:
    """The files of one run folder."""

    path: Path

    @property
    def name(self) -> str:
        """How tables call the run: the folder's name."""
        return self.path.resolve().name

    @property
    def recipe_file(self) -> Path:
        """recipe.toml."""
        return self.path / "recipe.toml"

    @property
    def metrics_file(self) -> Path:
        """metrics.jsonl."""
        return self.path / "metrics.jsonl"

    @property
    def weights_file(self) -> Path:
        """weights.safetensors; there once training is done."""
        return self.path / "weights.safetensors"

    def checkpoint_file(self, which: str | int) -> Path:
        """Weights other than the run's own: "best", "last", or those after an epoch, counted from 1."""
        name = which if isinstance(which, str) else f"epoch-{which:04d}"
        return self.path / "checkpoints" / f"{name}.safetensors"

    @property
    def kept_epochs(self) -> list[int]:
        """The epochs, counted from 1, whose weights were kept."""
        files = (self.path / "checkpoints").glob("epoch-*.safetensors")
        return sorted(int(file.stem.removeprefix("epoch-")) for file in files)

    @property
    def results_file(self) -> Path:
        """results.jsonl; there once the run was evaluated."""
        return self.path / "results.jsonl"

    @property
    def pictures_file(self) -> Path:
        """pictures.npz; there once the run was evaluated."""
        return self.path / "pictures.npz"

    @property
    def journal(self) -> Path:
        """What an unfinished evaluation has found so far."""
        return self.path / "evaluation"

    @property
    def state_file(self) -> Path:
        """The last finished epoch: weights, optimizer, epoch."""
        return self.path / "state" / "last.safetensors"

    @property
    def recipe(self) -> Recipe:
        """The recipe the run was made by."""
        return Recipe.from_toml(self.recipe_file)

    @property
    def trained_on(self) -> dict:
        """Facts about the data: hashes, published, image_shape, num_classes, class_names."""
        return read_toml(self.recipe_file).get("trained_on", {})


def facts_of(recipe: Recipe, data: "Dataset", data_dir: Path | None = None) -> dict:
    """What a run remembers under [trained_on]: facts, not choices. What cannot be built of them is refused here."""
    from .data import load_extra
    from .data.hashes import file_hash
    from .models import build, load_pretrained

    model, files = build(recipe, data.image_shape, data.num_classes), {}
    if recipe.extra_data is not None:
        load_extra(recipe.extra_data, data)
        files["extra_data"] = file_hash(Path(recipe.extra_data).expanduser())
    if recipe.pretrained is not None:
        load_pretrained(model, recipe.pretrained)
        files["pretrained"] = file_hash(Path(recipe.pretrained).expanduser())
    facts = {
        "num_parameters": model.num_parameters,
        "image_shape": list(data.image_shape),
        "num_classes": data.num_classes,
        "class_names": list(data.class_names),
        "num_test": len(data.test.labels),
        "published": data.published,
        "hashes": data.hashes,
        "versions": {"max_mahalanobis": __version__} | versions(),
    }
    if files:
        facts["file_hashes"] = files  # of what the recipe names beside its data
    if recipe.data not in SOURCES:
        facts["data_path"] = str(Path(recipe.data).resolve())
    if data_dir is not None:
        facts["data_dir"] = str(data_dir.resolve())
    return facts


def create_run(path: Path, recipe: Recipe, trained_on: dict, *, overwrite: bool = False) -> Run:
    """A new run folder with its recipe; an existing one is refused, or (`overwrite`) emptied of our files alone."""
    run = check_free(path, overwrite=overwrite)
    write_atomically(run.recipe_file, recipe.to_toml(trained_on=trained_on).encode())  # a full disk stops here
    for file in (run.weights_file, run.results_file, run.pictures_file, run.state_file, run.metrics_file):
        file.unlink(missing_ok=True)
    inside = (("evaluation", "*.jsonl"), ("audit", "*.jsonl"), ("audit", "*.json"), ("checkpoints", "*.safetensors"))
    inside += (("logs", "metrics.csv"), ("logs", "events.out.tfevents.*"))
    for file in (file for folder, kind in inside for file in (run.path / folder).glob(kind)):
        file.unlink(missing_ok=True)
    return run


def check_free(path: Path, *, overwrite: bool = False) -> Run:
    """Refuse a folder that `create_run` must not take: one that holds a run, or anything that is not ours."""
    run = Run(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file: choose another --out")
    if path.exists() and any(path.iterdir()):
        if not run.recipe_file.exists():
            raise UserError(f"{path} exists and is not a run of mmc (no recipe.toml): choose another --out")
        if not overwrite:
            raise UserError(f"{path} exists: continue it with --resume, or replace it with --overwrite")
        open_run(path)  # a recipe.toml of another program's, or of a newer mmc, is not ours to replace
    return run


def open_run(path: Path | str) -> Run:
    """An existing run folder; anything else is refused."""
    path = Path(path)
    run = Run(path)
    if path.is_file():
        raise UserError(f"{path} is a file, not a run folder: give the folder that mmc train made")
    if not path.is_dir():
        raise UserError(f"no run folder at {path}: make one with mmc train --out {path}")
    if not run.recipe_file.exists():
        raise UserError(f"{path} is not a run of mmc (no recipe.toml): give the folder that mmc train made")
    read_toml(run.recipe_file)
    return run


def load_classifier(run: Run, which: str | int | None = None) -> "Classifier":
    """The trained classifier of a run, in evaluation mode on the CPU.

    Args:
        which: other weights than the run's own, see `Run.checkpoint_file`.

    Raises:
        UserError: training has not ended, the weights are damaged, or they belong to another recipe.
    """
    from .models import build

    file = run.weights_file if which is None else run.checkpoint_file(which)
    if not file.exists():
        lacks = "no weights yet" if which is None else f"no weights {file.name}"
        raise UserError(f"{run.path} has {lacks}: finish it with mmc train --out {run.path} --resume")
    recipe, facts = run.recipe, run.trained_on
    if not _describes_images(facts):
        raise UserError(f"{run.recipe_file} needs image_shape and num_classes under [trained_on]: train again")
    tensors, header = load_tensors(file)
    if header.get("recipe") != recipe.fingerprint:
        raise UserError(f"{file} belongs to another recipe than {run.recipe_file}: restore one of them")
    model = build(recipe, tuple(facts["image_shape"]), facts["num_classes"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"{file} does not fit the model of {run.recipe_file}: train again") from error
    return model.eval()


def save_tensors(path: Path, tensors: Mapping[str, "Tensor"], header: dict[str, str]) -> None:
    """A safetensors file with `header` and a checksum of the contents; the old file stays until the new is whole."""
    from safetensors.torch import save

    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, _in_order(save(flat, metadata=header | {"sha256": _checksum(flat)})))


def load_tensors(path: Path) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """Tensors and header of a file from `save_tensors`, its checksum verified. Nothing in it can execute."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}): restore it or train again") from error
    if header.get("sha256") != _checksum(tensors):
        raise UserError(f"{path} is damaged (its checksum does not match): restore it or train again")
    return tensors, header


def read_metrics(run: Run, *, events: bool = False) -> list[dict]:
    """The epochs recorded so far, and what happened in between (`events`); a line torn by a crash is left out."""
    if not run.metrics_file.exists():
        return []
    lines = []
    for line in run.metrics_file.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(line))
    known = [line for line in lines if isinstance(line, dict) and "epoch" in line]
    return known if events else [line for line in known if "event" not in line]


def write_metrics(run: Run, lines: list[dict]) -> None:
    """Replace the recorded epochs."""
    write_atomically(run.metrics_file, "".join(json.dumps(line) + "\n" for line in lines).encode())


def _describes_images(facts: dict) -> bool:
    shape, num_classes = facts.get("image_shape"), facts.get("num_classes")
    if not isinstance(shape, list) or len(shape) != 3:
        return False
    return all(type(number) is int and number > 0 for number in (*shape, num_classes))


def _in_order(file: bytes) -> bytes:
    """The same safetensors file with its header sorted: the library's order is random, ours makes equal files equal."""
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the data stay aligned
    return len(header).to_bytes(8, "little") + header + file[end:]


def _checksum(tensors: Mapping[str, "Tensor"]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
