"""Synthetic runs for the tests of this room."""

from dataclasses import replace

import numpy as np

from max_mahalanobis.reports.reading import RunRecord
from max_mahalanobis.results import AttackResult

N = 200
OBJECTIVES = ("cross_entropy", "margin", "own_distance", "nearest_other")


def make_row(run="mmc", attack="pgd-20 cross_entropy", robust=100, clean=190, num=N, **changes):
    """The first `clean` images are right when clean, the first `robust` of them withstand."""
    name, _, objective = attack.partition(" ")
    settings = {"attack": name.split("-")[0], "objective": objective.removesuffix(" targeted") or "cross_entropy"}
    if objective.endswith("targeted"):
        settings["targeted"] = "one random wrong class"
    if "-" in name:
        settings["steps"] = int(name.split("-")[1])
    values = {
        "run": run, "data": "digits", "split": "test", "data_hash": "d" * 16, "weights_hash": "w-" + run,
        "suite": "quick", "attack": attack, "settings": settings, "threat": "Linf", "eps": 8 / 255, "seed": 0,
        "version": "0.1.0", "index": list(range(num)), "correct": [i < clean for i in range(num)],
        "fooled": [i >= robust for i in range(num)], "size": [8 / 255] * num,
        "forwards": 21 * clean, "backwards": 20 * clean, "seconds": 1.25,  # images wrong when clean are not attacked
    }  # fmt: skip
    return AttackResult(**(values | changes))


def make_rows(run, robust, clean=190, **changes):
    """FGSM, then PGD under the four objectives, with this many images left by each."""
    attacks = ["fgsm", *(f"pgd-20 {name}" for name in OBJECTIVES)]
    return [make_row(run, a, r, clean, **changes) for a, r in zip(attacks, robust, strict=True)]


CASCADE = ("pgd-20 cross_entropy", "apgd-20 margin", "apgd-20 own_distance", "square-500")


def make_cascade(run, left, clean=190, **changes):
    """Rows of a cascade, each on what the one before left; Square climbs the margin without its gradient."""
    rows, met = [], clean
    for attack, robust in zip(CASCADE, left, strict=True):
        row = make_row(run, attack, robust, clean, **({"suite": "adaptive"} | changes))
        square = attack.startswith("square")
        row.settings["objective"] = "margin" if square else row.settings["objective"]
        costs = {"forwards": 21 * met, "backwards": 0 if square else 20 * met}
        rows.append(replace(row, attempted=[i < met for i in range(row.num_images)], **costs))
        met = robust
    return rows


def make_smallest(run, medians, clean=190, held=0, threat="Linf", num=N, seed=0):
    """Rows of the suite minimum_norm: sizes around each attack's median; the first `held` images never fall."""
    rng, limit = np.random.default_rng(seed), {"Linf": 1.0, "L2": 8.0}[threat]
    rows = []
    for attack, median in zip(("deepfool", "fmn", "fab"), medians, strict=False):
        size = (median * np.exp(0.5 * rng.standard_normal(num))).clip(0, limit)
        size = [float(f"{s:.7g}") if i < clean else 0.0 for i, s in enumerate(size)]
        changes = {"suite": "minimum_norm", "threat": threat, "eps": limit, "size": size}
        row = make_row(run, attack, held, clean, num, settings={"attack": attack, "steps": 100}, **changes)
        rows.append(row)
    return rows


def make_curve(run, plain, adaptive, clean=190):
    rows = []
    for number, (ce, margin) in enumerate(zip(plain, adaptive, strict=True), 1):
        budget = {"suite": "curve", "eps": 4 * number / 255, "clean": clean}
        rows.append(make_row(run, "pgd-20 cross_entropy", ce, **budget))
        rows.append(make_row(run, "pgd-20 margin", margin, **budget))
        rows.append(make_row(run, "pgd-20 nearest_other", margin + 3, **budget))
    return rows


