"""What a run left on disk, read back as one record."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import read_lines
from ..recipe import read_toml
from ..results import AttackResult, read_results

AUDIT_SCHEMA = 1  # the newest form of a verdict that is understood
OTHER_WEIGHTS = re.compile(r"@(best|last|epoch-\d+)$")  # at the end of a row's run: as `Run.checkpoint_file` names them
AUDITED = {"run", "weights_hash", "threat", "eps", "split", "verdict"}  # what a verdict's file must say
JUDGED = {"number", "interval", "images", "clean", "reliability", "robustness"}  # and in it, the verdict
JUDGED |= {"illusion", "findings", "complete", "thresholds"}
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
    audits: tuple[dict, ...] = ()
    shares_training: bool = False
    """Of other weights of a training (`mmc evaluate --weights`) that the record before it tells of."""

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
    """The run in a folder, or the only run in a bare `.jsonl` of result rows; other weights of the run are left out.

    Raises:
        UserError: it is not a run, a line is damaged, there are no rows, or the file holds several runs.
    """
    runs = [run for run in _read(Path(path)) if not run.shares_training]
    if len(runs) > 1:
        names = ", ".join(run.name for run in runs)
        raise UserError(f"{path} holds {len(runs)} runs ({names}): read it with read_runs")
    return runs[0]


def read_runs(paths: Sequence[Path]) -> list[RunRecord]:
    """The runs in folders and `.jsonl` files, in the order given; a name used twice is told apart by its path.

    Other weights of a run that were evaluated (NAME@best) follow it, each as a record of its own.
    """
    found = {Path(path).resolve(): Path(path) for path in paths}
    runs = [(path, run) for path in found.values() for run in _read(path)]
    names = [run.name for _, run in runs]
    return [run if names.count(run.name) == 1 else replace(run, name=f"{run.name} ({path})") for path, run in runs]


def _read(path: Path) -> list[RunRecord]:
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        raise UserError(f"there is no {path}: give a run folder made by `mmc train`, or a .jsonl of result rows")
    rows = read_results(path)
    if not rows:
        raise UserError(f"{path} holds no result rows: give a run folder, and {EVALUATE_FIRST}")
    names = dict.fromkeys(row.run for row in rows)
    return [_record(name, [row for row in rows if row.run == name]) for name in names]


def _read_folder(folder: Path) -> list[RunRecord]:
    """The run's own weights, where they were evaluated, then others of it."""
    recipe, results = folder / "recipe.toml", folder / "results.jsonl"
    if not recipe.exists() and not results.exists():
        raise UserError(f"{folder} is not a run folder (it has no recipe.toml): give one that `mmc train` made")
    rows = read_results(results)
    if not rows:
        raise UserError(f"{folder} holds no results: {EVALUATE_FIRST}")
    name, toml = folder.resolve().name, read_toml(recipe) if recipe.exists() else None
    weights = [weights_of(row.run, name) for row in rows]
    records, audits = [], _read_audits(folder / "audit")
    for which in sorted(dict.fromkeys(weights), key=bool):  # those of the run itself, "", first
        mine = [row for row, own in zip(rows, weights, strict=True) if own == which]
        record = replace(_record(name + which, mine), recipe=toml, shares_training=bool(records))
        if not records:
            record = replace(record, metrics=read_lines(folder / "metrics.jsonl", _parse_object))
        if not which:
            record = replace(record, pictures=_read_pictures(folder / "pictures.npz"))
        records.append(_with_audits(record, [audit for audit in audits if weights_of(audit["run"], name) == which]))
    return records


def weights_of(run: str, folder: str) -> str:
    """Which weights a row's run name says after the run's own name, which may be another than the folder's by now."""
    found = None if run == folder else OTHER_WEIGHTS.search(run)
    return found[0] if found else ""


def _read_audits(folder: Path) -> list[dict]:
    """Every verdict of `mmc audit`, by threat, budget and number of images."""
    audits = [_read_audit(path) for path in sorted(folder.glob("*.json"))]
    return sorted(audits, key=lambda audit: (audit["threat"], audit["eps"], audit["verdict"]["images"]))


def _read_audit(path: Path) -> dict:
    try:
        audit = _parse_object(path.read_text(encoding="utf-8"))
        schema = audit["schema"]
        if schema <= AUDIT_SCHEMA:
            _check_audit(audit)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): run `mmc audit` again") from error
    if schema > AUDIT_SCHEMA:
        raise UserError(f"{path} has schema {schema}, this version reads up to {AUDIT_SCHEMA}: update mmc")
    return audit


def _check_audit(audit: dict) -> None:
    lacking = AUDITED - audit.keys() or JUDGED - audit["verdict"].keys()
    if lacking:
        raise ValueError(f"it has no {', '.join(sorted(lacking))}")
    if not (audit["threat"] > "" and audit["eps"] >= 0 and audit["verdict"]["images"] > 0):
        raise ValueError("it names no threat, no budget or no images")


def _with_audits(record: RunRecord, audits: Sequence[dict]) -> RunRecord:
    """The record with those verdicts that are about its weights; the others are counted in a note."""
    mine = tuple(audit for audit in audits if audit["weights_hash"] == record.results[-1].weights_hash)
    count = len(audits) - len(mine)
    older = "audit of older weights is" if count == 1 else "audits of older weights are"
    note = (f"{record.name}: {count} {older} ignored; run `mmc audit` again.",) if count else ()
    return replace(record, notes=(*record.notes, *note), audits=mine)


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
