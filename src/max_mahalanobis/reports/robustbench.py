"""One run as a record in the form of RobustBench's model_info files (https://robustbench.github.io)."""

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import UserError
from ..results import AttackResult
from ..statistics import Proportion
from .conditions import FIXED, Condition, conditions, eps_text, norm_name, rows_under
from .reading import EVALUATE_FIRST, RunRecord
from .verdicts import clean_accuracy, robust_accuracy

GRADED = ("auto", "audit", "auto_plus", "exhaustive")  # suites that hold AutoAttack's standard set:
STANDARD = {"apgd-ce", "apgd-t", "fab-t", "square"}
NAMES = {  # architectures as RobustBench writes them
    "resnet18": "ResNet-18",
    "preact_resnet18": "PreActResNet-18",
    "wide_resnet28_10": "WideResNet-28-10",
    "wide_resnet34_10": "WideResNet-34-10",
}


class Entry(NamedTuple):
    """The record, and what a person must know or fill in before it is handed on."""

    record: dict
    remarks: tuple[str, ...]


def robustbench_entry(runs: Sequence[RunRecord]) -> Entry:
    """The record of the only run: accuracies in percent with two digits, counted from its rows.

    Of several budgets, the one met by AutoAttack's standard set, on most images; then that of its training, then the
    smallest. `reported` is the worst case of everything run there, `autoattack_acc` that of suites which hold the
    standard set; without one the field is absent. `unreliable` is true where an audit doubts its number, or the model's
    output showed a sign against it.

    Raises:
        UserError: there are several runs, or no rows at a fixed budget.
    """
    own = [run for run in runs if not run.shares_training]
    if len(own) != 1:
        raise UserError(f"RobustBench keeps a file per model, got {len(own)} runs: report on one of them")
    (run,) = own
    found = _groups(run)
    if not found:
        raise UserError(f"{run.name} has no rows at a fixed budget: {EVALUATE_FIRST} with --suite auto")
    condition, rows = found[0]
    graded = _graded(rows)
    record = {"link": "", "name": run.name, "authors": ""} | _about(run, condition)
    record |= {"clean_acc": _percent(clean_accuracy(rows)), "reported": _percent(robust_accuracy(rows))}
    record |= {"autoattack_acc": _percent(robust_accuracy(graded))} if graded else {}
    record |= {"footnote": _footnote(run, rows, graded), "unreliable": _is_unreliable(run, rows)}
    return Entry(record, _remarks(run, condition, [other for other, _ in found[1:]]))


def _about(run: RunRecord, condition: Condition) -> dict:
    recipe = run.recipe
    return {
        "additional_data": None if recipe is None else bool(recipe.get("extra_data") or recipe.get("pretrained")),
        "number_forward_passes": 1,
        "dataset": condition.data,
        "venue": "",
        "architecture": _architecture(recipe or {}),
        "eps": eps_text(condition.eps, condition.threat),
    }


def _groups(run: RunRecord) -> list[tuple[Condition, list[AttackResult]]]:
    """All rows at each budget on the same images, of every suite; those to tell of first."""
    grouped: dict[Condition, list[AttackResult]] = {}
    for condition in conditions([run], FIXED):
        grouped.setdefault(condition._replace(suite=""), []).extend(rows_under(run, condition))
    trained = (run.recipe or {}).get("eps")

    def weight(group: tuple[Condition, list[AttackResult]]) -> tuple:
        condition, rows = group
        return bool(_graded(rows)), len(condition.index), condition.eps == trained, condition.eps > 0, -condition.eps

    return sorted(grouped.items(), key=weight, reverse=True)


def _graded(rows: Sequence[AttackResult]) -> list[AttackResult]:
    """Rows of the suites that ran all of AutoAttack's standard set."""
    by_suite = [[row for row in rows if row.suite == suite] for suite in GRADED]
    return [row for some in by_suite if {row.attack for row in some} >= STANDARD for row in some]


def _architecture(recipe: dict) -> str:
    model, blocks = recipe.get("model", ""), recipe.get("blocks", 0)
    if model in ("resnet_v1", "resnet_v2"):
        return f"ResNet-{6 * blocks + 2}" if model == "resnet_v1" else f"ResNet-{9 * blocks + 2} v2"
    return NAMES.get(model, model.partition(":")[2] or model)


def _footnote(run: RunRecord, rows: Sequence[AttackResult], graded: Sequence[AttackResult]) -> str:
    """What was run, by whose code, on how many images."""
    ran = graded or rows
    suites = ", ".join(dict.fromkeys(row.suite for row in ran))
    what = "AutoAttack's standard set as implemented by" if graded else "Not AutoAttack:"
    total = run.facts.get("num_test") if rows[0].split == "test" else None
    images = f"{rows[0].num_images} of {total}" if isinstance(total, int) else f"{rows[0].num_images}"
    return (
        f"{what} max_mahalanobis {rows[-1].version}, suite {suites} ({len({row.attack for row in ran})} attacks), on "
        f"{images} {rows[0].split or 'given'} images; an upper bound of the robust accuracy."
    )


def _is_unreliable(run: RunRecord, rows: Sequence[AttackResult]) -> bool:
    doubted = any(audit["verdict"]["reliability"] == "doubtful" for audit in _audits_at(run, rows[0]))
    return doubted or any(row.signs or row.non_finite for row in rows)


def _audits_at(run: RunRecord, at: Condition | AttackResult) -> list[dict]:
    """The verdicts at this budget, on images of this split."""
    about = at.threat, at.eps, at.split
    return [audit for audit in run.audits if (audit["threat"], audit["eps"], audit["split"]) == about]


def _remarks(run: RunRecord, condition: Condition, others: Sequence[Condition]) -> tuple[str, ...]:
    unknown = ["link", "authors", "venue", *(["additional_data", "architecture"] if run.recipe is None else [])]
    remarks = [f"left empty, for you to fill in: {', '.join(unknown)}; name is that of the run, not of a paper"]
    remarks += [f"the norm is not in the record: its file belongs under {condition.data}/{norm_name(condition.threat)}"]
    if others:
        left = ", ".join(f"{other.budget} on {len(other.index)} images" for other in others)
        remarks.append(f"the record is of {condition.budget} on {len(condition.index)} images; left out: {left}")
    if not _audits_at(run, condition):
        remarks.append(f"unreliable speaks of the model's output alone: run `mmc audit` on {run.name} at this budget")
    return tuple(remarks)


def _percent(share: Proportion) -> str:
    return f"{100 * share.value:.2f}"
