"""The commands that make a run and its rows again, as far as both recorded what was asked for."""

import shlex
from collections.abc import Iterator, Sequence
from math import isclose

from ..results import AttackResult
from .conditions import CURVE, MINIMUM_NORM, TRANSFORMATIONS, condition_of, is_in_levels
from .reading import OTHER_WEIGHTS, RunRecord

CURVE_STARTS = 0.125  # of the budget: the smallest of `mmc evaluate --curve`


def commands(run: RunRecord) -> list[str]:
    """In order: the training from NAME.toml (the recipe), evaluations, audits."""
    audits = (_audit(run, audit) for audit in run.audits)
    return [*_training(run), *dict.fromkeys(_evaluations(run)), *audits]


def _training(run: RunRecord) -> Iterator[str]:
    name, imported = _name(run), run.facts.get("imported")
    if imported:
        yield f"# imported by mmc import-keras from {imported['file']}, SHA-256 {imported['sha256']}"
    elif run.recipe is not None and not run.shares_training:
        yield _line("train", "--recipe-file", f"{name}.toml", "--out", name)


def _evaluations(run: RunRecord) -> Iterator[str]:
    """A command for each suite, norm, split, number of images and seed, with all budgets; own attacks one by one."""
    audited = _audited(run)
    groups: dict[tuple, list[AttackResult]] = {}
    curves: dict[tuple, AttackResult] = {}  # of each the row with the smallest budget
    for row in run.results:
        if row.suite == CURVE:
            curves[_about(row)] = min(row, curves.get(_about(row), row), key=lambda row: row.eps)
        elif (row.suite, row.eps, row.num_images, row.seed) not in audited:
            own = row.attack if row.suite == "custom" else ""
            groups.setdefault((row.suite, own, _about(row)), []).append(row)
    for (suite, _, about), rows in groups.items():
        budgets = [] if condition_of(rows[0]).kind in (MINIMUM_NORM, TRANSFORMATIONS) else [row.eps for row in rows]
        curve = about in curves and any(isclose(eps * CURVE_STARTS, curves[about].eps) for eps in budgets)
        asked = _one_attack(rows[0]) if suite == "custom" else ["--suite", suite]
        if not asked:
            yield f"# {rows[0].attack}: from Python, max_mahalanobis.evaluate with the settings in its row"
            continue
        yield _evaluate(run, rows[0], asked, budgets, curve=curve)
        curves = {key: row for key, row in curves.items() if not (curve and key == about)}
    for row in curves.values():
        yield _evaluate(run, row, [], [row.eps / CURVE_STARTS], curve=True)


def _evaluate(run: RunRecord, row: AttackResult, asked: Sequence[str], budgets: Sequence[float], *, curve: bool) -> str:
    weights = OTHER_WEIGHTS.search(run.name)
    which = ["--weights", weights[1].removeprefix("epoch-")] if weights else []
    eps = [word for eps in dict.fromkeys(budgets) for word in ("--eps", eps_argument(eps, row.threat))]
    threat = [] if row.suite == TRANSFORMATIONS else ["--threat", row.threat.lower()]
    images = ["--images", str(row.num_images), "--split", row.split or "test", "--seed", str(row.seed)]
    return _line("evaluate", _name(run), *which, *asked, *threat, *eps, *images, *(["--curve"] if curve else []))


def _audit(run: RunRecord, audit: dict) -> str:
    facts, bounds = audit.get("facts", {}), audit["verdict"]["thresholds"]
    attacked, asked = facts.get("attacked", (None, audit["verdict"]["images"]))
    name = audit.get("run", "")
    what = [_name(run)] if ":" not in name else ["--model", name, "--data", audit["data"]]
    suites = dict.fromkeys(each["suite"] for each in audit.get("attacks", ()))
    words = [word for suite in suites for word in ("--suite", suite)]
    words += ["--threat", audit["threat"].lower(), "--eps", eps_argument(audit["eps"], audit["threat"])]
    words += ["--images", str(asked), *(["--split", audit["split"]] if audit.get("split") else [])]
    words += ["--trial-images", str(facts["images"])] if "images" in facts else []
    words += ["--seed", str(audit.get("seed", 0)), *(["--until-decided"] if attacked else [])]
    return _line("audit", *what, *words, *(f"--{name}={bound:g}" for name, bound in bounds.items()))


def _audited(run: RunRecord) -> set[tuple]:
    """What audits attacked: suites, budgets, numbers of images, seeds."""
    attacks = ((each, audit["seed"]) for audit in run.audits for each in audit.get("attacks", ()))
    return {(each["suite"], each["eps"], each["num_images"], seed) for each, seed in attacks}


def _about(row: AttackResult) -> tuple:
    return row.threat, row.split, row.data_hash, row.num_images, row.seed


def _one_attack(row: AttackResult) -> list[str]:
    """How `mmc evaluate` is asked for this attack; empty where it cannot be, or the row does not say."""
    own = row.settings.get("composed", []) in ([], ["every_target"]) and "steps" in row.settings
    if not own or not row.attack.startswith(row.settings.get("attack", " ")):
        return []
    objective = row.settings.get("objective")
    words = ["--attack", row.settings["attack"], *(["--objective", objective] if objective else [])]
    every = ["--every-target"] if "composed" in row.settings else []
    return [*words, "--steps", str(row.settings["steps"]), *every]


def eps_argument(eps: float, threat: str) -> str:
    """A budget as the command line takes it, exactly: a fraction where it is one of gray levels."""
    whole = (f"{round(eps * top)}/{top}" for top in (255, 256) if round(eps * top) / top == eps > 0)
    return next(whole, repr(eps)) if is_in_levels(threat) else repr(eps)


def _name(run: RunRecord) -> str:
    return OTHER_WEIGHTS.sub("", run.name)


def _line(*words: str) -> str:
    return shlex.join(["mmc", *words])
