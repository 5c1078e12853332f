"""The general member of the paper's family: softmax on given quadratic logits (g-SCE)."""

import torch
from torch import Tensor

from ..errors import UserError
from ..losses import general_logits, softmax_cross_entropy
from .head import Head


class GeneralSoftmaxHead(Head):
    """Generalized softmax cross-entropy, h_k = -(z - mu_k)^T Sigma_k (z - mu_k) + B_k, everything given and fixed.

    Pang et al. 2020 (https://arxiv.org/abs/1905.10626), section 3. Sigma_k is a precision, without a half. Special
    cases, each to rounding:

    - SCE with W, b: any one sigma > 0, mu_k = W_k / (2 sigma), B_k = b_k + sigma ||mu_k||^2 (the logits differ from
      W z + b by -sigma ||z||^2, alike for all classes).
    - MMLDA: mu the fixed centers, sigma 1/2 ("paper") or 1 ("authors_code"), B = 0.
    - L-GM without margin and likelihood: Sigma_k = Lambda_k^-1 / 2, B_k = -1/2 log det Lambda_k.

    Args:
        centers: mu, (classes, dim).
        precisions: Sigma, positive: one number; (classes,) isotropic; (classes, dim) diagonal; or (classes, dim, dim)
            symmetric matrices.
        biases: B, (classes,); 0 by default.
    """

    def __init__(self, centers: Tensor, *, precisions: Tensor | float | int = 1.0, biases: Tensor | None = None):
        super().__init__()
        if centers.ndim != 2:
            raise UserError(f"centers must be (classes, dim), got {tuple(centers.shape)}")
        self.num_classes, dim = centers.shape
        dtype = torch.get_default_dtype()
        biases = torch.zeros(self.num_classes) if biases is None else biases
        if biases.shape != (self.num_classes,):
            raise UserError(f"biases must be ({self.num_classes},), got {tuple(biases.shape)}")
        self.register_buffer("centers", centers.to(dtype, copy=True))
        self.register_buffer("precisions", _positive(precisions, self.num_classes, dim).to(dtype, copy=True))
        self.register_buffer("biases", biases.to(dtype, copy=True))
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.buffers()):
            raise UserError("centers, precisions, biases must be finite numbers: some are NaN or infinite")

    def forward(self, features: Tensor) -> Tensor:
        """-(z - mu_k)^T Sigma_k (z - mu_k) + B_k."""
        return general_logits(features, self.centers, self.precisions, self.biases)

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """-log softmax(h)[label]."""
        return softmax_cross_entropy(self(features), labels)


def _positive(precisions: Tensor | float | int, num_classes: int, dim: int) -> Tensor:
    """Precisions of one of the three shapes, refused unless positive."""
    if not isinstance(precisions, Tensor):
        precisions = torch.full((num_classes,), float(precisions))
    shapes = [(num_classes,), (num_classes, dim), (num_classes, dim, dim)]
    if tuple(precisions.shape) not in shapes:
        raise UserError(f"precisions must be of shape {', '.join(map(str, shapes))}, got {tuple(precisions.shape)}")
    least = precisions.flatten(1) if precisions.ndim == 2 else precisions[:, None]
    if precisions.ndim == 3:
        if not torch.allclose(precisions, precisions.mT):
            raise UserError("precisions must be symmetric matrices: average each with its transpose")
        least = torch.linalg.eigvalsh(precisions.double())
    for k, value in enumerate(least.amin(dim=1).tolist()):
        if not value > 0:
            raise UserError(f"precisions must be positive: that of class {k} has {value:.6g}")
    return precisions
