"""What a network's code allows a frozen copy to merge, to overwrite, or to read as it lies; torch.fx reads the code."""

import inspect
import operator
import warnings
from collections import Counter
from typing import NamedTuple

from torch import fx, nn

from ..heads import Head

_ABSORBED_BY = {nn.BatchNorm2d: nn.Conv2d, nn.BatchNorm1d: nn.Linear}
_FORGETFUL = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm1d)  # their backward does not look at their output
_CHANNELWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.Dropout, nn.Identity),
    *(nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)  # as many channels come out as go in


class Simplifications(NamedTuple):
    """Modules by name."""

    pairs: tuple[tuple[str, str], ...] = ()  # a layer, and the BatchNorm that alone sees what the layer does
    overwriting: tuple[str, ...] = ()  # ReLUs whose input nobody needs afterwards
    flattened: tuple[tuple[str, str, int], ...] = ()  # a Flatten, the linear layer that alone sees it, the channels


def simplifications(network: nn.Module) -> Simplifications | None:
    """What the code of a network in evaluation mode allows; None where torch.fx cannot read it.

    A module with hooks, called more than once, or whose weights are read elsewhere is left alone. Where any part of the
    network has hooks, nothing is overwritten or rearranged: they may keep what they see.
    """
    parameters = inspect.signature(network.forward).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    try:
        with warnings.catch_warnings(action="ignore"):  # of hooks that meet a stand-in for a tensor
            code = _Code(network, _Tracer().trace(network, concrete_args=defaults))
    except Exception:  # whatever the model's own code raises when it meets a stand-in for a tensor
        return None
    pairs, overwriting, flattened = [], [], []
    for node in code.graph.nodes:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or len(before.users) > 1:
            continue
        module, behind = code.lone(node), code.lone(before)
        if type(module) in _ABSORBED_BY and type(behind) is _ABSORBED_BY[type(module)]:
            if module.running_mean is not None:
                pairs.append((before.target, node.target))
        elif type(module) is nn.ReLU and (type(behind) in _FORGETFUL or before.target is operator.add):
            overwriting.append(node.target)
        elif type(module) is nn.Linear and type(behind) is nn.Flatten:
            channels = code.channels(before)
            if channels and (behind.start_dim, behind.end_dim) == (1, -1):
                flattened.append((before.target, node.target, channels))
    if any(_has_hooks(module) for module in network.children() for module in module.modules()):
        return Simplifications(tuple(pairs))
    return Simplifications(tuple(pairs), tuple(overwriting), tuple(flattened))


def _has_hooks(module: nn.Module) -> bool:
    backward = module._backward_hooks or module._backward_pre_hooks
    return bool(module._forward_hooks or module._forward_pre_hooks or backward)


class _Code:
    """A network's graph of calls, with what is asked of it."""

    def __init__(self, network: nn.Module, graph: fx.Graph):
        self.graph = graph
        named = list(network.named_modules(remove_duplicate=False))
        self.modules, self.names = dict(named), Counter(id(module) for _, module in named)
        self.calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
        self.read = {node.target.rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}

    def lone(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, when it is called here alone and has no other use."""
        if node.op != "call_module" or node.target in self.read:
            return None
        module = self.modules[node.target]
        once = self.calls[node.target] == self.names[id(module)] == 1
        return module if once and not _has_hooks(module) else None

    def channels(self, node: fx.Node) -> int | None:
        """How many come in at a node, where only layers that keep their number lie between it and a convolution."""
        while node.args and isinstance(node := node.args[0], fx.Node) and node.op == "call_module":
            module = self.modules[node.target]
            if type(module) is nn.Conv2d:
                return module.out_channels
            if type(module) not in _CHANNELWISE:
                return None
        return None


class _Tracer(fx.Tracer):
    """Reads a model's code down to its head, which has nothing to fold and may look at its input."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """PyTorch's own layers, and heads."""
        return isinstance(module, Head) or super().is_leaf_module(module, name)
