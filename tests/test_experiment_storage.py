"""Files are whole or not there, and what is read back is what was written or an error."""

import errno
import os
import resource
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from torch import Tensor

from fedspike import files as stored
from fedspike.errors import InputError
from fedspike.federation.tensor_bytes import pack, unpack
from fedspike.records import checkpoint
from fedspike.records.schema import Manifest
from fedspike.records.seal import fingerprint, sealed

ABOUT = {"settings_sha256": "a", "torch": "2"}
ROUNDS = [
    b'{"round": 1}\n',
    b'{"round": 1}\n{"round": 2}\n',
    b'{"round": 1}\n{"round": 2}\n{"round": 3}\n',
]


def state(round: int) -> dict[str, Tensor]:
    return {"server/model/w": torch.arange(6.0).reshape(2, 3) + round, "client/3/c": torch.ones(2)}


def store(run: Path, rounds: int) -> None:
    """A run's folder after some rounds."""
    run.mkdir(exist_ok=True)
    for round in range(1, rounds + 1):
        (run / "rounds.jsonl").write_bytes(ROUNDS[round - 1])
        save(run, round, state(round), ROUNDS[round - 1])


def save(run: Path, round: int, tensors: dict[str, Tensor], rounds: bytes = b"") -> None:
    checkpoint.save(run / "checkpoint", round, tensors, fingerprint(rounds), ABOUT, run)


def newest(run: Path) -> checkpoint.Checkpoint | None:
    return checkpoint.newest(run / "checkpoint", run / "rounds.jsonl", ABOUT)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """The same bits, so that nan equals nan and 0 differs from -0."""
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype
        and a[k].shape == b[k].shape
        and a[k].numpy().tobytes() == b[k].numpy().tobytes()
        for k in a
    )


@contextmanager
def no_file_beyond(limit_bytes: int) -> Iterator[None]:
    """Let the system refuse to make a file longer, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert newest(tmp_path) is None


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    strange = torch.tensor([float("nan"), -0.0, 1e-45, float("inf")])
    block = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "strange": strange,
        "column": block[:, 1],  # shares memory with the next, and is not contiguous
        "transposed": block.T,
        "empty": torch.empty(0, 3),
        "count": torch.tensor(7),
        "double": torch.tensor([0.1], dtype=torch.float64),
    }
    save(tmp_path, 1, tensors)
    (tmp_path / "rounds.jsonl").touch()
    found = newest(tmp_path)
    assert found is not None
    assert found.round == 1
    assert same(found.tensors, tensors)


def test_equal_tensors_are_equal_bytes_in_any_order() -> None:
    tensors = {"b": torch.ones(2), "a": torch.zeros(3)}
    assert pack(tensors) == pack(dict(reversed(tensors.items())))
    assert pack(tensors) != pack(tensors | {"a": torch.tensor([0, 0, -0.0])})


def test_the_newest_is_read_and_two_are_kept(tmp_path: Path) -> None:
    store(tmp_path, rounds=3)
    found = newest(tmp_path)
    assert found is not None
    assert (found.round, found.rounds) == (3, fingerprint(ROUNDS[2]))
    assert same(found.tensors, state(3))
    kept = sorted(path.name for path in (tmp_path / "checkpoint").iterdir())
    assert kept == ["round-000002", "round-000003"]


def test_the_millionth_round_is_newer_than_the_one_before(tmp_path: Path) -> None:
    for round in (999_999, 1_000_000):
        save(tmp_path, round, state(1))
    (tmp_path / "rounds.jsonl").touch()
    found = newest(tmp_path)
    assert found is not None
    assert found.round == 1_000_000


def test_a_line_without_its_checkpoint_is_left_out(tmp_path: Path) -> None:
    store(tmp_path, rounds=2)
    with (tmp_path / "rounds.jsonl").open("ab") as file:
        file.write(b'{"round": 3, "acc')
    found = newest(tmp_path)
    assert found is not None
    assert found.rounds == fingerprint(ROUNDS[1])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(path: Path) -> None:
    """Put another run's file there, whole in itself."""
    other = {".safetensors": pack(state(99)), ".json": stored.json_bytes({})}
    path.write_bytes(other.get(path.suffix, b'{"round": 9}\n' * 3))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


NEWEST = "checkpoint/round-000003"
FAULTS = [
    (fault, name)
    for fault in (cut, flip_a_bit, swap, empty, grow, Path.unlink)
    for name in (f"{NEWEST}/state.safetensors", f"{NEWEST}/manifest.json", "rounds.jsonl")
    # a longer rounds.jsonl is one whose last line has no checkpoint yet
    if (fault, name) != (grow, "rounds.jsonl")
]


