"""What is published about each data set: classes, files with their hashes, where they are, usual threat budgets.

Hashes of MNIST, Fashion-MNIST and the pickled CIFAR batches are those torchvision publishes, of the binary CIFAR
batches those of MXNet's gluon; of unpacked idx files, those of the published archives' contents.
"""

from dataclasses import dataclass
from typing import Literal

from ..errors import UserError

_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# fmt: off
_CIFAR100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee",
    "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant",
    "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower",
    "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom",
    "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate",
    "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark",
    "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
    "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout", "tulip",
    "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
)
# fmt: on


@dataclass(frozen=True)
class PublishedFile:
    """A file as its authors published it; `hash` is written `algorithm:hexadecimal digits`."""

    name: str
    hash: str


@dataclass(frozen=True)
class Layout:
    """One form in which a set lies on disk: which reader takes it, in which folders it is usually found, its files."""

    reader: Literal["idx", "cifar10_binary", "cifar100_binary", "cifar10_pickle", "cifar100_pickle"]
    folders: tuple[str, ...]
    train: tuple[PublishedFile, ...]
    test: tuple[PublishedFile, ...]

    @property
    def files(self) -> tuple[PublishedFile, ...]:
        """Training files, then test files."""
        return self.train + self.test


@dataclass(frozen=True)
class Source:
    """A published data set. Its first layout is the one downloads have; no layout: it comes with a library.

    Files are at `base_url + name`, or all of them in the one `archive` there, in the layout's first folder.
    """

    name: str
    class_names: tuple[str, ...]
    linf_eps: float
    l2_eps: float
    layouts: tuple[Layout, ...] = ()
    base_url: str = ""
    archive: PublishedFile | None = None

    @property
    def num_classes(self) -> int:
        """How many classes it has."""
        return len(self.class_names)


def _files(hashes: dict[str, str]) -> tuple[PublishedFile, ...]:
    return tuple(PublishedFile(name, value) for name, value in hashes.items())


def _idx(folder: str, suffix: str, *md5s: str) -> Layout:
    """The four files of an idx set; md5s of training images, training labels, test images, test labels."""
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    files = _files({f"{part}-ubyte{suffix}": f"md5:{md5}" for part, md5 in zip(parts, md5s, strict=True)})
    return Layout("idx", (folder,), train=files[:2], test=files[2:])


_MNIST_GZ = _idx(
    "MNIST/raw",
    ".gz",
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)
_MNIST_RAW = _idx(
    "MNIST/raw",
    "",
    "6bbc9ace898e44ae57da46a324031adb",
    "a25bea736e30d166cdddb491f175f624",
    "2646ac647ad5339dbf082846283269ea",
    "27ae3e4e09519cfbb04c329615203637",
)
_FASHION_GZ = _idx(
    "FashionMNIST/raw",
    ".gz",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)
_FASHION_RAW = _idx(
    "FashionMNIST/raw",
    "",
    "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "9018921c3c673c538a1fc5bad174d6f9",
    "8181f5470baa50b63fa0f6fddb340f0a",
    "15d484375f8d13e6eb1aabb0c3f46965",
)
_CIFAR10_BINARY = Layout(
    "cifar10_binary",
    ("cifar-10-batches-bin",),
    train=_files(
        {
            "data_batch_1.bin": "sha1:aadd24acce27caa71bf4b10992e9e7b2d74c2540",
            "data_batch_2.bin": "sha1:c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
            "data_batch_3.bin": "sha1:1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
            "data_batch_4.bin": "sha1:aab85764eb3584312d3c7f65fd2fd016e36a258e",
            "data_batch_5.bin": "sha1:26e2849e66a845b7f1e4614ae70f4889ae604628",
        }
    ),
    test=_files({"test_batch.bin": "sha1:67eb016db431130d61cd03c7ad570b013799c88c"}),
)
_CIFAR10_PICKLE = Layout(
    "cifar10_pickle",
    ("cifar-10-batches-py",),
    train=_files(
        {
            "data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
            "data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "md5:634d18415352ddfa80567beed471001a",
            "data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
        }
    ),
    test=_files({"test_batch": "md5:40351d587109b95175f43aff81a1287e"}),
)
_CIFAR100_BINARY = Layout(
    "cifar100_binary",
    ("cifar-100-binary",),
    train=_files({"train.bin": "sha1:e207cd2e05b73b1393c74c7f5e7bea451d63e08e"}),
    test=_files({"test.bin": "sha1:8fb6623e830365ff53cf14adec797474f5478006"}),
)
_CIFAR100_PICKLE = Layout(
    "cifar100_pickle",
    ("cifar-100-python",),
    train=_files({"train": "md5:16019d7e3df5f24257cddd939b257f8d"}),
    test=_files({"test": "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"}),
)
_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("digits", _DIGITS, linf_eps=0.1, l2_eps=0.5),
        Source("mnist", _DIGITS, 0.3, 2.0, (_MNIST_GZ, _MNIST_RAW), _MNIST_URL),
        Source("fashion-mnist", _CLOTHES, 0.1, 1.5, (_FASHION_GZ, _FASHION_RAW), _FASHION_URL),
        Source(
            "cifar10",
            _CIFAR10,
            8 / 255,
            0.5,
            (_CIFAR10_BINARY, _CIFAR10_PICKLE),
            _CIFAR_URL,
            PublishedFile("cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530"),
        ),
        Source(
            "cifar100",
            _CIFAR100,
            8 / 255,
            0.5,
            (_CIFAR100_BINARY, _CIFAR100_PICKLE),
            _CIFAR_URL,
            PublishedFile("cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8"),
        ),
    )
}
"""Every data set known by name."""


def default_eps(data: str, threat: str) -> float:
    """The budget usual for a data set, in pixels of [0, 1]; for your own images CIFAR's: 8/255 (Linf), 0.5 (L2).

    `threat` is `linf` or `l2`, in upper or lower case.

    Raises:
        UserError: the threat is another one: no budget is usual for it.
    """
    if threat.lower() not in ("linf", "l2"):
        raise UserError(f"threat {threat} has no usual budget: give one with --eps")
    source = SOURCES.get(data, SOURCES["cifar10"])
    return {"linf": source.linf_eps, "l2": source.l2_eps}[threat.lower()]
