"""The epochs of a training, written where other programs read them: a CSV file, or TensorBoard."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import UserError
from ..runs import Run, read_metrics

if TYPE_CHECKING:
    from lightning_fabric.loggers import Logger

FOLDER = "logs"  # in the run folder


def epoch_log(kind: str, run: Run) -> Callable[[dict], None]:
    """Takes the dicts that `train` reports and logs every number of a finished epoch, the step being its count from 1.

    Into logs/ of the run, whatever it held before; the epochs that metrics.jsonl has already come first, so that a
    resumed training has them all.

    Raises:
        UserError: TensorBoard is asked for and not installed.
    """
    if kind == "none":
        return lambda event: None
    logger = LOGGERS[kind](run)
    first = True

    def log(event: dict) -> None:
        nonlocal first
        if not event["epoch_done"]:
            return
        lines = [*_before(run, event["epoch"]), event] if first else [event]
        if first:
            _empty(run)
        for line in lines:
            logger.log_metrics(_numbers(line), step=line["epoch"] + 1)
        logger.save()
        first = False

    return log


def _csv(run: Run) -> "Logger":
    from lightning_fabric.loggers import CSVLogger

    return CSVLogger(run.path, name=FOLDER, version="")


def _tensorboard(run: Run) -> "Logger":
    from lightning_fabric.loggers import TensorBoardLogger

    try:
        return TensorBoardLogger(run.path, name=FOLDER, version="")
    except ModuleNotFoundError as error:
        raise UserError("--log tensorboard needs tensorboard: pip install 'max-mahalanobis[tensorboard]'") from error


LOGGERS = {"csv": _csv, "tensorboard": _tensorboard}


def _before(run: Run, epoch: int) -> list[dict]:
    return [line for line in read_metrics(run) if "event" not in line and line["epoch"] < epoch]


def _empty(run: Run) -> None:
    for kind in ("metrics.csv", "events.out.tfevents.*"):
        for file in (run.path / FOLDER).glob(kind):
            file.unlink()


def _numbers(line: dict) -> dict[str, float]:
    """What can be drawn: None (no adversary) and words are left out, the count of the epoch is the step."""
    kept = {name: value for name, value in line.items() if name not in ("epoch", "epochs", "epoch_done")}
    return {name: value for name, value in kept.items() if isinstance(value, int | float)}