def make_pictures(spread=1.0, classes=10, num=150, side=8, shown=3, channels=1):
    rng = np.random.default_rng(0)
    centers = np.eye(classes, 16, dtype=np.float32) * 10
    labels = rng.integers(0, classes, num)
    features = centers[labels] + spread * rng.standard_normal((num, 16)).astype(np.float32)
    images = rng.random((shown, channels, side, side), dtype=np.float32)
    return {
        "features": features, "features_adv": features + 0.4 * (centers[(labels + 1) % classes] - features),
        "centers": centers, "centers_are": np.array("preset"), "labels": labels, "images": images,
        "images_adv": np.clip(images + rng.choice([-8 / 255, 8 / 255], images.shape), 0, 1).astype(np.float32),
        "image_labels": labels[:shown], "image_predictions": labels[:shown],
        "image_adv_predictions": np.where(np.arange(shown) < shown - 1, (labels[:shown] + 1) % classes, labels[:shown]),
        "attack": np.array("pgd-20 margin, Linf(8/255)"),
    }  # fmt: skip


def make_surfaces(of=(0, 2)):
    """Planes around two images: cross-entropy is exactly 0 left of half a budget, the margin rises and crosses 0."""
    steps = np.linspace(-1.5, 1.5, 25, dtype=np.float32)
    along = np.broadcast_to(steps, (len(of), 25, 25))
    return {
        "surface_steps": steps, "surface_of": np.array(of), "surface_attacked": np.ones(len(of), np.float32),
        "surface_cross_entropy": np.maximum(0, along - 0.5), "surface_margin": 40 * along - 30,
        "surface_size": np.hypot(along, along.swapaxes(1, 2)),
    }  # fmt: skip


def make_metrics(loss=8.0, best=0.95):
    lines = [{"event": "start", "device": "cpu"}]
    for epoch in range(20):
        accuracy = best - 0.4 * 0.7 ** (epoch + 1)
        lines.append({"epoch": epoch, "loss": loss * 0.8**epoch, "validation_accuracy": accuracy, "seconds": 1.0})
    return [*lines, {"event": "end"}]


def make_fight(best=12, last=0.68, peak=0.713, epochs=20):
    """Metrics as the trainer writes them of a training against an adversary: robust accuracy peaks at epoch `best`."""
    lines = []
    for epoch in range(epochs):
        beyond = max(0, epoch + 1 - best) / max(1, epochs - best)
        robust = peak - 0.02 * max(0, best - 1 - epoch) + (last - peak) * beyond
        accuracies = {"validation_accuracy": 0.8 + 0.008 * epoch, "robust_validation_accuracy": robust}
        speed = {"images_per_second": 1000.0 + epoch, "seconds": 1.5, "adversary_success": 0.5 - 0.01 * epoch}
        lines.append({"epoch": epoch, "loss": 2.0 - 0.05 * epoch} | accuracies | speed)
    return lines


def make_recipe(**changes):
    facts = {
        "data_hash": "ab12", "published": True, "image_shape": [1, 8, 8], "num_classes": 10, "num_parameters": 26122,
        "class_names": [str(digit) for digit in range(10)],
    }  # fmt: skip
    recipe = {"format": 1, "data": "digits", "model": "mlp", "dim": 64, "head": "mmc", "epochs": 20, "seed": 0}
    return recipe | {"adversary": "none"} | changes | {"trained_on": facts}


def make_run(name="mmc", robust=(150, 175, 101, 120, 110), *, clean=190, curve=True, **changes):
    rows = make_rows(name, robust, clean)
    if curve:
        rows += make_curve(name, (185, 175, 170, 168), (160, 101, 40, 10), clean)
    values = {"recipe": make_recipe(), "metrics": make_metrics(), "results": rows, "pictures": make_pictures()}
    return RunRecord(name, **(values | changes))


