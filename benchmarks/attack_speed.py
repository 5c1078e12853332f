"""How fast our attacks are, beside other libraries and as shares of the work no gradient attack can avoid.

The bare loop takes forward, cross-entropy and gradient of the input alone, for every image kept to the last step, on
the model as it is. It runs before every candidate in every round. In the tables, medians over the rounds:

share_of_bare     the bare loop for all steps over the candidate's time: above 1 where images leave or the copy is fast
share_of_ideal    the bare loop for as many backwards as the candidate took (early stops gain nothing) over its time
time_ratio        the candidate's time over that of the fastest peer; cpu_ratio the same in seconds of the processor

The bare loop is also a candidate: how far its share is from 1 is the noise of the machine.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timing import Laps, compare, is_absent, is_peer, new_rows, parser, publish, race, ratio, timed, times_of
from torch import Tensor
from victims import Victim, add_options, resnet_on_noise, victim_of

from max_mahalanobis import Linf, pgd
from max_mahalanobis.attacks import apgd, cw_l2, ead, is_fooled
from max_mahalanobis.evaluation.passes import PassCounter
from max_mahalanobis.models import accelerated
from max_mahalanobis.threats import L1, L2

BARE_STEPS = 10  # of the bare loop timed; its time for other numbers of steps is proportional
COMPILED = "ours, all images kept, compiled"
Attack = Callable[[Victim, float, int], Tensor | None]  # (victim, eps, steps) -> attacked images


class Contest(NamedTuple):
    """The same attack with the same settings, from several hands."""

    steps: int
    candidates: dict[str, Attack]


def bare_loop(victim: Victim, eps: float = 0.0, steps: int = BARE_STEPS) -> None:
    """What no gradient attack can do without."""
    for _ in range(steps):
        x = victim.x.clone().requires_grad_(True)
        torch.autograd.grad(F.cross_entropy(victim.model(x), victim.y, reduction="sum"), x)


def our_pgd(victim: Victim, eps: float, steps: int, *, leave: bool) -> Tensor:
    """PGD from the images themselves."""
    settings = {"step_size": eps / 4, "steps": steps, "random_start": False, "stop_when_fooled": leave}
    return pgd(victim.model, victim.x, victim.y, threat=Linf(eps), **settings)


def torchattacks_pgd(victim: Victim, eps: float, steps: int) -> Tensor:
    """The same."""
    from torchattacks import PGD

    return PGD(victim.model, eps=eps, alpha=eps / 4, steps=steps, random_start=False)(victim.x, victim.y)


def foolbox_pgd(victim: Victim, eps: float, steps: int) -> Tensor:
    """The same."""
    from foolbox.attacks import LinfPGD

    attack = LinfPGD(abs_stepsize=eps / 4, steps=steps, random_start=False)
    return attack.run(_for_foolbox(victim), victim.x, victim.y, epsilon=eps)


def our_apgd(victim: Victim, eps: float, steps: int, *, leave: bool) -> Tensor:
    """APGD on cross-entropy."""
    return apgd(victim.model, victim.x, victim.y, threat=Linf(eps), steps=steps, stop_when_fooled=leave)


def torchattacks_apgd(victim: Victim, eps: float, steps: int) -> Tensor:
    """The same."""
    from torchattacks import APGD

    return APGD(victim.model, norm="Linf", eps=eps, steps=steps, loss="ce")(victim.x, victim.y)


def pyautoattack_apgd(victim: Victim, eps: float, steps: int) -> Tensor:
    """The same."""
    from pyautoattack.autopgd_base import APGDAttack

    attack = APGDAttack(victim.model, n_iter=steps, norm="Linf", eps=eps, loss="ce", device="cpu")
    return attack.perturb(victim.x, victim.y)


def our_cw(victim: Victim, eps: float, steps: int) -> Tensor:
    """Carlini and Wagner's L2 attack with one constant, 1."""
    threat = L2.unlimited(victim.x[0].numel())
    settings = {"steps": steps, "search_steps": 1, "learning_rate": 0.01, "initial_constant": 1.0}
    return cw_l2(victim.model, victim.x, victim.y, threat=threat, abort_early=False, **settings)


