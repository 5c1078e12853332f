"""The commands that make a run and its rows again, as far as both recorded what was asked for."""

import shlex
from collections.abc import Iterator, Sequence
from math import isclose
from typing import get_args

from ..results import AttackResult, BudgetSuiteName, SuiteName
from .conditions import CURVE, MINIMUM_NORM, PLAIN, TRANSFORMATIONS, asked_of, attacked, condition_of, is_in_levels
from .reading import OTHER_WEIGHTS, RunRecord

CURVE_STARTS = 0.125  # of the budget: the smallest of `mmc evaluate --curve`
ONE_BY_ONE = ("custom", PLAIN)  # suites whose attacks are asked for by themselves
OWN_SETTINGS = ("samples", "delta", "kind", "severity")  # in an attack's name where they were asked for
FROM = " from "  # between a suite and the run that its attacks were made against


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
    audited = {asked for audit in run.audits for asked in attacked(audit)}
    groups: dict[tuple, list[AttackResult]] = {}
    curves: dict[tuple, AttackResult] = {}  # of each the row with the smallest budget
    for row in run.results:
        if row.suite == CURVE:
            curves[_about(row)] = min(row, curves.get(_about(row), row), key=lambda row: row.eps)
        elif asked_of(row) not in audited:
            own = row.attack if row.suite.partition(FROM)[0] in ONE_BY_ONE else ""
            groups.setdefault((row.suite, own, _about(row)), []).append(row)
    for (suite, own, about), rows in groups.items():
        budgets = [] if condition_of(rows[0]).kind in (MINIMUM_NORM, TRANSFORMATIONS) else [row.eps for row in rows]
        curve = about in curves and any(isclose(eps * CURVE_STARTS, curves[about].eps) for eps in budgets)
        asked = _asked(rows[0])
        if not asked:
            yield f"# {own or f'suite {suite}'}: from Python, max_mahalanobis.evaluate with the settings in its rows"
            continue
        yield _evaluate(run, rows[0], asked, budgets, curve=curve)
        curves = {key: row for key, row in curves.items() if not (curve and key == about)}
    for row in curves.values():
        yield _evaluate(run, row, [], [row.eps / CURVE_STARTS], curve=True)


def _evaluate(run: RunRecord, row: AttackResult, asked: Sequence[str], budgets: Sequence[float], *, curve: bool) -> str:
    eps = [word for eps in dict.fromkeys(budgets) for word in ("--eps", eps_argument(eps, row.threat))]
    threat = [] if row.suite == TRANSFORMATIONS else ["--threat", row.threat.lower()]
    images = ["--images", str(row.num_images), "--split", row.split or "test", "--seed", str(row.seed)]
    return _line(
        "evaluate", _name(run), *_weights(run), *asked, *threat, *eps, *images, *(["--curve"] if curve else [])
    )


def _audit(run: RunRecord, audit: dict) -> str:
    facts, bounds = audit.get("facts", {}), audit["verdict"]["thresholds"]
    decided, asked = facts.get("attacked", (None, audit["verdict"]["images"]))
    name = audit.get("run", "")
    what = [_name(run), *_weights(run)] if ":" not in name else ["--model", name, "--data", audit["data"]]
    suites = dict.fromkeys(each["suite"] for each in audit.get("attacks", ()))
    words = [word for suite in suites if suite in get_args(BudgetSuiteName) for word in ("--suite", suite)]
    words += ["--threat", audit["threat"].lower(), "--eps", eps_argument(audit["eps"], audit["threat"])]
    words += ["--images", str(asked), *(["--split", audit["split"]] if audit.get("split") else [])]
    words += ["--trial-images", str(facts["images"])] if "images" in facts else []
    words += ["--source", facts["source"]] if "source" in facts else []
    words += ["--seed", str(audit.get("seed", 0)), *(["--until-decided"] if decided else [])]
    return _line("audit", *what, *words, *(f"--{name}={bound:g}" for name, bound in bounds.items()))


def _about(row: AttackResult) -> tuple:
    return row.threat, row.split, row.data_hash, row.num_images, row.seed


def _asked(row: AttackResult) -> list[str]:
    """How `mmc evaluate` is asked for this row's suite, or its attack; empty where it cannot be."""
    suite, _, source = row.suite.partition(FROM)
    known = ["--suite", suite] if suite in get_args(SuiteName) else []
    asked = _one_attack(row) if suite in ONE_BY_ONE else known
    return [*asked, "--source", source] if asked and source else asked


def _one_attack(row: AttackResult) -> list[str]:
    """How `mmc evaluate` is asked for this attack; empty where it cannot be, or the row does not say."""
    settings = row.settings
    composed = [name for name in settings.get("composed", []) if name != "transferred_from"]
    own = composed in ([], ["every_target"]) and settings.keys() & {"steps", *OWN_SETTINGS}
    if not own or not row.attack.startswith(settings.get("attack", " ")):
        return []
    given = {"objective": settings.get("objective"), "steps": settings.get("steps")}
    given |= {name: settings[name] for name in OWN_SETTINGS if f", {name} " in row.attack}
    words = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
    return ["--attack", settings["attack"], *words, *(["--every-target"] if composed else [])]


def eps_argument(eps: float, threat: str) -> str:
    """A budget as the command line takes it, exactly: a fraction where it is one of gray levels."""
    whole = (f"{round(eps * top)}/{top}" for top in (255, 256) if round(eps * top) / top == eps > 0)
    return next(whole, repr(eps)) if is_in_levels(threat) else repr(eps)


def _name(run: RunRecord) -> str:
    return OTHER_WEIGHTS.sub("", run.name)


def _weights(run: RunRecord) -> list[str]:
    """How other weights than those the run ends with are asked for."""
    found = OTHER_WEIGHTS.search(run.name)
    return ["--weights", found[1].removeprefix("epoch-")] if found else []


def _line(*words: str) -> str:
    return shlex.join(["mmc", *words])
