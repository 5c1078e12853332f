"""How fast our suites and Square are beside AutoAttack, on the same images under the same budget.

auto_half     `auto`, `auto_fast` and pyautoattack's standard set where about half of the images hold
auto_none     the same on a model trained without an adversary, where next to none hold
adaptive_mmc  `adaptive` and `auto` on an adversarially trained MMC
square        1,000 queries where about half hold, beside pyautoattack and torchattacks

Suites run as `mmc evaluate` runs them: on the accelerated copy, verdicts checked on the model; "bf16" as with
`--precision bf16-mixed`. `time_ratio` is the time over that of the reference in the same round (of the fastest peer, of
`auto`), `network_share` the share of the time spent in forwards; `cpu_...` the same in seconds of the processor.
`share_of_ideal` is what the passes of a suite cost at the speed of its network alone, all images in one batch, over its
time: 1 is the limit for these passes on this copy. Defaults train small models on digits; better:

python benchmarks/suite_speed.py --run runs/mnist-at-sce-tuned --fragile-run runs/mnist-sce \
    --mmc-run runs/mnist-at-mmc-tuned --data-dir DIR
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
from attack_speed import bare_loop
from timing import compare, is_absent, is_peer, new_rows, parser, publish, race, timed, times_of
from torch import Tensor, nn
from victims import ADVERSARIAL, Victim, add_options, eps_where_half_hold, victim_of

from max_mahalanobis import Linf, evaluate
from max_mahalanobis.attacks import is_fooled, square
from max_mahalanobis.evaluation.passes import PassCounter
from max_mahalanobis.models import accelerated
from max_mahalanobis.results import worst_case

QUERIES = 1000
REFERENCES = {"adaptive_mmc": ("ours, auto",)}  # of other contests: the fastest peer
BF16 = partial(accelerated, precision="bf16-mixed")
Work = Callable[[Victim, float], dict]  # (victim, eps) -> what goes into the row


def our_suite(victim: Victim, eps: float, *, suite: str, faster: Callable = accelerated) -> dict:
    """A suite from beginning to end."""
    split = (victim.x, victim.y)
    settings = {"suite": suite, "batch_size": len(victim.x), "faster": faster}
    rows = evaluate(victim.model, split, threat=Linf(eps), **settings)
    passes = {name: sum(getattr(row, name) for row in rows) for name in ("forwards", "backwards")}
    return {"held": 1 - sum(worst_case(rows)) / len(victim.y)} | passes


def their_suite(victim: Victim, eps: float) -> dict:
    """AutoAttack, version standard."""
    from pyautoattack import AutoAttack

    counter = PassCounter(victim.model).eval()
    judge = AutoAttack(counter, eps=eps, norm="Linf", seed=0, version="standard")
    judge.verbose = False
    x_adv, _ = judge.run_standard_evaluation(victim.x, victim.y, batch_size=len(victim.x))
    return {"forwards": counter.forwards, "backwards": counter.backwards, "held": _held(victim, x_adv)}


def share_of_ideal(row: dict, victim: Victim) -> float:
    """The network's time for the passes of a row over that of the row; `victim.model` is what attacks were given."""
    with torch.no_grad():
        forwards = [timed(lambda: victim.model(victim.x)).seconds for _ in range(10)]
    slopes = [timed(lambda: bare_loop(victim, steps=1)).seconds for _ in range(10)]
    ideal = (row["forwards"] - row["backwards"]) * median(forwards) + row["backwards"] * median(slopes)
    return ideal / len(victim.x) / row["seconds"]


class NetworkClock(nn.Module):
    """Behaves as `model` and adds up how long its forwards take."""

    def __init__(self, model: Callable[[Tensor], Tensor]):
        super().__init__()
        self.model, self.seconds, self.cpu_seconds = model, 0.0, 0.0
        self.forwards = 0

    def forward(self, x: Tensor) -> Tensor:
        """The model's logits."""
        logits = []
        times = timed(lambda: logits.append(self.model(x)))
        self.seconds, self.cpu_seconds = self.seconds + times.seconds, self.cpu_seconds + times.cpu_seconds
        self.forwards += len(x)
        return logits[0]


def squares(victim: Victim, eps: float, *, attack: Callable[[Victim, float], Tensor], fast: bool = False) -> dict:
    """Square from anyone's hands, on the model as it is or on the accelerated copy."""
    clock, found = NetworkClock(accelerated(victim.model) if fast else victim.model).eval(), []
    times = timed(lambda: found.append(attack(victim._replace(model=clock), eps)))
    shares = {
        "network_share": clock.seconds / times.seconds,
        "cpu_network_share": clock.cpu_seconds / times.cpu_seconds,
    }
    return shares | {"held": _held(victim, found[0]), "forwards": clock.forwards}


def our_square(victim: Victim, eps: float) -> Tensor:
    """With the settings of AutoAttack, four squares ahead as in `auto`."""
    return square(victim.model, victim.x, victim.y, threat=Linf(eps), queries=QUERIES, ahead=4)


