"""What training fights, in a few words."""

from collections.abc import Mapping
from typing import Any

NAMES = {"pgd": "PGD", "fgsm": "FGSM-RS", "free": "free AT", "mim": "MIM", "apgd": "APGD"}
LOSSES = {"trades": "TRADES", "mart": "MART", "alp": "ALP"}


def describe_adversary(recipe: Mapping[str, Any]) -> str:
    """Of a recipe's fields: "PGD-10 climbing margin, TRADES 6, AWP 0.005"; "none" without adversary.

    Fields that are missing (a page reads recipes of any version) are left out.
    """
    kind = recipe.get("adversary", "none")
    if kind == "none":
        return "none"
    name = NAMES.get(kind, kind) + ("" if kind == "fgsm" else f"-{recipe.get('adversary_steps', '?')}")
    objective = recipe.get("adversary_objective")
    said = [f"{name} climbing {objective}" if objective else name]
    if recipe.get("adversary_targeted"):
        said[0] += f" toward {'any' if recipe.get('adversary_targets') == 'all' else 'wrong'} classes"
    loss, weight = recipe.get("robust_loss", "adversarial"), recipe.get("robust_weight")
    if loss != "adversarial":
        said.append(LOSSES.get(loss, loss) + (f" {weight:g}" if weight is not None else ""))
    if recipe.get("weight_perturbation"):
        said.append(f"AWP {recipe['weight_perturbation']:g}")
    if recipe.get("averaging", "none") != "none":
        said.append(recipe["averaging"].upper())
    return ", ".join(said)
