"""The tensor vocabulary: shapes by name, checked by the tests' jaxtyping import hook."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

Images = Float[Tensor, "batch channels height width"]  # pixels in [0, 1], always
Features = Float[Tensor, "batch dim"]
Logits = Float[Tensor, "batch classes"]
Centers = Float[Tensor, "classes dim"]
Labels = Int[Tensor, " batch"]
PerExample = Float[Tensor, " batch"]
Mask = Bool[Tensor, " batch"]
Seeds = Int[Tensor, " batch"]  # one integer per image: the only source of that image's random draws

Model = Callable[[Tensor], Tensor]  # images -> logits, nothing else
Objective = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (logits, labels, targets or None) -> PerExample
Attack = Callable[..., Tensor]  # attack(model, x, y, *, targets=None, seeds=None) -> x_adv; settings bound by partial


class Split(NamedTuple):
    """Images of one split, held in memory as bytes.

    `images` is uint8 (N, C, H, W), or float in [0, 1]; `labels` int64 (N,); `index` int64 (N,): each image's
    position in the published set, which names it in results and seeds its random draws.
    """

    images: Tensor
    labels: Tensor
    index: Tensor

    def first(self, count: int) -> "Split":
        """The first `count` images (all of them when there are fewer)."""
        return Split(self.images[:count], self.labels[:count], self.index[:count])


def as_pixels(images: Tensor) -> Tensor:
    """Bytes become float32 in [0, 1] (divided by 255); floats pass unchanged."""
    return images.float().div_(255) if not images.is_floating_point() else images
