"""What each command does: options in, files and printed lines out; an exit code where it is not 0."""

from collections.abc import Callable

from .. import options
from .attacking import evaluate
from .auditing import audit
from .making import centers, import_keras, quickstart, train
from .sweeping import sweep
from .telling import density, plan, report

COMMANDS: dict[type, Callable] = {
    options.Quickstart: quickstart,
    options.Centers: centers,
    options.Train: train,
    options.Evaluate: evaluate,
    options.Audit: audit,
    options.Sweep: sweep,
    options.Report: report,
    options.Density: density,
    options.Plan: plan,
    options.ImportKeras: import_keras,
}