@pytest.mark.parametrize(("fault", "name"), FAULTS)
def test_damage_is_found_and_the_one_before_is_whole(
    fault: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    store(tmp_path, rounds=3)
    fault(tmp_path / name)
    with pytest.raises(InputError) as caught:
        newest(tmp_path)
    assert str(tmp_path / name) in caught.value.passed
    assert caught.value.fix == (
        f"delete {tmp_path / NEWEST} to go on from round-000002, whose checkpoint is beside it"
    )
    for path in (tmp_path / NEWEST).iterdir():  # do what the message says
        path.unlink()
    (tmp_path / NEWEST).rmdir()
    if name == "rounds.jsonl":
        (tmp_path / name).write_bytes(ROUNDS[2])
    found = newest(tmp_path)
    assert found is not None
    assert found.round == 2
    assert same(found.tensors, state(2))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_flipped_bit_is_found(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = tmp_path_factory.getbasetemp() / "flips"
    store(run, rounds=1)
    name = data.draw(st.sampled_from(sorted(files(run))))
    content = bytearray((run / name).read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    (run / name).write_bytes(content)
    try:
        with pytest.raises(InputError):
            newest(run)
    finally:
        for old in (run / "checkpoint" / "round-000001").iterdir():
            old.unlink()
        (run / "checkpoint" / "round-000001").rmdir()


@given(
    content=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["schema", "round", "about", "rounds.jsonl", "x"]), inner
            )
        ),
    ).map(stored.json_bytes)
)
@settings(max_examples=200, deadline=None)
def test_any_manifest_is_an_input_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = tmp_path_factory.getbasetemp() / "manifests"
    target = run / "checkpoint" / "round-000001"
    target.mkdir(parents=True, exist_ok=True)
    (target / "manifest.json").write_bytes(content)
    with pytest.raises(InputError):
        newest(run)


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    store(tmp_path, rounds=1)
    with pytest.raises(InputError, match="torch 2") as caught:
        checkpoint.newest(
            tmp_path / "checkpoint", tmp_path / "rounds.jsonl", ABOUT | {"torch": "3"}
        )
    assert "torch 3" in caught.value.expected


def test_a_renamed_checkpoint_is_refused(tmp_path: Path) -> None:
    store(tmp_path, rounds=2)
    (tmp_path / NEWEST).with_name("round-000002").rename(tmp_path / NEWEST)
    with pytest.raises(InputError, match="holds round 2"):
        newest(tmp_path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A pickle that makes a file when it is loaded, where a state and its right hash should be."""
    canary = tmp_path / "canary"
    command = f"touch {canary}"
    pickle = b"cposix\nsystem\n(S'" + command.encode() + b"'\ntR."
    store(tmp_path, rounds=1)
    target = tmp_path / "checkpoint" / "round-000001"
    (target / "state.safetensors").write_bytes(pickle)
    manifest = msgspec.json.decode((target / "manifest.json").read_bytes(), type=Manifest)
    forged = replace(manifest, state=fingerprint(pickle))
    (target / "manifest.json").write_bytes(sealed(forged)[1])
    with pytest.raises(InputError, match="safetensors"):
        newest(tmp_path)
    assert not canary.exists()
    subprocess.run(command.split(), check=True)  # the canary would have fired
    assert canary.exists()


def test_a_safetensors_header_that_lies_is_an_input_error() -> None:
    for length in (0, 5, 2**40):
        with pytest.raises(InputError):
            unpack(struct.pack("<Q", length) + b"{}", Path("x"), "fix")


class Crash(BaseException):
    """The process is gone; no handler runs but those that end with it."""


class StopsAt:
    """Lets a number of calls through, to whatever it wraps, and raises at the next."""

    def __init__(self, calls: int, kind: type[BaseException]) -> None:
        self.left, self.kind = calls, kind

    def wrap(self, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            self.left -= 1
            if self.left < 0:
                raise self.kind(errno.ENOSPC, "No space left on device")
            return call(*arguments, **options)

        return wrapped


@pytest.mark.parametrize("kind", [Crash, OSError])
def test_stopped_at_any_step_the_old_checkpoint_or_the_new_one_is_there(
    kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = []
    for calls in range(100):
        run, stops = tmp_path / str(calls), StopsAt(calls, kind)
        store(run, rounds=2)
        (run / "rounds.jsonl").write_bytes(ROUNDS[2])
        with monkeypatch.context() as patch:
            for name in ("fsync", "mkdir", "rename", "fdopen"):
                patch.setattr(os, name, stops.wrap(getattr(os, name)))
            try:
                save(run, 3, state(3), ROUNDS[2])
                done = True
            except (Crash, InputError):
                done = False
        found = newest(run)
        assert found is not None
        assert same(found.tensors, state(found.round))
        reached.append(found.round)
        if done:
            break
    # Folders are made, two files opened and flushed, a folder flushed and renamed; then it is 3.
    assert reached == [2] * 11 + [3] * 4


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    store(tmp_path, rounds=2)
    before = files(tmp_path)
    large = state(3) | {"large": torch.zeros(10_000)}
    with no_file_beyond(20_000), pytest.raises(InputError, match="cannot be written") as caught:
        save(tmp_path, 3, large, ROUNDS[2])
    assert "free some space" in caught.value.fix
    assert files(tmp_path) == before
    found = newest(tmp_path)
    assert found is not None
    assert found.round == 2


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    stored.write_whole(path, b"old", tmp_path)
    with no_file_beyond(1000), pytest.raises(InputError, match="cannot be written"):
        stored.write_whole(path, b"x" * 1001, tmp_path)
    assert files(tmp_path) == {"summary.json": b"old"}


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    stored.append(path, b"x" * 600, tmp_path)
    with no_file_beyond(1000), pytest.raises(InputError, match="cannot be written"):
        stored.append(path, b"y" * 600, tmp_path)
    assert path.read_bytes() == b"x" * 600


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(InputError, match="cannot be written"), stored.claimed(folder):
            pytest.fail("claimed")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(InputError, match="cannot be written"), stored.claimed(tmp_path / "runs"):
        pytest.fail("claimed")


def test_a_folder_is_claimed_once_at_a_time(tmp_path: Path) -> None:
    with (
        stored.claimed(tmp_path / "runs"),
        pytest.raises(InputError, match="in use"),
        stored.claimed(tmp_path / "runs"),
    ):
        pytest.fail("claimed twice")
    with stored.claimed(tmp_path / "runs"):
        assert files(tmp_path) == {}  # and it leaves no trace


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        stored.json_bytes({"loss": float("nan")})
