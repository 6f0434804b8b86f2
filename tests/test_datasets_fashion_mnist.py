"""Fashion-MNIST: looked for in order, fetched over loopback, verified before it is kept."""

import gzip
import hashlib
import os
import resource
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from dataset_example import idx_bytes, refusal
from fedspike.data import Dataset, download, fashion_mnist, load_data

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def small() -> dict[str, bytes]:
    """A Fashion-MNIST of 20 training and 10 test images, as the four files' contents."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (30, 28, 28))
    return {
        FILES[0]: idx_bytes(images[:20]),
        FILES[1]: idx_bytes(np.arange(20) % 10),
        FILES[2]: idx_bytes(images[20:]),
        FILES[3]: idx_bytes(np.arange(10)),
    }


SMALL = small()
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in SMALL.items()}


def write_small(folder: Path, zipped: bool = True) -> Path:
    folder.mkdir(parents=True)
    for name, content in SMALL.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def test_the_shipped_sample_is_small_balanced_and_unchanged() -> None:
    folder = Path(fashion_mnist.__file__).with_name("fashion_mnist_sample")
    sample = load_data("fashion-mnist-sample")
    assert sample.name == "fashion-mnist-sample"
    assert sample.x_train.shape == (2000, 28, 28)
    assert sample.x_test.shape == (500, 28, 28)
    assert np.bincount(sample.y_train).tolist() == [200] * 10
    assert np.bincount(sample.y_test).tolist() == [50] * 10
    assert sample.x_train.min() == 0
    assert sample.x_train.max() == 1
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1_500_000
    assert "Zalando SE" in (folder / "LICENSE").read_text(encoding="utf-8")
    for name in FILES:  # against gzip and hashlib instead of our own reader
        content = gzip.decompress((folder / f"{name}.gz").read_bytes())
        assert sample.sha256[name] == hashlib.sha256(content).hexdigest()
    raw = gzip.decompress((folder / f"{FILES[2]}.gz").read_bytes())
    assert sample.x_test[499, 27, 14] == np.float32(raw[16 + 499 * 784 + 27 * 28 + 14] / 255)


@pytest.mark.parametrize("zipped", [True, False])
def test_pixels_and_labels_are_those_of_the_files(tmp_path: Path, zipped: bool) -> None:
    folder = write_small(tmp_path / "own", zipped)
    dataset = fashion_mnist.load(data_dir=folder, sha256=SHA256)
    assert dataset.x_train.dtype == np.float32
    assert dataset.y_train.dtype == np.int64
    assert (dataset.x_train * 255).round().astype(np.uint8).tobytes() == SMALL[FILES[0]][16:]
    assert dataset.y_test.tolist() == list(range(10))
    assert dataset.source == str(folder)
    assert dataset.sha256 == SHA256


def test_a_named_folder_is_used_or_refused_never_replaced(tmp_path: Path) -> None:
    cache = write_small(tmp_path / "cache" / "fashion-mnist")
    named = write_small(tmp_path / "named")
    path = named / f"{FILES[3]}.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(10, np.uint8))))
    with refusal(str(path), "SHA-256", SHA256[FILES[3]]):
        fashion_mnist.load(data_dir=named, cache=cache, sha256=SHA256)
    path.unlink()
    with refusal(str(named), path.name):
        fashion_mnist.load(data_dir=named, cache=cache, sha256=SHA256)
    with refusal("nowhere", FILES[0]):
        fashion_mnist.load(data_dir=tmp_path / "nowhere", cache=cache, sha256=SHA256)


def test_real_hashes_refuse_other_data(tmp_path: Path) -> None:
    with refusal("SHA-256", "c59f468a"):
        load_data("fashion-mnist", data_dir=write_small(tmp_path / "own"))


def test_the_cache_comes_first_then_the_system_folders(tmp_path: Path) -> None:
    said: list[str] = []
    cache, system = write_small(tmp_path / "cache"), write_small(tmp_path / "system")

    def source() -> str:
        said.clear()
        return fashion_mnist.load(
            cache=cache, system_folders=[system], mirrors=[], sha256=SHA256, say=said.append
        ).source

    assert source() == str(cache)
    assert said == [
        f"Fashion-MNIST: looking in the cache, {cache}",
        "  found, every SHA-256 as expected",
    ]
    (cache / f"{FILES[0]}.gz").write_bytes(b"damaged")
    assert source() == str(system)
    assert f"{cache / FILES[0]}.gz" in said[1]


def test_places_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEDSPIKE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert fashion_mnist.cache_folder() == Path("/home/ada/.cache/fedspike")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert fashion_mnist.cache_folder() == Path("/fast/fedspike")
    monkeypatch.setenv("FEDSPIKE_CACHE", "/mine")
    assert fashion_mnist.cache_folder() == Path("/mine")
    monkeypatch.setenv("XDG_DATA_DIRS", "/opt/share:/usr/share/")
    assert [str(folder) for folder in fashion_mnist.system_data_folders()] == [
        "/opt/share/datasets/fashion-mnist",
        "/usr/share/datasets/fashion-mnist",
        "/usr/local/share/datasets/fashion-mnist",
    ]


class Mirror(ThreadingHTTPServer):
    """A web server on loopback with the small files; tests break it by changing `files`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.files = {f"/{name}.gz": gzip.compress(content) for name, content in SMALL.items()}
        self.withheld_bytes = 0
        self.silent = threading.Event()
        self.requests = 0


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        mirror = self.server
        assert isinstance(mirror, Mirror)
        mirror.requests += 1
        if mirror.silent.is_set():
            while mirror.silent.is_set():
                threading.Event().wait(0.01)
            return
        if (content := mirror.files.get(self.path)) is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) - mirror.withheld_bytes])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Mirror, Mirror]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    pair = Mirror(), Mirror()
    threads = [threading.Thread(target=mirror.serve_forever, args=(0.01,)) for mirror in pair]
    for thread in threads:
        thread.start()
    yield pair
    for mirror, thread in zip(pair, threads, strict=True):
        mirror.silent.clear()
        mirror.shutdown()
        thread.join()
        mirror.server_close()


