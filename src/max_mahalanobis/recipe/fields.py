"""A recipe: everything that decides a trained model, as one frozen record in a TOML file."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_type_hints

from ..errors import one_of
from .checks import check_recipe, check_types
from .files import FORMAT, read_toml

HeadName = Literal[
    "softmax",
    "mmc",
    "mmlda",
    "center_loss",
    "large_margin_gaussian",
    "hypersphere",
    "squared",
    "cosface",
    "arcface",
]
ObjectiveName = Literal[
    "cross_entropy",
    "rescaled_cross_entropy",
    "margin",
    "dlr",
    "own_distance",
    "nearest_other",
    "divergence",
]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a trained model. `None` means: the default that goes with the other choices."""

    data: str = "digits"
    """digits, mnist, fashion-mnist, cifar10, cifar100, a .npz file or a folder of images"""
    validation: float = 0.1
    """share of the training images kept apart for validation"""
    extra_data: str | None = None
    """.npz file of more training images (x_train, y_train), of the same shape and classes, mixed into every batch"""
    extra_share: float = 0.5
    """share of every batch that comes from extra_data"""
    model: str = "mlp"
    """backbone: mlp, small_cnn, resnet_v1, resnet_v2, resnet18, preact_resnet18, wide_resnet28_10, wide_resnet34_10, or
    timm:NAME, torchvision:NAME"""
    pretrained: str | None = None
    """file of weights to start from (safetensors or a PyTorch state dict); what does not fit the backbone is refused"""
    activation: Literal["relu", "silu"] = "relu"
    """of resnet18, preact_resnet18 and the wide ResNets"""
    blocks: int = 5
    """n of the ResNets: depth 6n+2 (resnet_v1) or 9n+2 (resnet_v2)"""
    padding: Literal["torch", "keras"] = "torch"
    """where resnet_v1 pads before it halves an even side: on all sides, or right and below alone, as the authors'"""
    dim: int | None = None
    """number of features (the model's own: 64; resnet_v2 256; ResNet-18s 512, wide ResNets 640; of libraries what they
    pool; another number adds a linear layer)"""
    normalization: Literal["pixel_mean", "none"] = "pixel_mean"
    """what the classifier does to pixels first: subtract the training mean image, as in the paper, or nothing"""
    initialization: Literal["he_normal", "torch"] = "he_normal"
    """first weights: Keras's he_normal, as the authors', or PyTorch's own, smaller: better where the norm is small"""
    head: HeadName = "mmc"
    """what makes logits of features, with the loss that trains it"""
    norm: float = 10.0
    """mmc, mmlda: length of the class centers (a norm, not its square)"""
    convention: Literal["paper", "authors_code"] = "paper"
    """mmc, mmlda: half the squared distance (paper) or all of it (authors_code)"""
    centers: Literal["maximal", "random"] = "maximal"
    """mmc, mmlda: as far apart as geometry allows, or drawn on the sphere from the seed"""
    margin: float | None = None
    """what the own class is held back by in training: large_margin_gaussian (0.3, of its distance), hypersphere (0.2)
    and cosface (0.35, of the cosine), arcface (0.5, radians)"""
    scale: float | None = None
    """hypersphere (15), cosface, arcface (64): what cosines are multiplied by"""
    center_weight: float | None = None
    """lambda, of the pull to the own center: center_loss (0.01), large_margin_gaussian (0.1)"""
    center_rate: float | None = None
    """alpha, how fast the centers of center_loss follow the features (0.5)"""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam, or SGD with momentum 0.9"""
    learning_rate: float | None = None
    """initial learning rate (adam 0.001, sgd 0.01; mmlda with sgd: less where centers are long)"""
    schedule: Literal["step", "piecewise", "cosine", "one_cycle", "constant"] = "cosine"
    """step: times 0.1 after 1/2 and again after 3/4 of the epochs, as the paper's 200 on CIFAR; piecewise: after
    `drops`; cosine: to zero; one_cycle: up from zero over 2/5, then down to it"""
    drops: tuple[float, ...] = (0.5, 0.75)
    """piecewise: shares of the training after which the learning rate is divided by 10"""
    weight_decay: float = 0.0
    """L2 pull on the weights, in SGD's terms (the paper's Keras l2(1e-4) is 2e-4 here)"""
    weight_decay_scope: Literal["convolutions", "all"] = "convolutions"
    """which weights decay: convolution kernels only, as in the paper, or every parameter"""
    epochs: int = 30
    """passes over the training images"""
    batch_size: int = 64
    """images a step"""
    accumulate: int = 1
    """parts in which a batch is worked through where memory is short; the gradients are summed"""
    clip_norm: float | None = None
    """longest gradient (L2, of all weights together); longer ones are shortened to it"""
    label_smoothing: float = 0.0
    """share of the label spread evenly over all classes"""
    augmentation: Literal["none", "shift", "shift_flip", "crop", "crop_flip"] = "none"
    """shift: by up to 1/10 of the side, edges repeated; crop: 4 pixels of padding; flip: left-right"""
    random_operations: int = 0
    """RandAugment: how many of its operations each image goes through"""
    cutout: int = 0
    """side of the square that is blacked out, in pixels"""
    mix: Literal["none", "mixup", "cutmix"] = "none"
    """every image is mixed with another training image, and so are their losses"""
    mix_alpha: float = 1.0
    """of the Beta distribution that the share of the mixed images is drawn from"""
    weight_perturbation: float = 0.0
    """AWP: how far every layer is moved up the loss before a step, relative to its norm (0.005 to 0.01)"""
    averaging: Literal["none", "ema", "swa"] = "none"
    """what is judged and kept: the weights; their exponential moving average; their mean over the last epochs"""
    average_decay: float = 0.995
    """ema: what of the average stays at each step; less in the first steps"""
    average_from: float = 0.75
    """swa: share of the training after which averaging begins"""
    checkpoint: Literal["last", "best"] = "last"
    """weights the run ends with: the last epoch's, or those that held best on the validation images; both are kept"""
    patience: int | None = None
    """epochs without a better validation after which training stops"""
    adversary: Literal["none", "pgd", "fgsm", "free", "mim", "apgd"] = "none"
    """what training fights; fgsm starts at random (Wong et al. 2020), free learns at each of its steps (Shafahi et al.
    2019)"""
    threat: Literal["linf", "l2", "l1"] = "linf"
    """norm that bounds the adversary"""
    eps: float | None = None
    """the adversary's budget, in pixels of [0, 1] (the data set's usual one)"""
    adversary_steps: int = 10
    """steps on every batch (fgsm: one, whatever this says); free: how often each batch is used"""
    adversary_step_size: float | None = None
    """length of a step at the full budget, shrinking with it (pgd 2.5 eps / steps, fgsm 1.25 eps, mim eps / steps,
    free eps; apgd chooses its own)"""
    adversary_restarts: int = 1
    """pgd, apgd: random starts for the images that hold"""
    adversary_objective: ObjectiveName | None = None
    """what the adversary climbs (trades: divergence, between the outputs for the clean and the perturbed image; else
    mmc: own_distance; mmlda, large_margin_gaussian, cosface, arcface: margin; others: cross_entropy)"""
    adversary_targeted: bool = False
    """aim at a random class instead of away from the true one"""
    adversary_targets: Literal["wrong", "all"] = "wrong"
    """which classes are aimed at: wrong ones, or all, the true one among them, as in the authors' code"""
    adversary_clean_share: float = 0.0
    """share of the images of a batch that stay as they are"""
    adversary_batchnorm: Literal["eval", "train"] = "eval"
    """BatchNorm while crafting: running statistics (eval) or the batch's own, as in the authors' code (train)"""
    adversary_warmup: float = 0.4
    """share of the training over which the budget grows from 0 to eps"""
    guard: float = 0.2
    """fgsm, free: training stops, with its best weights, when validation against PGD falls this far below its best
    (catastrophic overfitting); 1: never"""
    robust_loss: Literal["adversarial", "trades", "mart", "alp"] = "adversarial"
    """what is minimized against the adversary: the loss of its images, or a trade-off with the clean ones"""
    robust_weight: float | None = None
    """of the robust term: trades (6), mart (5), alp (0.5)"""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """arithmetic of the training step"""
    seed: int = 0
    """the one door for randomness"""

    def __post_init__(self):
        """Refuse what could not train."""
        check_types(self, get_type_hints(type(self)))
        check_recipe(self)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change when anything in the recipe does.

        Of the fields that differ from their defaults: a field added later, whose default means what was done before,
        leaves the fingerprints of older runs as they are.
        """
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]

    def to_toml(self, **sections: dict) -> str:
        """The file's text: the format, the recipe's fields, and the section `trained_on` (facts, not choices)."""
        import tomli_w

        settings = {key: value for key, value in asdict(self).items() if value is not None}
        return tomli_w.dumps({"format": FORMAT} | settings | sections)

    @classmethod
    def from_toml(cls, path: Path) -> "Recipe":
        """The recipe in a file; the section [trained_on] has facts about a run, not choices."""
        values = read_toml(path)
        settings = {key: value for key, value in values.items() if key not in ("format", "trained_on")}
        for key in settings:
            one_of(f"setting in {path}:", key, [field.name for field in fields(cls)])
        return cls(**settings)
