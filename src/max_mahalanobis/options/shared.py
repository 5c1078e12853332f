"""What the options of several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

Flat = tyro.conf.arg(name="")
ThreatName = Literal["linf", "l2", "l1", "l0"]
Precision = Literal["32-true", "bf16-mixed"]  # as Recipe.precision


@dataclass(frozen=True)
class Machine:
    """Where and how loudly to work."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """accelerator; auto takes the best there is"""
    threads: int | None = None
    """CPU threads (PyTorch's own choice)"""
    quiet: bool = False
    """no progress on stderr"""


@dataclass(frozen=True)
class Files:
    """Where images come from."""

    data_dir: Path | None = None
    """folder with the data files, read only; otherwise the cache (MMC_CACHE)"""
    no_download: bool = False
    """never fetch absent files"""
