"""Our classifiers as other libraries want to hold them.

Libraries that take any module from images in [0, 1] to logits, as AutoAttack does, need no view: a `Classifier` is one
(examples/judged_by_autoattack.py).
"""

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..errors import UserError
from ..types import Model

if TYPE_CHECKING:
    import foolbox


def foolbox_view(model: Model) -> "foolbox.PyTorchModel":
    """A model for foolbox's attacks: bounds (0, 1), no preprocessing (ours lives inside the classifier), on its device.

    It holds a frozen copy in evaluation mode: attacks leave no gradients in `model`, and its mode stays what it was.

    Raises:
        UserError: foolbox is not installed, or the model is a plain function.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"foolbox takes a torch module, got {type(model).__name__}: wrap the function in one")
    try:
        import foolbox
    except ImportError as error:
        raise UserError(f"a view for foolbox needs foolbox ({error}): pip install 'foolbox>=3.3.4'") from error
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    tensors = (*frozen.parameters(), *frozen.buffers())
    device = tensors[0].device if tensors else torch.device("cpu")
    return foolbox.PyTorchModel(frozen, bounds=(0, 1), device=device)