@pytest.fixture
def no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without apt-get, and the folder to put a pretended one into."""
    commands = tmp_path / "commands"
    commands.mkdir()
    monkeypatch.setenv("PATH", str(commands))
    return commands


def fetch(cache: Path, *mirrors: str, said: list[str] | None = None) -> Dataset:
    return fashion_mnist.load(
        cache=cache,
        system_folders=[],
        mirrors=mirrors,
        debian_package="small",
        sha256=SHA256,
        say=(said if said is not None else []).append,
    )


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def test_a_download_is_said_verified_and_kept(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    cache, said = tmp_path / "fedspike" / "fashion-mnist", list[str]()
    dataset = fetch(cache, mirrors[0].url, said=said)
    assert dataset.source == f"{mirrors[0].url}, now in {cache}"
    assert f"Fashion-MNIST: downloading from {mirrors[0].url}" in said
    assert contents(cache.parent) == sorted(["fashion-mnist", *(f"{name}.gz" for name in FILES)])
    again = fetch(cache, mirrors[0].url)
    assert mirrors[0].requests == 4
    np.testing.assert_array_equal(again.x_train, dataset.x_train, strict=True)


def test_a_damaged_cache_is_fetched_anew_once(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    cache = write_small(tmp_path / "fashion-mnist")
    (cache / f"{FILES[3]}.gz").unlink()
    (cache / FILES[3]).write_bytes(b"damaged")
    for _ in range(2):
        assert fetch(cache, mirrors[0].url).y_test.tolist() == list(range(10))
    assert mirrors[0].requests == 4


@pytest.mark.usefixtures("no_apt")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({f"/{FILES[1]}.gz": gzip.compress(idx_bytes(np.zeros(20, np.uint8)))}, "SHA-256"),
        ({f"/{FILES[1]}.gz": gzip.compress(SMALL[FILES[1]])[:-9]}, "stops early"),
        ({f"/{FILES[1]}.gz": b"<html>Please log in</html>"}, "starts with the bytes"),
    ],
)
def test_wrong_content_never_enters_the_cache(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path, change: dict[str, bytes], complaint: str
) -> None:
    mirrors[0].files |= change
    with refusal(mirrors[0].url, FILES[1], complaint, "no apt-get"):
        fetch(tmp_path / "fedspike" / "fashion-mnist", mirrors[0].url)
    assert contents(tmp_path / "fedspike") == []


@pytest.mark.usefixtures("no_apt")
def test_a_transfer_that_stops_is_noticed(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    mirrors[0].withheld_bytes = 7
    size = len(mirrors[0].files[f"/{FILES[0]}.gz"])
    with refusal(f"stopped after {size - 7} of {size} bytes"):
        fetch(tmp_path / "fedspike" / "fashion-mnist", mirrors[0].url)
    assert contents(tmp_path / "fedspike") == []


def test_the_second_mirror_serves_when_the_first_does_not(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    said: list[str] = []
    del mirrors[0].files[f"/{FILES[2]}.gz"]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        down = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        dataset = fetch(tmp_path / "cache", down, mirrors[0].url, mirrors[1].url, said=said)
    assert dataset.source.startswith(mirrors[1].url)
    assert any(line.startswith(f"  no: {down}") and "refused" in line for line in said)
    assert f"  no: {mirrors[0].url}{FILES[2]}.gz answered 404 Not Found" in said


def test_a_silent_server_is_left_soon(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    mirrors[0].silent.set()
    with pytest.raises(OSError, match=r"said nothing for 0\.05 s"):
        download.from_web(f"{mirrors[0].url}file", tmp_path, print, wait_seconds=0.05)


def test_progress_is_said_on_the_way(mirrors: tuple[Mirror, Mirror], tmp_path: Path) -> None:
    said: list[str] = []
    mirrors[0].files["/large"] = bytes(12_000_000)
    download.from_web(f"{mirrors[0].url}large", tmp_path, said.append)
    assert said == ["  large: 5 of 12 MB", "  large: 10 of 12 MB"]
    assert (tmp_path / "large").stat().st_size == 12_000_000


@pytest.mark.usefixtures("no_apt")
def test_a_full_disk_and_an_unusable_cache_are_told(
    mirrors: tuple[Mirror, Mirror], tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # as if the disk held 1 kB
    try:
        with refusal(mirrors[0].url, "File too large"):
            fetch(tmp_path / "fedspike" / "fashion-mnist", mirrors[0].url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(tmp_path / "fedspike") == []
    (tmp_path / "file").touch()
    with refusal(mirrors[0].url, str(tmp_path / "file")):
        fetch(tmp_path / "file" / "fashion-mnist", mirrors[0].url)


def make_debian_package(root: Path) -> Path:
    """A real .deb with the small files where Debian's package has the large ones."""
    write_small(root / "usr" / "share" / "datasets" / "fashion-mnist")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(
        "Package: small\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: test\n"
    )
    package = root.with_suffix(".deb")
    subprocess.run(["dpkg-deb", "-b", root, package], check=True, capture_output=True)
    return package


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="not a Debian-like system")
@pytest.mark.parametrize("has_lists", [True, False])
def test_the_debian_package_is_the_last_resort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_lists: bool
) -> None:
    package = make_debian_package(tmp_path / "package")
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "apt-get").write_text(  # as the real one: options first, download writes to "."
        "#!/bin/sh\n"
        'while [ "$1" = -o ]; do\n'
        '  case "$2" in Dir::State::Lists=*) L="${2#*=}"; esac; shift 2\n'
        "done\n"
        f'[ "$1" = update ] && exec touch "$L/partial/../fresh"\n'
        f'[ {int(has_lists)} = 1 ] || [ -e "$L/fresh" ] || {{ echo "E: no $2" >&2; exit 100; }}\n'
        f'[ "$1 $2" = "download small" ] && cp {package} .\n'
    )
    (commands / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    said, cache = list[str](), Path("fedspike") / "fashion-mnist"
    assert fetch(cache, said=said).source == f"small, now in {cache}"
    assert any("apt-get update" in line for line in said) is not has_lists
    assert contents(cache.parent) == sorted(["fashion-mnist", *(f"{name}.gz" for name in FILES)])


def test_a_missing_debian_package_is_told(no_apt: Path, tmp_path: Path) -> None:
    for command in ("apt-get", "dpkg-deb"):
        (no_apt / command).write_text("#!/bin/sh\necho W: hm >&2\necho E: none >&2\nexit 100\n")
        (no_apt / command).chmod(0o755)
    with refusal("update failed: E: none", "--data-dir", "fashion-mnist-sample"):
        fetch(tmp_path / "fedspike" / "fashion-mnist")
    assert contents(tmp_path / "fedspike") == []
