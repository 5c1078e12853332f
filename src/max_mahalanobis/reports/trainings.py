"""What the metrics of a training say: its epochs, and which of them validation judged best."""

from collections.abc import Sequence

CLEAN, ROBUST = "validation_accuracy", "robust_validation_accuracy"


def epochs(metrics: Sequence[dict]) -> list[dict]:
    """The epoch lines in order, without events; of an epoch trained twice (resumed) the last."""
    lines = {line["epoch"]: line for line in metrics if "event" not in line and is_number(line.get("epoch"))}
    return [lines[epoch] for epoch in sorted(lines) if is_number(lines[epoch].get("loss"))]


def judged(lines: Sequence[dict], by: str) -> list[dict]:
    """Those of the epochs that have this accuracy."""
    return [line for line in lines if is_number(line.get(by))]


def ends(lines: Sequence[dict]) -> tuple[str, dict, dict] | None:
    """By which accuracy epochs are compared (robust where there is one, else clean), the first best, and the last."""
    for by in (ROBUST, CLEAN):
        if compared := judged(lines, by):
            return by, max(compared, key=lambda line: line[by]), compared[-1]
    return None


def counted(line: dict) -> int:
    """The number of an epoch as people count, from 1: metrics.jsonl counts from 0."""
    return line["epoch"] + 1


def is_number(value: object) -> bool:
    """Whether this is a number to draw or compare, neither absent nor a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)
