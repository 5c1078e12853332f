import gzip

import pytest
from miniatures import IDX_NAMES, cifar10_files, idx_files, write

from max_mahalanobis.data import local_files
from max_mahalanobis.data.catalogue import SOURCES
from max_mahalanobis.errors import UserError

MNIST = SOURCES["mnist"]


@pytest.mark.parametrize("below", [".", "mnist", "MNIST/raw", "mnist/MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_usual_places_are_searched(tmp_path, below, packed):
    files = idx_files()
    if not packed:
        files = {name.removesuffix(".gz"): gzip.decompress(data) for name, data in files.items()}
    write(tmp_path / below, files)
    layout, folder = local_files.find(MNIST, tmp_path)
    assert folder.resolve() == (tmp_path / below).resolve()
    assert {file.name for file in layout.files} == set(files)


@pytest.mark.parametrize("below", [".", "cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_cifar_is_found_where_the_archive_unpacks(tmp_path, below):
    write(tmp_path / below, cifar10_files())
    assert local_files.find(SOURCES["cifar10"], tmp_path)[0].reader == "cifar10_binary"


def test_a_folder_named_after_the_set_comes_before_loose_files(tmp_path):
    write(tmp_path, idx_files())
    write(tmp_path / "fashion-mnist", idx_files(num_test=5))
    assert local_files.find(SOURCES["fashion-mnist"], tmp_path)[1] == tmp_path / "fashion-mnist"


@pytest.mark.parametrize("name", IDX_NAMES)
def test_the_one_missing_file_is_named(tmp_path, name):
    write(tmp_path / "mnist", idx_files())
    (tmp_path / "mnist" / name).unlink()
    with pytest.raises(UserError, match=f"mnist/{name} is missing"):
        local_files.find(MNIST, tmp_path)


def test_a_folder_without_the_set_says_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"does not hold cifar100: looked for cifar100/train.bin, .*cifar-100-python"):
        local_files.find(SOURCES["cifar100"], tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match="gone does not exist"):
        local_files.find(MNIST, tmp_path / "gone")


def test_files_of_the_sister_set_are_refused(real_data):
    source = SOURCES["fashion-mnist"]
    layout, folder = local_files.find(source, real_data / "mnist")
    with pytest.raises(UserError, match="belongs to mnist, not fashion-mnist"):
        local_files.differing(source, layout, folder)
