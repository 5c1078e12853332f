"""What training on MMC's loss costs beside softmax cross-entropy: forward, and backward to the features."""

import torch
from timing import parser, publish, race, ratio, times_of

from max_mahalanobis import MMCHead, SoftmaxHead

SIZES = {"10x256": (10, 256), "1000x2048": (1000, 2048)}  # classes, features
CALLS = 50  # in one measurement


def compare_heads(num_classes: int, dim: int, batch: int, repeats: int) -> dict:
    """One row: the time of the MMC head over that of the softmax head."""
    features, labels = torch.randn(batch, dim, requires_grad=True), torch.arange(batch) % num_classes
    heads = {"SCE": SoftmaxHead(dim, num_classes), "MMC": MMCHead(dim, num_classes)}

    def steps(name: str) -> None:
        for _ in range(CALLS):
            torch.autograd.grad(heads[name].loss(features, labels).mean(), features)

    steps("SCE"), steps("MMC")
    work = {"MMC over SCE": lambda: steps("MMC")}
    laps = race(f"heads of {num_classes} classes, {dim} features", work, repeats, lambda: steps("SCE"))["MMC over SCE"]
    time_ratio, cpu_ratio = ratio(laps.own, laps.yardstick)
    shared = {"benchmark": "head_loss", "model": f"{num_classes} x {dim}", "candidate": "MMC over SCE"}
    shared |= {"time_ratio": time_ratio, "cpu_ratio": cpu_ratio, "repeats": repeats, "batch": batch}
    return shared | times_of(laps)


def main() -> None:
    """Measure, print a table, and write the rows where asked."""
    options = parser(__doc__, images=128, repeats=15, contests=list(SIZES)).parse_args()
    torch.set_num_threads(options.threads)
    rows = [compare_heads(*SIZES[name], options.images, options.repeats) for name in options.contests]
    publish(rows, ["model", "candidate", "time_ratio", "cpu_ratio", "repeats", "batch"], options)


if __name__ == "__main__":
    main()
