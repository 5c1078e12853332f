"""A copy of a model made to be attacked: the same logits and input gradients in less time."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..errors import UserError, one_of
from ..types import Model
from .compilation import Compiled, check_compiler
from .simplification import Simplifications, simplifications
from .thin_convolution import ThinConvolution

PRECISIONS = ("32-true", "bf16-mixed")  # lightning-fabric's names

_AT_ONCE = 2**16  # numbers in the images that convolutions on a CPU take at once for each thread: more leave its cache
_FEW = 64  # images are no batch to divide
_ALIKE = 1e-4  # of the largest logit: what is no more than this is rounding


def accelerated(model: Model, *, compile: bool = False, precision: str = "32-true", fold: bool = True) -> Model:
    """The function from images to logits for attacks to call; what they find is for the model itself to judge.

    It calls a frozen copy in evaluation mode: weights that change later do not reach it. Images are cast to the
    model's dtype, logits to the images'. A plain function is called as it is; so is, with a warning, a module that
    cannot be copied.

    Args:
        compile: with torch.compile, twice (with and without gradients), whatever the sizes of the batches: about a
            minute for a ResNet-32 on one core. Fewer than 16 images go uncompiled. Small networks do not gain.
        precision: "bf16-mixed" computes under autocast, for devices that are faster in bfloat16.
        fold: as `folded` does; False keeps the model's operations one for one.
    """
    one_of("precision", precision, PRECISIONS)
    if compile:
        check_compiler()
    network, dtype = model, None
    if isinstance(model, nn.Module):
        floats = (tensor for _, tensor in _tensors(model) if tensor.is_floating_point())
        dtype = next((tensor.dtype for tensor in floats), None)
        try:
            network = FrozenCopy(model, fold=fold, compile=compile)
        except UserError as error:
            warnings.warn(f"{error}; it is attacked as it is", stacklevel=2)

    def logits_of(x: Tensor) -> Tensor:
        with _autocast(x.device, precision):
            logits = network(x if dtype is None else x.to(dtype))
        return logits.to(x.dtype)

    return logits_of


def folded(model: nn.Module, *, compile: bool = False) -> "FrozenCopy":
    """A frozen copy in evaluation mode that computes the same logits with fewer and faster operations.

    - A BatchNorm right behind a convolution or a linear layer goes into that layer's weights: exact in evaluation
      mode. It stays where the layer's output, the layer or its weights have another use, or a hook.
    - Tensors are in channels_last; in the usual layout where the model's code depends on it (`view`). A linear layer
      behind a flattening reads them as they lie.
    - A ReLU overwrites what it is given where nobody else needs it.
    - On a CPU, `ThinConvolution` takes the input gradient of convolutions of few channels, and large batches are
      divided into some that fit into the caches, unless the model's logits depend on the other images of the batch.

    Logits agree to rounding, as long as the code does what it did when it was read (at once, in evaluation mode, with
    gradients). The copy remembers what was folded (`FrozenCopy.pairs`) and takes over changed weights
    in a few milliseconds (`FrozenCopy.refresh`). `compile` as in `accelerated`.
    """
    return FrozenCopy(model, compile=compile)


class FrozenCopy(nn.Module):
    """What `folded` returns: `network` is the copy, of the model's own class.

    `pairs` names each layer that took over a BatchNorm, and the BatchNorm. It is None where torch.fx cannot read the
    model's code (control flow that depends on pixels, for example): nothing is folded then.
    """

    def __init__(self, model: nn.Module, *, fold: bool = True, compile: bool = False):
        super().__init__()
        self.network = _copied(model).eval().requires_grad_(False)
        found = simplifications(_copied(self.network)) if fold else Simplifications()
        self.pairs = None if found is None else found.pairs
        for layer, norm in self.pairs or ():
            self._make_room(self.network.get_submodule(layer), norm)
        self.refresh(model)
        if fold:
            self._rearrange(found or Simplifications())
            self.network.to(memory_format=torch.channels_last)
        self.channels_last = fold
        convolves = any(isinstance(module, nn.Conv2d) for module in self.network.modules())
        self._divides = None if fold and convolves else False  # None: not known yet
        self._run = Compiled(self.network) if compile else self.network
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """The model's logits; the gradient has the layout of `x`."""
        at_once = max(_AT_ONCE * torch.get_num_threads() // max(x[:1].numel(), 1), _FEW)
        if x.device.type != "cpu" or len(x) <= at_once:
            return self._whole(x)
        if self._divides is None:
            self._divides = self._answers_each_alone(x, at_once)
        return self._divided(x, at_once) if self._divides else self._whole(x)

    def _divided(self, x: Tensor, at_once: int) -> Tensor:
        count = -(-len(x) // at_once)
        sizes = [(len(x) + place) // count for place in range(count)]  # equal to 1
        return torch.cat([self._whole(portion) for portion in x.split(sizes)])

    @torch.no_grad()
    def _answers_each_alone(self, x: Tensor, at_once: int) -> bool:
        whole = self._whole(x)
        if not isinstance(whole, Tensor):
            return False
        whole, divided = (torch.nan_to_num(logits.double()) for logits in (whole, self._divided(x, at_once)))
        return bool((whole - divided).abs().max() <= _ALIKE * whole.abs().max())

    def _whole(self, x: Tensor) -> Tensor:
        try:
            return self._logits(x)
        except RuntimeError as error:
            if not self.channels_last or "view" not in str(error):
                raise
        self.channels_last = False  # the model's code depends on the usual layout
        self.network.to(memory_format=torch.contiguous_format)
        return self._logits(x)

    def train(self, mode: bool = True) -> "FrozenCopy":
        """Nothing: folding is exact in evaluation mode alone."""
        return super().train(False)

    @torch.no_grad()
    def refresh(self, model: nn.Module) -> None:
        """Take over the weights and running statistics that `model` has now."""
        values = dict(_tensors(model))
        for layer, norm in self.pairs or ():
            values |= _folded_weights(layer, model.get_submodule(layer), model.get_submodule(norm))
        for name, tensor in _tensors(self.network):
            tensor.copy_(values[name].view_as(tensor))

    def _logits(self, x: Tensor) -> Tensor:
        x = x.view_as(x)  # ours to hook and to mark
        if x.requires_grad and x.is_contiguous():
            x.register_hook(Tensor.contiguous)
        return self._run(x)

    def _make_room(self, layer: nn.Module, norm: str) -> None:
        """A weight of the layer's own (it may share one), a bias, and nothing where the BatchNorm was."""
        layer.weight = nn.Parameter(layer.weight.clone(), requires_grad=False)
        layer.bias = nn.Parameter(layer.weight.new_empty(len(layer.weight)), requires_grad=False)
        self.network.set_submodule(norm, _Absorbed())

    def _rearrange(self, found: Simplifications) -> None:
        for module in self.network.modules():
            ThinConvolution.replace(module)
        for name in found.overwriting:
            self.network.get_submodule(name).inplace = True
        for flatten, linear, channels in found.flattened:
            _FlatLinear.replace(self.network.get_submodule(linear), channels)
            self.network.set_submodule(flatten, nn.Identity())


class _Absorbed(nn.Module):
    """Where a BatchNorm was."""

    def forward(self, x: Tensor) -> Tensor:
        """`x`, in which a linear layer's features are the channels."""
        if x.ndim == 3:
            raise UserError(f"a BatchNorm of {tuple(x.shape)} is not the linear layer's to take over: pass fold=False")
        return x


class _FlatLinear(nn.Linear):
    """Flattens images (batch, channels, height, width) before a linear layer; takes channels_last ones as they lie.

    Its weights have shape (features, channels, pixels) and lie in the same order.
    """

    @classmethod
    def replace(cls, layer: nn.Linear, channels: int) -> None:
        """Turn a frozen linear layer into this one, in place."""
        weight = layer.weight.view(len(layer.weight), channels, -1)
        layer.weight = nn.Parameter(weight.transpose(1, 2).contiguous().transpose(1, 2), requires_grad=False)
        layer.__class__ = cls

    def forward(self, x: Tensor) -> Tensor:
        """As a linear layer does, of the flattened `x`."""
        return F.linear(x.movedim(1, -1).flatten(1), self.weight.transpose(1, 2).flatten(1), self.bias)


def _folded_weights(name: str, layer: nn.Module, norm: nn.Module) -> dict[str, Tensor]:
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    weight, bias = fuse_conv_bn_weights(layer.weight, layer.bias, *statistics)
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever the model's parts raise: locks, tensors with a history, ...
        raise UserError(f"{type(model).__name__} cannot be copied ({error})") from error


def _autocast(device: torch.device, precision: str) -> AbstractContextManager:
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16-mixed" else nullcontext()