def torchattacks_square(victim: Victim, eps: float) -> Tensor:
    """The same."""
    from torchattacks import Square

    return Square(victim.model, norm="Linf", eps=eps, n_queries=QUERIES, resc_schedule=False)(victim.x, victim.y)


def pyautoattack_square(victim: Victim, eps: float) -> Tensor:
    """The same."""
    from pyautoattack.square import SquareAttack

    settings = {"norm": "Linf", "eps": eps, "n_queries": QUERIES, "resc_schedule": False, "device": "cpu"}
    return SquareAttack(victim.model, **settings).perturb(victim.x, victim.y)


def _held(victim: Victim, x_adv: Tensor) -> float:
    with torch.no_grad():
        return (~is_fooled(victim.model(x_adv), victim.y)).double().mean().item()


OURS: dict[str, Work] = {
    f"ours, {suite}": partial(our_suite, suite=suite) for suite in ("auto", "auto_fast", "adaptive")
}
OURS |= {f"ours, {suite}, bf16": partial(our_suite, suite=suite, faster=BF16) for suite in ("auto", "auto_fast")}
AUTO = {name: OURS[name] for name in OURS if "auto" in name} | {"pyautoattack, standard": their_suite}
SQUARE: dict[str, Work] = {
    "ours": partial(squares, attack=our_square),
    "ours, accelerated copy": partial(squares, attack=our_square, fast=True),
    "torchattacks": partial(squares, attack=torchattacks_square),
    "pyautoattack": partial(squares, attack=pyautoattack_square),
}
CONTESTS: dict[str, dict[str, Work]] = {
    "auto_half": AUTO,
    "auto_none": AUTO,
    "adaptive_mmc": {name: OURS[name] for name in ("ours, auto", "ours, adaptive")},
    "square": SQUARE,
}


def hold(name: str, victim: Victim, eps: float, repeats: int) -> list[dict]:
    """One row per candidate of a contest."""
    shared = {"benchmark": name, "model": victim.name, "repeats": repeats, "batch": len(victim.x), "eps": eps}
    rows = new_rows(shared, list(CONTESTS[name]))
    found: dict[str, list[dict]] = {each: [] for each in CONTESTS[name] if not is_absent(each)}
    work = {each: partial(_note, found[each], CONTESTS[name][each], victim, eps) for each in found}
    laps = race(f"{name}, {victim.name}, eps {eps:.3g}", work, repeats)
    for row in rows:
        if (candidate := row["candidate"]) in laps:
            facts = found[candidate]
            row |= times_of(laps[candidate]) | {key: median(each[key] for each in facts) for key in facts[0]}
            if "backwards" in row:
                given = _given(candidate)(victim.model)
                row["share_of_ideal"] = share_of_ideal(row, victim._replace(model=given))
    compare(rows, laps, REFERENCES.get(name) or [each for each in laps if is_peer(each)])
    return rows


def _given(candidate: str) -> Callable:
    """Makes of the model what attacks of that candidate were given."""
    if is_peer(candidate):
        return lambda model: model
    return BF16 if candidate.endswith("bf16") else accelerated


def _note(found: list[dict], work: Work, victim: Victim, eps: float) -> None:
    found.append(work(victim, eps))


def victims(options: argparse.Namespace) -> dict[str, tuple[Victim, float]]:
    """Model and budget of each contest asked for."""
    asked, made = set(options.contests), {}
    if asked & {"auto_half", "square"}:
        victim = victim_of(options.run, options.data_dir, options.images, **ADVERSARIAL)
        half = victim, options.eps or eps_where_half_hold(victim)
        made |= {"auto_half": half, "square": half}
    if "auto_none" in asked:
        made["auto_none"] = victim_of(options.fragile_run, options.data_dir, options.images), options.fragile_eps
    if "adaptive_mmc" in asked:
        victim = victim_of(options.mmc_run, options.data_dir, options.images, head="mmc", **ADVERSARIAL)
        made["adaptive_mmc"] = victim, options.mmc_eps or eps_where_half_hold(victim)
    return made


def main() -> None:
    """Measure, print a table, and write the rows where asked."""
    options = parser(__doc__, images=64, repeats=3, contests=list(CONTESTS))
    add_options(options)
    options.add_argument("--fragile-run", type=Path, help="a run trained without an adversary")
    options.add_argument("--mmc-run", type=Path, help="an adversarially trained run with an MMC head")
    options.add_argument("--eps", type=float, help="budget on --run (default: where half of its images hold)")
    options.add_argument("--fragile-eps", type=float, default=0.3, help="budget on --fragile-run")
    options.add_argument("--mmc-eps", type=float, help="budget on --mmc-run (default: where half of its images hold)")
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for name, (victim, eps) in victims(options).items():
        if name in options.contests:
            rows += hold(name, victim, eps, options.repeats)
    ratios = ["time_ratio", "cpu_ratio", "reference", "share_of_ideal", "network_share", "cpu_network_share"]
    measured = ["seconds", "cpu_seconds", "held", "forwards", "backwards", "eps", "batch", "repeats", "note"]
    publish(rows, ["benchmark", "model", "candidate", *ratios, *measured], options)


if __name__ == "__main__":
    main()
