"""The command that attacks: evaluate."""

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from .. import options
from ..errors import UserError
from ..recipe import check_eps, check_seed
from ..runs import load_classifier, open_run
from ..terminal import attack_progress, print_reading, print_tables
from .machine import load_split, use

if TYPE_CHECKING:
    from ..evaluation import Suite
    from ..runs import Run
    from ..threats import ThreatModel


def evaluate(asked: options.Evaluate) -> None:
    """Attack a run under every suite and budget asked for, record the rows, print the tables."""
    from ..evaluation import UNLIMITED, evaluate_run
    from ..models import accelerated
    from ..processes import end_processes, start_processes
    from ..reports.reading import read_runs
    from ..reports.tables import accuracy_tables, budget_tables

    _check(asked)
    device = use(asked.machine, mps=False)
    run = open_run(asked.run)
    weights = _weights(asked.weights, run)
    model = load_classifier(run, weights)
    split = load_split(asked, run)
    cases = _cases(asked, run)
    together = start_processes(asked.devices, device, threads=asked.machine.threads)
    first = together is None or together.global_rank == 0
    if first and not asked.eps and any(suite not in UNLIMITED for suite, _ in cases):
        print(f"threat: {cases[0][1].name} eps {cases[0][1].eps:.6g}, the usual one here")
    with attack_progress(run.name, quiet=asked.machine.quiet or not first) as show:
        rows = evaluate_run(
            run,
            model.to(together.device if together else device),
            split,
            cases=cases,
            curve=asked.curve,
            weights=weights,
            split_name=asked.split,
            batch_size=asked.batch_size,
            seed=asked.seed,
            faster=partial(accelerated, compile=asked.compile, precision=asked.precision),
            progress=show,
        )
    end_processes(together)
    if first:
        (record,) = (replace(r, results=rows) for r in read_runs([run.path]) if r.name == rows[0].run)
        print_tables([*accuracy_tables([record]), *budget_tables([record])])
        print_reading([record])


def _check(asked: options.Evaluate) -> None:
    for eps in asked.eps:
        check_eps(eps, asked.threat)
    check_seed(asked.seed)
    for name, value in (("images", asked.images), ("batch-size", asked.batch_size), ("devices", asked.devices)):
        if value < 1:
            raise UserError(f"--{name} {value} must be at least 1")


def _weights(given: str | None, run: "Run") -> str | int | None:
    """The weights of the run that are asked for, which must be there: best, last, or an epoch's."""
    if given is None:
        return None
    there = [name for name in ("best", "last") if run.checkpoint_file(name).exists()] + run.kept_epochs
    for which in there:
        if str(which) == given:
            return which
    remedy = f"choose from {', '.join(map(str, there))}" if there else "it keeps its own alone, leave --weights out"
    raise UserError(f"--weights {given}: {run.path} has no such weights: {remedy} (mmc train --keep N keeps N epochs)")


def _cases(asked: options.Evaluate, run: "Run") -> "list[tuple[str | Suite, ThreatModel]]":
    """Every suite (or the one attack described instead) with every budget; refused here, before hours of work."""
    from ..data import default_eps
    from ..evaluation import UNLIMITED, make_suite, single_attack
    from ..threats import THREATS, make_threat

    described = {"objective": asked.objective, "steps": asked.steps, "passes": asked.passes}
    given = [name for name, value in described.items() if value is not None] + ["every-target"] * asked.every_target
    if asked.attack is None and given:
        raise UserError(f"--{given[0]} belongs to one attack: name it with --attack, for example --attack apgd")
    facts = run.trained_on
    suites = list(dict.fromkeys(asked.suite or ("quick",)))
    limited = asked.attack is not None or asked.curve or any(suite not in UNLIMITED for suite in suites)
    budgets = asked.eps or ((default_eps(run.recipe.data, asked.threat),) if limited else ())
    threats = [make_threat(asked.threat, eps) for eps in dict.fromkeys(budgets)]
    if asked.attack is not None:
        shape = {"num_classes": facts["num_classes"], "aim_at_every_target": asked.every_target}
        return [(single_attack(asked.attack, threat, **described, **shape), threat) for threat in threats]
    image_shape = tuple(facts["image_shape"])
    no_limit = THREATS[asked.threat].unlimited(math.prod(image_shape))
    cases = [(s, threat) for threat in threats for s in suites if s not in UNLIMITED]
    cases += [(s, threats[0] if threats else no_limit) for s in suites if s in UNLIMITED]
    for suite, threat in [*cases, *(("curve", threat) for threat in threats if asked.curve)]:
        make_suite(suite, threat, image_shape=image_shape)
    return cases
