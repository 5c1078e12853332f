"""The command that attacks: evaluate."""

from dataclasses import replace
from functools import partial

from .. import options
from ..recipe import check_eps
from ..reports.conditions import eps_text
from ..results import AttackResult
from ..runs import Run, load_classifier, open_run
from ..terminal import attack_progress, print_reading, print_tables
from .cases import cases_of, made_against, needs_budget
from .machine import check_work, chosen_weights, load_source, load_split, use


def evaluate(asked: options.Evaluate) -> None:
    """Attack a run under every suite and budget asked for, record the rows, print the tables."""
    from ..evaluation import evaluate_run
    from ..models import accelerated
    from ..processes import end_processes, start_processes

    for eps in asked.eps:
        check_eps(eps, asked.threat)
    work = check_work(asked.work)
    device = use(asked.machine, mps=False)
    run = open_run(asked.run)
    weights = chosen_weights(work.weights, run)
    model = load_classifier(run, weights)
    split = load_split(asked, run)
    cases = cases_of(asked, run)
    source = None if work.source is None else load_source(work.source, split, run)
    together = start_processes(work.devices, device, threads=asked.machine.threads)
    first, device = together is None or together.global_rank == 0, together.device if together else device
    if first and not asked.eps and needs_budget(asked):
        print(f"threat: {cases[0][1].name} eps {eps_text(cases[0][1].eps, cases[0][1].name)}, the usual one here")
    if source is not None:
        against = partial(made_against, source.model.to(device), source.name, image_shape=tuple(split.images.shape[1:]))
        cases = [(against(suite, threat), threat) for suite, threat in cases]
    with attack_progress(run.name, quiet=asked.machine.quiet or not first) as show:
        rows = evaluate_run(
            run,
            model.to(device),
            split,
            cases=cases,
            curve=asked.curve,
            weights=weights,
            split_name=work.split,
            batch_size=work.batch_size,
            seed=work.seed,
            faster=partial(accelerated, compile=work.compile, precision=work.precision),
            progress=show,
        )
    end_processes(together)
    if first:
        _print(run, rows)


def _print(run: Run, rows: list[AttackResult]) -> None:
    from ..reports.reading import read_runs
    from ..reports.tables import accuracy_tables, budget_tables

    (record,) = (replace(r, results=rows) for r in read_runs([run.path]) if r.name == rows[0].run)
    print_tables([*accuracy_tables([record]), *budget_tables([record])])
    print_reading([record])
