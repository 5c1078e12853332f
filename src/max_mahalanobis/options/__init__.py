"""What the command line can be told: one frozen dataclass per command, its fields are the options."""

from .attacking import Audit, Evaluate, Work
from .making import Centers, ImportKeras, Quickstart, Train
from .shared import Files, Flat, Machine, Precision, ThreatName
from .sweeping import Cluster, Sweep
from .telling import Density, Plan, Report

Command = Quickstart | Centers | Train | Evaluate | Audit | Report | Density | Plan | Sweep | ImportKeras
COMMANDS: dict[str, type[Command]] = {
    "quickstart": Quickstart,
    "centers": Centers,
    "train": Train,
    "evaluate": Evaluate,
    "audit": Audit,
    "sweep": Sweep,
    "report": Report,
    "plan": Plan,
    "import-keras": ImportKeras,
    "density": Density,
}

__all__ = [
    "COMMANDS",
    "Audit",
    "Centers",
    "Cluster",
    "Command",
    "Density",
    "Evaluate",
    "Files",
    "Flat",
    "ImportKeras",
    "Machine",
    "Plan",
    "Precision",
    "Quickstart",
    "Report",
    "Sweep",
    "ThreatName",
    "Train",
    "Work",
]
