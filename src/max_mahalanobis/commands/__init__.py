"""What each command does: options in, files and printed lines out."""

from collections.abc import Callable

from .. import options
from .attacking import evaluate
from .auditing import audit
from .making import centers, import_keras, quickstart, train
from .telling import density, plan, report

COMMANDS: dict[type, Callable] = {
    options.Quickstart: quickstart,
    options.Centers: centers,
    options.Train: train,
    options.Evaluate: evaluate,
    options.Audit: audit,
    options.Report: report,
    options.Density: density,
    options.Plan: plan,
    options.ImportKeras: import_keras,
}