def make_trained_run(name="sce-at"):
    """An adversarially trained softmax run whose numbers agree."""
    attack = {"adversary": "pgd", "adversary_steps": 10, "adversary_objective": "cross_entropy", "eps": 8 / 255}
    curve = make_curve(name, (172, 155, 130, 100), (170, 152, 128, 97), 184)
    rows = make_rows(name, (160, 155, 152, 158, 156), 184)
    recipe = make_recipe(head="softmax", **attack)
    return RunRecord(name, recipe, make_metrics(2.3, 0.92), rows + curve, make_pictures(2.0))


LONG = "a-run-whose-name-was-made-by-a-sweep-over-everything/" * 3
FINDING = {"check": "many", "weight": "doubt", "seen": "it " * 40, "why": "w" * 300, "remedy": "wait", "reference": ""}
VERDICT = {
    "number": 0.5, "interval": [0.43, 0.57], "images": 200, "clean": {"number": 0.95, "interval": [0.91, 0.98]},
    "reliability": "doubtful", "robustness": "undecided", "complete": False,
    "findings": [FINDING, FINDING | {"weight": "note", "reference": "Carlini et al. 2019"}],
    "illusion": [{"source": "pgd-20 cross_entropy alone", "reports": 0.88, "points": 38.0}],
    "thresholds": {"robust": 0.5, "broken": 0.1, "illusion": 10.0},
}  # fmt: skip


def make_everything():
    """Runs that between them fill every section of the page; the last has a name too long for a line and no more."""
    labels = [10 * i // N for i in range(N)]
    facts = {"images": 100, "detection": {"largest logit": 0.63, "largest probability": 0.21}}
    audit = {"threat": "Linf", "eps": 8 / 255, "split": "test", "verdict": VERDICT, "facts": facts}
    judged = make_run(audits=(audit,), pictures=make_pictures() | make_surfaces(), notes=("mmc: a note.",))
    paper = {"suite": "paper_faithful", "eps": 8 / 256}
    turned = {"suite": "transformations", "threat": "none", "settings": {"attack": "rotation"}}
    extra = [
        *make_cascade("mmc", (150, 90, 80, 70)),
        *(make_row("mmc", f"pgd-{steps} cross_entropy", left, **paper) for steps, left in ((10, 170), (50, 160))),
        *make_smallest("mmc", (0.03, 0.02, 0.02)),
        *make_smallest("mmc", (0.6, 0.5, 0.5), threat="L2"),
        *(make_row("mmc", attack, 120, **turned) for attack in ("rotation", "gaussian_noise")),
    ]
    trained = make_trained_run()
    signs = {"signs": ["probabilities", "no gradient"], "non_finite": 3}
    return [
        replace(judged, results=[*(replace(row, labels=labels) for row in judged.results), *extra]),
        replace(trained, metrics=make_fight(), results=[replace(row, **signs) for row in trained.results]),
        RunRecord("sce-at@best", trained.recipe, [], [make_row("sce-at@best")], None, shares_training=True),
        make_run(LONG, metrics=[], pictures=None, recipe=None, curve=False),
    ]


def make_hundred(name, num=2000):
    """A run of a hundred classes, as of CIFAR-100."""
    shared = {"num": num, "labels": [i % 100 for i in range(num)], "data": "cifar100"}
    rows = [
        *make_rows(name, (1100, 1300, 510, 700, 600), 1500, **shared),
        *make_cascade(name, (1000, 700, 430, 420), 1500, **shared),
        *make_curve(name, (1300, 1200, 1100, 1000), (1100, 800, 400, 100), 1500),
        *make_smallest(name, (0.03, 0.02, 0.02), 1500, num=num),
    ]
    recipe = make_recipe(data="cifar100")
    recipe["trained_on"]["class_names"] = [f"sort_of_tree_{label}" for label in range(100)]
    pictures = make_pictures(classes=100, num=300, side=32, shown=8, channels=3) | make_surfaces()
    return RunRecord(name, recipe, make_fight(epochs=100), rows, pictures)
