"""Modules through torch.compile, made for batches whose sizes change."""

import os
import shutil
import sys

import torch
from torch import Tensor, nn

from ..errors import UserError
from .classifier import Classifier

_FEW = 16  # images; torch chooses other convolutions for fewer, and would compile once more for them


class Compiled(nn.Module):
    """A module compiled at its first call, once for batches of all sizes; fewer than 16 images go uncompiled.

    Weights are the module's own. With gradients, without, and in another mode it is compiled once more each.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self._compiled = torch.compile(module)

    def forward(self, x: Tensor) -> Tensor:
        """What the module makes of `x`."""
        if len(x) < _FEW:
            return self.module(x)
        torch._dynamo.maybe_mark_dynamic(x, 0)
        return self._compiled(x)


def compiled(classifier: Classifier) -> Classifier:
    """A classifier of the same parts, weights and all, that runs the backbone compiled; the given one runs as before.

    Raises:
        UserError: there is no C++ compiler.
    """
    check_compiler()
    return Classifier(Compiled(classifier.backbone), classifier.head, normalize=classifier.normalize)


def check_compiler() -> None:
    """Refuse to compile where torch.compile would find no C++ compiler."""
    compiler = (os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")).split()[0]
    if shutil.which(compiler) is None:
        raise UserError(f"compile=True needs a C++ compiler, and there is no {compiler}: install it or do not compile")
