"""What training on each head's loss costs beside softmax cross-entropy: forward, and backward to the features."""

import torch
from timing import parser, publish, race, ratio, times_of

from max_mahalanobis.errors import UserError
from max_mahalanobis.heads import HEADS, Head, make_head

SIZES = {"10x256": (10, 256), "1000x2048": (1000, 2048)}  # classes, features
SHORT = {"mmc": "MMC"}
CALLS = 50  # in one measurement


def compare_heads(name: str, num_classes: int, dim: int, batch: int, repeats: int) -> dict:
    """One row: the time of a head over that of the softmax head."""
    features, labels = torch.randn(batch, dim, requires_grad=True), torch.arange(batch) % num_classes
    shared = {
        "benchmark": "head_loss",
        "model": f"{num_classes} x {dim}",
        "candidate": f"{SHORT.get(name, name)} over SCE",
    }
    try:
        heads = {kind: make_head(kind, dim, num_classes) for kind in ("softmax", name)}
    except UserError as error:
        return shared | {"note": str(error)}

    def steps(head: Head) -> None:
        for _ in range(CALLS):
            torch.autograd.grad(head.loss(features, labels).mean(), features)

    for head in heads.values():
        steps(head)
    work = {name: lambda: steps(heads[name])}
    laps = race(f"heads of {num_classes} classes, {dim} features", work, repeats, lambda: steps(heads["softmax"]))[name]
    time_ratio, cpu_ratio = ratio(laps.own, laps.yardstick)
    shared |= {"time_ratio": time_ratio, "cpu_ratio": cpu_ratio, "repeats": repeats, "batch": batch}
    return shared | times_of(laps)


def main() -> None:
    """Measure, print a table, and write the rows where asked."""
    options = parser(__doc__, images=128, repeats=15, contests=list(SIZES)).parse_args()
    torch.set_num_threads(options.threads)
    rivals = [name for name in HEADS if name != "softmax"]
    sizes = [SIZES[contest] for contest in options.contests]
    rows = [compare_heads(name, *size, options.images, options.repeats) for size in sizes for name in rivals]
    publish(rows, ["model", "candidate", "time_ratio", "cpu_ratio", "repeats", "batch", "note"], options)


if __name__ == "__main__":
    main()
