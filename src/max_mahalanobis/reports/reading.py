"""What a run left on disk, read back as one record."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import read_lines
from ..recipe import read_toml
from ..results import AttackResult, read_results

AUDIT_SCHEMA = 1  # the newest form of audit.json that is understood
EVALUATE_FIRST = "run `mmc evaluate` on it first"


@dataclass(frozen=True)
class RunRecord:
    """One trained model and the evidence about it; `None` or empty where the run left nothing."""

    name: str
    recipe: dict | None
    metrics: list[dict]
    results: list[AttackResult]
    pictures: dict[str, np.ndarray] | None
    notes: tuple[str, ...] = ()
    audit: dict | None = None

    @property
    def facts(self) -> dict:
        """The recipe's table [trained_on]: data hash, image shape, class names; empty when there is none."""
        facts = (self.recipe or {}).get("trained_on", {})
        return facts if isinstance(facts, dict) else {}

    def class_name(self, label: int) -> str:
        """What people call a class: its name when the recipe knows it, else its number."""
        names = self.facts.get("class_names") or ()
        return str(names[label]) if 0 <= label < len(names) else str(label)


def read_run(path: Path) -> RunRecord:
    """The run in a folder, or the only run in a bare `.jsonl` of result rows.

    Raises:
        UserError: it is not a run, a line is damaged, there are no rows, or the file holds several runs.
    """
    runs = _read(Path(path))
    if len(runs) > 1:
        names = ", ".join(run.name for run in runs)
        raise UserError(f"{path} holds {len(runs)} runs ({names}): read it with read_runs")
    return runs[0]


def read_runs(paths: Sequence[Path]) -> list[RunRecord]:
    """The runs in folders and `.jsonl` files, in the order given; a name used twice is told apart by its path."""
    found = {Path(path).resolve(): Path(path) for path in paths}
    runs = [(path, run) for path in found.values() for run in _read(path)]
    names = [run.name for _, run in runs]
    return [run if names.count(run.name) == 1 else replace(run, name=f"{run.name} ({path})") for path, run in runs]


def _read(path: Path) -> list[RunRecord]:
    if path.is_dir():
        return [_read_folder(path)]
    if not path.exists():
        raise UserError(f"there is no {path}: give a run folder made by `mmc train`, or a .jsonl of result rows")
    rows = read_results(path)
    if not rows:
        raise UserError(f"{path} holds no result rows: give a run folder, and {EVALUATE_FIRST}")
    names = dict.fromkeys(row.run for row in rows)
    return [_record(name, [row for row in rows if row.run == name]) for name in names]


def _read_folder(folder: Path) -> RunRecord:
    recipe, results = folder / "recipe.toml", folder / "results.jsonl"
    if not recipe.exists() and not results.exists():
        raise UserError(f"{folder} is not a run folder (it has no recipe.toml): give one that `mmc train` made")
    rows = read_results(results)
    if not rows:
        raise UserError(f"{folder} holds no results: {EVALUATE_FIRST}")
    record = _record(folder.resolve().name, rows)
    audit, note = _read_audit(folder / "audit.json", record)
    return replace(
        record,
        notes=(*record.notes, *note),
        audit=audit,
        recipe=read_toml(recipe) if recipe.exists() else None,
        metrics=read_lines(folder / "metrics.jsonl", _parse_object),
        pictures=_read_pictures(folder / "pictures.npz"),
    )


def _read_audit(path: Path, record: RunRecord) -> tuple[dict | None, tuple[str, ...]]:
    """The verdict of `mmc audit`, unless it is about other weights than the newest rows; and what is to say of that."""
    if not path.exists():
        return None, ()
    try:
        audit = _parse_object(path.read_text(encoding="utf-8"))
        schema, weights = audit["schema"], audit["weights_hash"]
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): run `mmc audit` again") from error
    if schema > AUDIT_SCHEMA:
        raise UserError(f"{path} has schema {schema}, this version reads up to {AUDIT_SCHEMA}: update mmc")
    if weights != record.results[-1].weights_hash:
        return None, (f"{record.name}: the audit of older weights is ignored; run `mmc audit` again.",)
    return audit, ()


def _record(name: str, rows: list[AttackResult]) -> RunRecord:
    """Only what the newest weights did counts, and of a repeated evaluation only the last."""
    newest = rows[-1].weights_hash
    current = [row for row in rows if row.weights_hash == newest]
    ignored = len(rows) - len(current)
    note = f"{name}: {ignored} rows of older weights are ignored (newest weights: {newest[:12]})."
    latest = {_identity(row): row for row in current}
    return RunRecord(name, None, [], list(latest.values()), None, (note,) if ignored else ())


def _identity(row: AttackResult) -> tuple:
    settings = {key: value for key, value in row.settings.items() if key != "batch_size"}  # moves no verdict
    settings = json.dumps(settings, sort_keys=True)
    return row.data, row.split, row.suite, row.attack, settings, row.threat, row.eps, row.seed, tuple(row.index)


def _parse_object(line: str) -> dict:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _read_pictures(path: Path) -> dict[str, np.ndarray] | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except Exception as error:  # a damaged archive raises many things: zip, zlib, header, end of file
        raise UserError(f"{path} is damaged ({error}): delete it and run `mmc evaluate` again") from error
