"""One equation per function: what training minimizes, per example.

Features z are (batch, dim), centers mu (classes, dim), logits h (batch, classes), labels y (batch,); every loss is
(batch,), in nats where it is a cross-entropy.
"""

from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .errors import one_of

CONVENTIONS = {"paper": 0.5, "authors_code": 1.0}
_TINY = 1e-4  # keeps a logarithm finite, as in the published code of MART


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label], in nats; shapes (batch, classes), (batch,) -> (batch,). The paper's SCE."""
    return F.cross_entropy(logits, labels, reduction="none")


def squared_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1/2 ||h - e_y||^2, with e_y the one-hot code of the label: summed over the classes, with the half.

    The plain baseline (Hui and Belkin 2021, https://arxiv.org/abs/2006.07322, without their rescaling). At h = 0 it is
    1/2.
    """
    return 0.5 * (logits - F.one_hot(labels, logits.shape[1])).square().sum(dim=1)


def mmc_loss(features: Tensor, centers: Tensor, labels: Tensor, *, convention: str = "paper") -> Tensor:
    """Max-Mahalanobis center loss: 1/2 ||z - mu_y||^2; shapes (batch, dim), (classes, dim), (batch,) -> (batch,).

    Pang et al. 2020 (https://arxiv.org/abs/1905.10626). Two conventions exist: "paper" (the default)
    has the printed half; "authors_code" is the whole ||z - mu_y||^2 of the released code, which at equal settings
    doubles the learning rate. Only the true class's center is touched: the cost does not grow with the classes.
    """
    one_of("convention", convention, CONVENTIONS)
    return CONVENTIONS[convention] * (features - centers[labels]).square().sum(dim=1)


def mmlda_loss(features: Tensor, centers: Tensor, labels: Tensor, *, convention: str = "paper") -> Tensor:
    """-log softmax(-c ||z - mu_k||^2)[y], with c = 1/2 ("paper", the default) or 1 ("authors_code").

    Pang et al. 2018 (https://arxiv.org/abs/1802.09308): cross-entropy on the distances to fixed centers. ||z||^2 is
    common to all classes and left out, so nothing cancels however far the features are: what is compared is
    c (2 mu_k.z - ||mu_k||^2), in the centers' precision under autocast too. Its gradient in z is at most
    2 c max ||mu_k - mu_y|| long. Never 0 at a finite z: no feature is good enough.
    """
    one_of("convention", convention, CONVENTIONS)
    with _in_full(features):
        bias = -centers.square().sum(dim=1)
        scores = torch.addmm(bias, features.to(centers.dtype), centers.T, alpha=2)
        return softmax_cross_entropy(CONVENTIONS[convention] * scores, labels)


def minus_squared_distances(features: Tensor, centers: Tensor) -> Tensor:
    """-||z - mu_k||^2, (batch, classes): the logits of MMC, in the centers' precision under autocast too.

    Expanded into one matrix product: never (batch, classes, dim) in memory. Next to a center the error is 1e-4 of it.
    """
    with _in_full(features):
        z = features.to(centers.dtype)
        cross = torch.addmm(-centers.square().sum(dim=1), z, centers.T, alpha=2)
        return cross - z.square().sum(dim=1, keepdim=True)


def center_loss(features: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
    """1/2 ||z - c_y||^2 with learned centers, whose gradient is the update rule of Wen et al. 2016.

    "A discriminative feature learning approach for deep face recognition" (ECCV 2016,
    https://doi.org/10.1007/978-3-319-46478-7_31), equations 2 to 4. In the features the gradient is the loss's own,
    z - c_y. In the centers it is delta_j = sum_{y_i = j} (c_j - z_i) / (1 + n_j), with n_j the images of class j in the
    batch, whatever weight or mean the loss goes into: plain SGD with learning rate alpha is their rule
    c_j <- c_j - alpha delta_j. So it is no gradient of the loss there; finite differences will not find it.
    """
    return _CenterLoss.apply(features, centers, labels)


def large_margin_gaussian_loss(
    features: Tensor,
    centers: Tensor,
    variances: Tensor,
    labels: Tensor,
    *,
    margin: float | int,
    center_weight: float | int,
) -> Tensor:
    """Cross-entropy in which the own class stands farther off, d_y (1 + margin), plus center_weight times -h_y.

    Wan et al. 2018 (https://arxiv.org/abs/1803.02988), with h_k = -d_k - 1/2 log det Lambda_k and
    d_k = 1/2 (z - mu_k)^T Lambda_k^-1 (z - mu_k), Lambda_k the diagonal matrix of `variances[k]`. -h_y is the negative
    log-likelihood of z under its own Gaussian, without the constant (dim / 2) log 2 pi; classes are equally likely.
    Where variances may shrink without end, so does the second term: it has no minimum.

    Args:
        features: z, (batch, dim).
        centers: mu, (classes, dim).
        variances: above 0, (classes, dim).
        labels: y.
        margin: their alpha, 0 or more; with 0 the first term is the cross-entropy of h.
        center_weight: their lambda, 0 or more.
    """
    with _in_full(features):
        biases = -0.5 * variances.log().sum(dim=1)
        logits = general_logits(features.to(centers.dtype), centers, 0.5 / variances, biases)
        own = logits.gather(1, labels[:, None]).squeeze(1)
        far = F.one_hot(labels, len(centers)) * (margin * (biases[labels] - own))[:, None]
        return softmax_cross_entropy(logits - far, labels) - center_weight * own


def margin_cosine_loss(cosines: Tensor, labels: Tensor, *, scale: float | int, margin: float | int) -> Tensor:
    """-log softmax(scale (cos_k - margin [k = y]))[y]; cosines (batch, classes) in [-1, 1].

    The loss of hypersphere embedding (Pang et al. 2020, NeurIPS, https://arxiv.org/abs/2002.08619), whose margin is
    CosFace's: it is taken off the cosine, not added to the angle.
    """
    return softmax_cross_entropy(scale * (cosines - margin * F.one_hot(labels, cosines.shape[1])), labels)


def general_logits(features: Tensor, centers: Tensor, precisions: Tensor, biases: Tensor) -> Tensor:
    """h_k = -(z - mu_k)^T Sigma_k (z - mu_k) + B_k, the logits of g-SCE; (batch, classes).

    Pang et al. 2020, section 3: softmax cross-entropy of these is the family of SCE, MMLDA and L-GM. Note that Sigma is
    a precision, without a half. Expanded into matrix products: never (batch, classes, dim) in memory.

    Args:
        features: (batch, dim).
        centers: (classes, dim).
        precisions: Sigma: (classes,) of isotropic ones, (classes, dim) of diagonals, or (classes, dim, dim) of whole
            symmetric matrices.
        biases: B, (classes,).
    """
    with _in_full(features):
        features = features.to(centers.dtype)
        if precisions.ndim == 3:
            pulled = torch.einsum("cde,ce->cd", precisions, centers)
            squares = torch.einsum("bd,cde,be->bc", features, precisions, features)
        else:
            diagonals = precisions[:, None].expand_as(centers) if precisions.ndim == 1 else precisions
            pulled = diagonals * centers
            squares = features.square() @ diagonals.T
        return torch.addmm(biases - (pulled * centers).sum(dim=1), features, pulled.T, alpha=2) - squares


def kl_divergence(clean: Tensor, perturbed: Tensor) -> Tensor:
    """KL(softmax(clean) || softmax(perturbed)) of logits (batch, classes), in nats, per example; in full precision.

    The robust term of TRADES (Zhang et al. 2019, https://arxiv.org/abs/1901.08573, equation 5) and of MART.
    """
    with _in_full(clean):
        full = torch.promote_types(clean.dtype, torch.float32)
        wanted, found = (logits.to(full).log_softmax(dim=1) for logits in (clean, perturbed))
        return F.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=1)


def mart_loss(own: Tensor, rival: Tensor, clean: Tensor, divergence: Tensor, *, weight: float | int) -> Tensor:
    """-log p'_y - log(1 - max_{k != y} p'_k) + weight (1 - p_y) KL(p || p'), with every probability p_k = exp(-loss_k).

    Misclassification-aware adversarial training (Wang et al. 2020, https://openreview.net/forum?id=rklOg6EFwS, equation
    8). All arguments are (batch,), losses of the same head. Under softmax cross-entropy p_k is the probability and the
    formula is the printed one; for MMC it is exp(-1/2 ||z - mu_k||^2), 1 on the center and 0 far away.

    Args:
        own: the perturbed image's loss with its own label.
        rival: the perturbed image's loss with the likeliest other label.
        clean: the clean image's loss with its own label; its p_y weighs the divergence and is learned from too.
        divergence: between the outputs for the clean and the perturbed image.
        weight: their lambda.
    """
    apart = -torch.log(1 + _TINY - (-rival).exp().clamp_max(1))
    return own + apart + weight * (1 - (-clean).exp().clamp_max(1)) * divergence


class _CenterLoss(torch.autograd.Function):
    """Half the squared distance to the own center; backward, the rule of Wen et al. for the centers."""

    @staticmethod
    def forward(ctx, features: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
        apart = features.to(centers.dtype) - centers[labels]
        ctx.save_for_backward(apart, labels)
        ctx.num_classes, ctx.dtype = len(centers), features.dtype
        return 0.5 * apart.square().sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx, weight: Tensor) -> tuple[Tensor, Tensor, None]:
        apart, labels = ctx.saved_tensors
        total = apart.new_zeros(ctx.num_classes, apart.shape[1]).index_add_(0, labels, -apart)
        count = apart.new_zeros(ctx.num_classes).index_add_(0, labels, apart.new_ones(len(labels)))
        return (weight[:, None] * apart).to(ctx.dtype), total / (1 + count)[:, None], None


def _in_full(features: Tensor) -> AbstractContextManager:
    """No autocast: in bfloat16 logits of 10,000 are known to 32 only."""
    return torch.autocast(features.device.type, enabled=False)
