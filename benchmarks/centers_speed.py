"""What the closed form of the simplex costs beside the authors' double loop, and what a search for centers takes."""

import os
import tempfile

import torch
from timing import parser, publish, race, ratio, times_of

from max_mahalanobis.centers import max_mahalanobis_centers
from max_mahalanobis.centers.bounds import angle_bound, geometry

SIMPLICES = {"10x256": (10, 256), "100x256": (100, 256), "1000x2048": (1000, 2048)}  # classes, features
SEARCHES = {"24x3": (24, 3), "100x16": (100, 16), "1000x128": (1000, 128)}
COLUMNS = ["model", "candidate", "seconds", "cpu_seconds", "time_ratio", "cpu_ratio", "cosine", "of_bound", "repeats"]


def double_loop(num_classes: int, dim: int) -> torch.Tensor:
    """The recursion of Pang et al. 2018, algorithm 1: class by class, coordinate by coordinate."""
    centers = torch.zeros(num_classes, dim, dtype=torch.float64)
    centers[0, 0] = 1
    for i in range(1, num_classes):
        for j in range(i):
            centers[i, j] = -(1 / (num_classes - 1) + centers[i] @ centers[j]) / centers[j, j]
        if i < num_classes - 1:
            centers[i, i] = (1 - centers[i].square().sum()).abs().sqrt()
    return centers


def compare_simplices(name: str, repeats: int) -> dict:
    """One row: the time of the double loop over ours."""
    sizes = SIMPLICES[name]
    repeats = repeats if sizes[0] < 1000 else min(repeats, 3)
    work = {"double loop": lambda: double_loop(*sizes)}
    laps = race(f"simplex {name}", work, repeats, lambda: max_mahalanobis_centers(*sizes))["double loop"]
    time_ratio, cpu_ratio = ratio(laps.own, laps.yardstick)
    row = {"benchmark": "centers", "model": name, "candidate": "double loop over closed form", "repeats": repeats}
    return row | {"time_ratio": time_ratio, "cpu_ratio": cpu_ratio} | times_of(laps)


def measure_search(name: str) -> dict:
    """One row: how long a search takes, its largest cosine, its smallest angle as a share of the bound."""
    sizes, found = SEARCHES[name], []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMC_CACHE"] = folder
        laps = race(f"search {name}", {"search": lambda: found.append(max_mahalanobis_centers(*sizes))}, 1)["search"]
    best = geometry(found[0])
    row = {"benchmark": "centers", "model": name, "candidate": "search", "repeats": 1, "cosine": best.cosine}
    return row | {"of_bound": best.angle / angle_bound(*sizes).angle} | times_of(laps)


def main() -> None:
    """Measure, print a table, and write the rows where asked."""
    options = parser(__doc__, images=1, repeats=15, contests=[*SIMPLICES, *SEARCHES]).parse_args()
    torch.set_num_threads(options.threads)
    rows = [compare_simplices(name, options.repeats) for name in options.contests if name in SIMPLICES]
    rows += [measure_search(name) for name in options.contests if name in SEARCHES]
    publish(rows, COLUMNS, options)


if __name__ == "__main__":
    main()
