"""What the attacked copy of a model gains: the bare loop and our PGD on each form of the model, in shares of one loop.

The yardstick is `steps` times forward, cross-entropy and gradient of the input alone on the model as it is. It runs
before every measurement; the table has the median, over the rounds, of its time over the measured one. With one thread
the time is the processor's, which other jobs on the machine disturb less than the clock on the wall.
"""

import argparse
import copy
import json
import platform
import sys
import time
from collections.abc import Callable
from datetime import date
from itertools import product
from statistics import median

import torch
from attack_speed import INSTALLED, STEPS, Victim, bare_loop, ours, resnet_on_noise, small_cnn_on_digits, table
from torch import Tensor, nn

from max_mahalanobis.models.acceleration import accelerated

FORMS: dict[str, Callable[[nn.Module], Callable[[Tensor], Tensor]]] = {
    "plain": lambda model: model,
    "channels_last": lambda model: copy.deepcopy(model).to(memory_format=torch.channels_last),
    "folded": accelerated,
    "compiled": lambda model: accelerated(model, compile=True),
}
WORK: dict[str, Callable[[Victim], object]] = {
    "bare loop": bare_loop,
    "PGD, all images kept": lambda victim: ours(victim, stop_when_fooled=False),
}


def seconds(work: Callable, *arguments) -> float:
    """Time of one call: of the processor where one thread does it all, else on the wall."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work(*arguments)
    return clock() - start


def race(victim: Victim, forms: list[str], repeats: int) -> list[dict]:
    """One row per form of the model and kind of work."""
    victim.model.requires_grad_(False)
    bare_loop(victim)
    rows, times = [], {}
    fast = {form: victim._replace(model=FORMS[form](victim.model)) for form in forms}
    for form, work in product(forms, WORK):
        row = {"benchmark": "model_speed", "model": victim.name, "form": form, "work": work, "share_of_bare": None}
        row |= {"batch": len(victim.x), "steps": STEPS, "repeats": repeats}
        began = time.perf_counter()
        WORK[work](fast[form])  # compiles, where that is the form
        row |= {"first_call_seconds": time.perf_counter() - began}
        times[form, work] = []
        rows.append(row)
    for turn, (form, work) in product(range(repeats), times):
        print(f"{victim.name}, round {turn + 1} of {repeats}: {form}, {work}", file=sys.stderr)
        times[form, work].append((seconds(bare_loop, victim), seconds(WORK[work], fast[form])))
    for row in rows:
        own = times[row["form"], row["work"]]
        row["share_of_bare"] = median(bare / time for bare, time in own)
        row["images_per_second"] = len(victim.x) * STEPS / median(time for _, time in own)
    return rows


def main() -> None:
    """Measure, print a table, and write the rows where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=["resnet_v1", "small_cnn"], choices=["resnet_v1", "small_cnn"])
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--images", type=int, default=256, help="batch of the CNN; the ResNet gets a quarter")
    parser.add_argument("--repeats", type=int, default=5, help="counted rounds")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--out", help="append the rows to this file, as JSON lines")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shared = {name: INSTALLED.get(name) for name in ("max-mahalanobis", "torch")}
    shared |= {"python": platform.python_version(), "threads": options.threads, "date": date.today().isoformat()}
    rows = []
    if "resnet_v1" in options.models:
        rows += race(resnet_on_noise(max(1, options.images // 4)), options.forms, options.repeats)
    if "small_cnn" in options.models:
        rows += race(small_cnn_on_digits(options.images), options.forms, options.repeats)
    print(" · ".join(f"{key} {value or 'absent'}" for key, value in shared.items()), end="\n\n")
    columns = ["model", "form", "work", "share_of_bare", "images_per_second", "first_call_seconds"]
    print(table(rows, [*columns, "repeats", "batch", "steps"]))
    if options.out:
        with open(options.out, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(row | shared) + "\n" for row in rows)


if __name__ == "__main__":
    main()
