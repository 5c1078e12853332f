import io
import os
import pickle
import struct

import numpy as np
import pytest

from max_mahalanobis.data.readers.cifar_pickle import read_cifar10_pickle, read_cifar100_pickle
from max_mahalanobis.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)


def python2_pickle(pixels, labels, key="labels"):
    """A batch as Python 2's cPickle wrote it: protocol 2, byte strings, the array through numpy.core.multiarray."""
    count = struct.pack("<H", len(pixels))
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01M" + count + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<I", pixels.size) + pixels.tobytes() + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + _text("data") + array + _text(key) + numbers + b"u."


def _text(text):
    return b"U" + bytes([len(text)]) + text.encode()


class Malice:
    """Unpickled carelessly, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def saved(folder, data):
    path = folder / "batch"
    path.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data))
    return [path]


def test_a_python2_batch_reads_as_pickle_itself_reads_it(tmp_path):
    data = python2_pickle(PIXELS, [5, 0, 9])
    trusted = pickle.load(io.BytesIO(data), encoding="latin1")  # what the field does
    images, labels = read_cifar10_pickle(saved(tmp_path, data), 10)
    np.testing.assert_array_equal(images.reshape(3, -1), trusted["data"])
    assert labels.tolist() == trusted["labels"] == [5, 0, 9]


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("text", [str, str.encode])
def test_a_batch_saved_again_by_python3_reads_too(tmp_path, protocol, text):
    batch = {text("data"): PIXELS, text("fine_labels"): [99, 0, 7], text("coarse_labels"): [1, 2, 3]}
    images, labels = read_cifar100_pickle(saved(tmp_path, pickle.dumps(batch, protocol)), 100)
    np.testing.assert_array_equal(images.reshape(3, -1), PIXELS)
    assert labels.tolist() == [99, 0, 7]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, protocol):
    target = tmp_path / "owned"
    with pytest.raises(UserError, match=r"asks for (posix|nt)\.system") as caught:
        read_cifar10_pickle(saved(tmp_path, pickle.dumps({"data": Malice(target), "labels": []}, protocol)), 10)
    assert not target.exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", [b"builtins\neval", b"numpy\nload", b"numpy.core.multiarray\n_reconstruct.__globals__", b"numpy\nfromfile"]
)
def test_names_beside_the_four_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="do not trust it"):
        read_cifar10_pickle(saved(tmp_path, b"\x80\x04c" + name + b"\n."), 10)


def test_stand_ins_cannot_be_tampered_with_by_a_file(tmp_path):
    """BUILD on a class, not on an instance: the next file must still be read rightly."""
    tampering = b"\x80\x02cnumpy\nndarray\n}U\x06valuesK\x01sb."
    with pytest.raises(UserError, match="not a CIFAR batch"):
        read_cifar10_pickle(saved(tmp_path, tampering), 10)
    read_cifar10_pickle(saved(tmp_path, python2_pickle(PIXELS, [1, 2, 3])), 10)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (b"", "is not a CIFAR batch .*EOFError"),
        (b"\x89PNG", "is not a CIFAR batch"),
        (python2_pickle(PIXELS, [1, 2, 3])[:-40], "is not a CIFAR batch"),
        ([1, 2], "holds a list"),
        ({"data": [1]}, r"has no entry 'labels' \(it has data\)"),
        ({"data": [1], "labels": [1]}, "'data' is not an array of bytes"),
        ({"data": PIXELS[:, 1:], "labels": [1, 2, 3]}, "'data' is not an array of bytes"),
        ({"data": PIXELS.astype("f4"), "labels": [1, 2, 3]}, "an array of 'f4'"),
        ({"data": PIXELS, "labels": [1.0, 2, 3]}, "not a list of integers"),
        ({"data": PIXELS, "labels": [1, 2, 2**70]}, "not a list of integers"),
        ({"data": PIXELS, "labels": [1, 2]}, "3 images but 2 labels"),
        ({"data": PIXELS, "labels": [1, 2, -1]}, r"label -1 is outside 0\.\.9"),
        ({"data": PIXELS[:0], "labels": []}, "holds no images"),
    ],
)
def test_damage_is_named_in_one_line(tmp_path, batch, message):
    with pytest.raises(UserError, match=message) as caught:
        read_cifar10_pickle(saved(tmp_path, batch), 10)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "batch") in str(caught.value)