def torchattacks_cw(victim: Victim, eps: float, steps: int) -> Tensor:
    """The same; it stops when the loss of the whole batch rises."""
    from torchattacks import CW

    return CW(victim.model, c=1, steps=steps, lr=0.01)(victim.x, victim.y)


def foolbox_cw(victim: Victim, eps: float, steps: int) -> Tensor:
    """The same."""
    from foolbox.attacks import L2CarliniWagnerAttack

    settings = {"steps": steps, "binary_search_steps": 1, "stepsize": 0.01, "initial_const": 1.0}
    return L2CarliniWagnerAttack(**settings, abort_early=False).run(_for_foolbox(victim), victim.x, victim.y)


def our_ead(victim: Victim, eps: float, steps: int) -> Tensor:
    """The elastic-net attack with one constant, 10."""
    threat = L1.unlimited(victim.x[0].numel())
    settings = {"steps": steps, "search_steps": 1, "learning_rate": 0.01, "initial_constant": 10.0}
    return ead(victim.model, victim.x, victim.y, threat=threat, beta=0.01, abort_early=False, **settings)


def torchattacks_ead(victim: Victim, eps: float, steps: int) -> Tensor:
    """The same."""
    from torchattacks import EADEN

    settings = {"max_iterations": steps, "binary_search_steps": 1, "lr": 0.01, "initial_const": 10.0}
    return EADEN(victim.model, beta=0.01, abort_early=False, **settings)(victim.x, victim.y)


def foolbox_ead(victim: Victim, eps: float, steps: int) -> Tensor:
    """The same."""
    from foolbox.attacks import EADAttack

    settings = {"steps": steps, "binary_search_steps": 1, "initial_stepsize": 0.01, "initial_const": 10.0}
    attack = EADAttack(**settings, regularization=0.01, abort_early=False)
    return attack.run(_for_foolbox(victim), victim.x, victim.y)


def _for_foolbox(victim: Victim) -> object:
    from foolbox import PyTorchModel

    return PyTorchModel(victim.model, bounds=(0, 1), device="cpu")


AGAIN = {"bare loop, again": bare_loop}
PGD: dict[str, Attack] = {
    "ours, all images kept": partial(our_pgd, leave=False),
    "ours, all images kept, folded": partial(our_pgd, leave=False),
    COMPILED: partial(our_pgd, leave=False),
    "ours, fooled images leave": partial(our_pgd, leave=True),
    "torchattacks": torchattacks_pgd,
    "foolbox": foolbox_pgd,
}
APGD: dict[str, Attack] = {
    "ours, all images kept": partial(our_apgd, leave=False),
    "ours, fooled images leave": partial(our_apgd, leave=True),
    "torchattacks": torchattacks_apgd,
    "pyautoattack": pyautoattack_apgd,
}
LONG_PGD = {name: PGD[name] for name in ("ours, fooled images leave", "torchattacks", "foolbox")}
CW = {"ours": our_cw, "torchattacks": torchattacks_cw, "foolbox": foolbox_cw}
EAD = {"ours": our_ead, "torchattacks": torchattacks_ead, "foolbox": foolbox_ead}
CONTESTS = {
    "pgd_linf": Contest(10, AGAIN | PGD),
    "pgd_linf_100": Contest(100, LONG_PGD),
    "apgd_linf_100": Contest(100, APGD),
    "cw_l2": Contest(100, CW),
    "ead": Contest(100, EAD),
}
FORMS = {"folded": accelerated, "compiled": partial(accelerated, compile=True)}  # by the last word of a candidate


