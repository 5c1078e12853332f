"""A classifier of ours goes straight into AutoAttack (pyautoattack), beside our suite `auto`."""

from importlib.util import find_spec

from max_mahalanobis import Linf, Recipe, evaluate, load_dataset, train, worst_case

EPS = 0.05


def judge():
    from pyautoattack import AutoAttack

    digits = load_dataset("digits")
    model = train(Recipe(head="mmc", epochs=10), digits, device="cpu").eval()  # images in [0, 1] -> logits
    split = digits.test.first(50)
    x, y = split.images / 255, split.labels

    judged = AutoAttack(model, norm="Linf", eps=EPS, seed=0, version="custom", attacks=["apgd-ce", "apgd-t", "fab-t"])
    x_adv, _ = judged.run_standard_evaluation(x, y, batch_size=50)
    print(f"AutoAttack without Square: {int((model(x_adv).argmax(dim=1) == y).sum())} of {len(y)} hold")

    rows = evaluate(model, split, threat=Linf(EPS), suite="auto")
    print(f"our suite auto: {len(y) - sum(worst_case(rows))} of {len(y)} hold")


if find_spec("pyautoattack") is None:
    print("pyautoattack is not installed: pip install pyautoattack")
else:
    judge()
