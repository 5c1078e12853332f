"""Max-Mahalanobis centers, the classifiers trained to them, the attacks that pull them off, and what is left.

Names load on first use, so that importing the package costs nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "CenterLossHead": "heads",
    "Classifier": "models",
    "GeneralSoftmaxHead": "heads",
    "HypersphereHead": "heads",
    "L2": "threats",
    "LargeMarginGaussianHead": "heads",
    "Linf": "threats",
    "MMCHead": "heads",
    "MMLDAHead": "heads",
    "Recipe": "recipe",
    "SoftmaxHead": "heads",
    "Split": "types",
    "SquaredHead": "heads",
    "evaluate": "evaluation",
    "fgsm": "attacks",
    "load_dataset": "data",
    "max_mahalanobis_centers": "centers",
    "mim": "attacks",
    "mmc_loss": "losses",
    "pgd": "attacks",
    "softmax_cross_entropy": "losses",
    "train": "training",
    "worst_case": "results",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
