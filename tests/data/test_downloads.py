import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from miniatures import archive, cifar10_files, idx_files, published_as, write

from max_mahalanobis.data import downloads
from max_mahalanobis.data.catalogue import SOURCES
from max_mahalanobis.data.downloads import cached_folder
from max_mahalanobis.errors import UserError


class Server:
    """Serves `files` from memory; drops each connection to a name in `drops` half-way, as often as it says there."""

    def __init__(self, ranges=True):
        self.files, self.drops, self.ranges = {}, Counter(), ranges
        self.asked = []  # (name, Range header)
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name, wanted = self.path[1:], self.headers.get("Range")
                server.asked.append((name, wanted))
                if name not in server.files:
                    return self.send_error(404)
                data = server.files[name]
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
                if start and start >= len(data):
                    return self.send_error(416)
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                if server.drops[name] > 0:
                    server.drops[name] -= 1
                    data = data[: (start + len(data)) // 2]
                self.wfile.write(data[start:])

            def log_message(self, *_):
                pass

        return Handler


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mnist(server):
    server.files = idx_files()
    return published_as(SOURCES["mnist"], server.files, server.url)


def get(source, download=True):
    return cached_folder(source, download=download, progress=False)


def test_only_missing_files_are_fetched(server, cache, mnist):
    folder = get(mnist)
    assert folder == cache / "mnist"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == server.files
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    server.asked.clear()
    get(mnist)
    assert [name for name, _ in server.asked] == ["t10k-labels-idx1-ubyte.gz"]


def test_a_dropped_connection_goes_on_where_it_stopped(server, cache, mnist):
    name = "train-images-idx3-ubyte.gz"
    server.drops[name] = 1
    folder = get(mnist)
    half = len(server.files[name]) // 2
    assert [wanted for asked, wanted in server.asked if asked == name] == [None, f"bytes={half}-"]
    assert (folder / name).read_bytes() == server.files[name]


def test_what_one_run_fetched_is_not_fetched_again_by_the_next(server, cache, mnist):
    name = "train-images-idx3-ubyte.gz"
    server.drops[name] = downloads.ATTEMPTS
    with pytest.raises(UserError, match=rf"cannot download {server.url}{name} .*try again"):
        get(mnist)
    server.asked.clear()
    get(mnist)
    assert int(server.asked[0][1].removeprefix("bytes=").rstrip("-")) > len(server.files[name]) * 0.8


def test_a_server_without_ranges_costs_time_and_nothing_else(server, cache, mnist):
    server.ranges = False
    server.drops["train-images-idx3-ubyte.gz"] = 1
    folder = get(mnist)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == server.files


def test_a_damaged_file_in_the_cache_is_replaced(server, cache, mnist):
    folder = get(mnist)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte.gz is missing or damaged: allow the download"):
        get(mnist, download=False)
    get(mnist)
    assert (folder / "t10k-labels-idx1-ubyte.gz").read_bytes() == server.files["t10k-labels-idx1-ubyte.gz"]


def test_a_file_that_is_not_the_published_one_is_not_kept(server, cache, mnist):
    server.files = server.files | {"train-images-idx3-ubyte.gz": b"<html>please log in</html>"}
    with pytest.raises(UserError, match=r"cannot download .*hash") as caught:
        get(mnist)
    assert "\n" not in str(caught.value)
    assert list((cache / "mnist").iterdir()) == []


def test_without_download_nothing_is_asked_and_the_remedies_are_named(server, cache, mnist):
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz is missing.*MMC_CACHE.*--data-dir") as caught:
        get(mnist, download=False)
    assert str(cache) in str(caught.value)
    assert server.asked == []
    assert not cache.exists()


@pytest.mark.parametrize("fault", ["404", "nobody listens", "unwritable cache"])
def test_a_download_that_cannot_be_is_one_line(server, cache, mnist, fault):
    if fault == "404":
        server.files = {}
    elif fault == "nobody listens":
        server.http.shutdown()
        server.http.server_close()
    else:
        cache.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"cannot download .*--data-dir") as caught:
        get(mnist)
    assert "\n" not in str(caught.value)


def test_an_archive_gives_its_named_members_only(server, cache):
    files = cifar10_files()
    packed = archive("cifar-10-batches-bin", files)
    server.files = {"cifar-10-binary.tar.gz": packed}
    source = published_as(SOURCES["cifar10"], files, server.url, packed)
    folder = get(source)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert not (cache / "evil").exists()
    get(source)
    assert len(server.asked) == 1


def test_an_archive_without_the_files_is_named(server, cache):
    packed = archive("elsewhere", cifar10_files())
    server.files = {"cifar-10-binary.tar.gz": packed}
    source = published_as(SOURCES["cifar10"], cifar10_files(), server.url, packed)
    with pytest.raises(UserError, match=r"cannot unpack .*cifar-10-binary.tar.gz"):
        get(source)


def test_a_bar_is_shown_on_standard_error_when_asked(server, cache, mnist, capsys):
    cached_folder(mnist, download=True, progress=True)
    out, err = capsys.readouterr()
    assert "train-images-idx3-ubyte.gz" in err
    assert out == ""


def test_a_file_that_was_whole_but_not_yet_in_place_is_taken(server, cache, mnist):
    name = "train-labels-idx1-ubyte.gz"
    write(cache / "mnist", {f"{name}.part": server.files[name]})
    assert (get(mnist) / name).read_bytes() == server.files[name]
