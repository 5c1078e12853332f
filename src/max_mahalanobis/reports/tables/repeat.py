"""What a repetition must agree with: hashes of weights and images, seeds, versions; a line for each set of images."""

from collections.abc import Iterator, Mapping, Sequence

from ...results import AttackResult
from ..reading import RunRecord
from .cells import NOTHING, Cell, Table

HASHES = (
    "Hashes: the first 16 hexadecimal digits of SHA-256, of all weights with their names and shapes, and of the images "
    "attacked with their labels; the recipe's [trained_on] has those of the data it was trained on."
)
VERSIONS = "Where torch and Python are not named, the training or its rows did not record them."


def repeat_table(runs: Sequence[RunRecord]) -> Table:
    """The images, weights and seeds of every run, and the versions that attacked and trained."""
    header = ("run", "images", "their hash", "weights", "seed", "attacked by", "trained by", "training seed")
    return Table("Hashes, seeds and versions", header, tuple(_lines(runs)), (HASHES, VERSIONS), keys=2)


def _lines(runs: Sequence[RunRecord]) -> Iterator[tuple[Cell, ...]]:
    for run in runs:
        trained = Cell(versions_text(run.facts.get("versions", {})) or NOTHING)
        seed = Cell(str((run.recipe or {}).get("seed", NOTHING)))
        same = dict.fromkeys(
            (row.num_images, row.data, row.split, row.data_hash, row.weights_hash, row.seed, _made_by(row))
            for row in run.results
        )
        for count, data, split, images, weights, attack_seed, by in same:
            what = Cell(f"{count:,} of {data}" + (f" ({split})" if split else ""))
            hashes = (Cell(images or NOTHING), Cell(weights or NOTHING))
            yield Cell(run.name), what, *hashes, Cell(str(attack_seed)), Cell(by), trained, seed


def _made_by(row: AttackResult) -> str:
    return versions_text({"max_mahalanobis": row.version} | row.versions)


def versions_text(versions: Mapping[str, str]) -> str:
    """What was used, as max_mahalanobis 0.1.0, torch 2.6.0, python 3.12.3."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
