"""Commands that tell: report, density, plan."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import options
from ..errors import UserError
from ..recipe import check_seed
from ..terminal import print_reading, print_tables, say
from .machine import load_data, use

if TYPE_CHECKING:
    from ..reports.reading import RunRecord

MACHINES = ("latex", "json", "csv", "robustbench")  # tables that stand on stdout alone


def report(asked: options.Report) -> None:
    """One table per condition on stdout, one page on disk."""
    from ..reports.page import write_page
    from ..reports.reading import read_runs

    if not asked.runs:
        raise UserError("no runs named: mmc report runs/*")
    if asked.out.suffix != ".html":
        raise UserError(f"--out {asked.out} must end in .html: the page replaces the file")
    runs = read_runs(asked.runs)
    machines = asked.format in MACHINES
    text, remarks = _for_machines(runs, asked.format) if machines else ("", ())
    write_page(runs, asked.out)
    if machines:
        print(text)
        for remark in remarks:
            say(remark, quiet=asked.machine.quiet)
        say(f"the page: {asked.out}", quiet=asked.machine.quiet)
        return
    _print_tables(runs, asked.format)
    print_reading(runs)
    print(f"\nThe page: {asked.out}")


def _for_machines(runs: Sequence["RunRecord"], form: str) -> tuple[str, Sequence[str]]:
    """What goes to stdout, and what is to be said beside it."""
    from ..reports.document import as_json
    from ..reports.robustbench import robustbench_entry
    from ..reports.tables import as_csv, as_latex, every_table

    if form == "robustbench":
        entry = robustbench_entry(runs)
        return json.dumps(entry.record, indent=2, ensure_ascii=False), entry.remarks
    if form == "json":
        return as_json(runs), ()
    tables = every_table(runs)
    if form == "csv":
        return as_csv(tables), ()
    parts = [table for section in ("accuracy", "budgets", "pairs") for table in tables[section]]
    return "\n\n".join(map(as_latex, parts)), ()


def _print_tables(runs: Sequence["RunRecord"], form: str) -> None:
    from ..reports.tables import accuracy_tables, as_markdown, budget_tables

    tables = [*accuracy_tables(runs), *budget_tables(runs)]
    if form == "markdown":
        print("\n\n".join(as_markdown(table) for table in tables))
    else:
        print_tables(tables)


def density(asked: options.Density) -> None:
    """Measure the features of runs; drawings, numbers and a page into a folder."""
    from ..experiments.densities import tell

    check_seed(asked.seed)
    if not asked.runs:
        raise UserError("no runs named: mmc density runs/a runs/b")
    if asked.images < 1:
        raise UserError(f"--images {asked.images} must be at least 1")
    tell(
        asked.runs,
        asked.out,
        load=lambda run: load_data(run.recipe, asked.files, run.trained_on, quiet=asked.machine.quiet),
        images=asked.images,
        convention=asked.convention,
        device=use(asked.machine),
        seed=asked.seed,
        overwrite=asked.overwrite,
        quiet=asked.machine.quiet,
    )


def plan(asked: options.Plan) -> None:
    """Images for a precision; the interval that many give, and the differences they show between two models."""
    from ..statistics import images_needed, proportion

    if not 0.05 <= asked.precision < 50:
        raise UserError(f"--precision {asked.precision:g} must lie in [0.05, 50): points of accuracy, often 1")
    if not 0 <= asked.accuracy <= 100:
        raise UserError(f"--accuracy {asked.accuracy:g} must lie in [0, 100]: give percent")
    if asked.images is not None and not 1 <= asked.images <= 10**7:
        raise UserError(f"--images {asked.images} must lie in [1, 10^7]")
    needed = images_needed(asked.precision / 100, asked.accuracy / 100)
    images = needed if asked.images is None else asked.images
    expected = proportion(round(images * asked.accuracy / 100), images)
    unit = "point" if asked.precision == 1 else "points"
    print(f"{asked.accuracy:g} % to +-{asked.precision:g} {unit} (95 %, Wilson): {needed:,} images")
    print(f"{images:,} images show {expected}; where none holds {proportion(0, images)}")
    if 0 < asked.accuracy < 100:
        _print_differences(images, asked.accuracy / 100)


def _print_differences(images: int, accuracy: float) -> None:
    """By how often exactly one model is right: most where their errors are independent, less where they share them."""
    from ..statistics import difference_shown

    independent = 2 * accuracy * (1 - accuracy)
    print("two models on the same images, differences seen (McNemar p < 0.05) four times in five:")
    for share in sorted({0.05, 0.1, 0.2, independent}):
        if 0 < share <= independent:
            shown = difference_shown(images, share)
            result = "none" if shown is None else f"from {100 * shown:.2g} points"
            remark = " (independent errors)" if share == independent else ""
            print(f"  {result} where one alone is right on {100 * share:.3g} % of images{remark}")