def hold(name: str, victim: Victim, eps: float, repeats: int, *, compiled: bool) -> list[dict]:
    """One row per candidate of a contest."""
    steps, candidates = CONTESTS[name]
    candidates = {each: attack for each, attack in candidates.items() if compiled or each != COMPILED}
    shared = {"benchmark": name, "model": victim.name, "repeats": repeats, "batch": len(victim.x), "steps": steps}
    rows = new_rows(shared | {"eps": eps if "linf" in name else None}, list(candidates))
    forms = {each: FORMS.get(each.split(", ")[-1], lambda model: model)(victim.model) for each in candidates}
    victims = {each: victim._replace(model=forms[each]) for each in candidates if not is_absent(each)}
    for row in rows:
        if row["candidate"] in victims:
            own = victims[row["candidate"]]
            row |= first_call(partial(candidates[row["candidate"]], eps=eps, steps=steps), own, victim)
    work = {each: partial(candidates[each], own, eps, steps) for each, own in victims.items()}
    laps = race(f"{name}, {victim.name}", work, repeats, partial(bare_loop, victim))
    for row in rows:
        if row["candidate"] in laps:
            row |= figures(laps[row["candidate"]], steps=steps, steps_taken=row["backwards"] / len(victim.x))
            row["images_per_second"] = len(victim.x) * steps / row["seconds"]
    compare(rows, laps, [each for each in laps if is_peer(each)])
    return rows


def first_call(attack: Callable[[Victim], Tensor | None], own: Victim, victim: Victim) -> dict:
    """What a first call tells, which is not timed as others are: passes, who holds, and how long a compiler takes."""
    counter, found = PassCounter(own.model).eval(), []
    seconds = timed(lambda: found.append(attack(own._replace(model=counter)))).seconds
    facts = {"forwards": counter.forwards, "backwards": counter.backwards, "first_call_seconds": seconds}
    if found[0] is None:
        return facts
    with torch.no_grad():
        return facts | {"held": (~is_fooled(victim.model(found[0]), victim.y)).double().mean().item()}


def figures(laps: Laps, *, steps: int, steps_taken: float) -> dict[str, float]:
    """Times, and shares of the bare loop."""
    bare, bare_cpu = ratio(laps.yardstick, laps.own, steps / BARE_STEPS)
    ideal, ideal_cpu = (share * steps_taken / steps for share in (bare, bare_cpu))
    shares = {"share_of_bare": bare, "share_of_bare_cpu": bare_cpu}
    return times_of(laps) | shares | {"share_of_ideal": ideal, "share_of_ideal_cpu": ideal_cpu}


def main() -> None:
    """Measure, print a table per model, and write the rows where asked."""
    plan = ["resnet_v1:pgd_linf", *(f"small_cnn:{name}" for name in CONTESTS)]
    choices = plan + [f"resnet_v1:{name}" for name in CONTESTS if f"resnet_v1:{name}" not in plan]
    options = parser(__doc__, images=128, repeats=5, contests=choices)
    options.set_defaults(contests=plan)
    options.add_argument("--resnet-images", type=int, default=32, help="batch of the ResNet-32")
    options.add_argument("--compile", action="store_true", help="a compiled ResNet too: its first call takes minutes")
    options.add_argument("--eps", type=float, default=0.3, help="budget in Linf")
    add_options(options)
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for kind in ("resnet_v1", "small_cnn"):
        names = [contest.split(":")[1] for contest in options.contests if contest.startswith(kind)]
        if not names:
            continue
        if kind == "resnet_v1":
            victim = resnet_on_noise(options.resnet_images)
        else:
            victim = victim_of(options.run, options.data_dir, options.images)
        for name in names:
            compiled = options.compile and kind == "resnet_v1"
            rows += hold(name, victim, options.eps, options.repeats, compiled=compiled)
    ratios = ["share_of_bare", "share_of_bare_cpu", "share_of_ideal", "share_of_ideal_cpu", "time_ratio", "cpu_ratio"]
    measured = ["seconds", "cpu_seconds", "held", "repeats", "batch", "steps", "note"]
    publish(rows, ["benchmark", "model", "candidate", *ratios, *measured], options)


if __name__ == "__main__":
    main()
