"""What arrays mean is said, never guessed: axes, ranges, signs; and each advice mends the very input."""

import re
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedspike as fs
from dataset_example import idx_bytes, refusal
from fedspike.cli import main
from fedspike.data import Dataset, Layout, check, idx, load_data, load_own
from fedspike.data.npz import NPZ
from fedspike.errors import InputError
from fedspike.experiment import sweep
from fedspike.experiment.run import load as experiment_data
from fedspike.federation.places.flower import hosted
from fuzzing import spoilt_bytes, withstands

DIGITS = np.arange(12 * 8 * 8, dtype=np.uint8).reshape(12, 8, 8) % 17
LABELS = np.arange(12) % 3
GREY = "sample height width"


def both(x: np.ndarray, y: np.ndarray = LABELS) -> dict[str, Any]:
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y}


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("x", "meant"),
    [
        (DIGITS, 16),
        ((DIGITS % 2).astype(np.uint8), 1),
        ((DIGITS * 7).astype(np.uint8), 127),
        (DIGITS.astype(np.uint16) * 4095, 65535),
        (DIGITS.astype(np.int64), 16),
        (DIGITS.astype(np.float16), 16),
        (DIGITS * 15.9375, 255),
    ],
)
def test_a_scale_is_asked_for_and_then_used(x: np.ndarray, meant: int) -> None:
    with refusal("but how far can they go?", "range = [0.0, "):
        Dataset.from_arrays(**both(x), layout=Layout(GREY))
    with pytest.raises(InputError) as refused:
        Dataset.from_arrays(**both(x), layout=Layout(GREY))
    line = re.search(r"range = (\[.*?\])", refused.value.fix)
    assert line
    Dataset.from_arrays(**both(x), layout=Layout(GREY, eval(line[1])))
    data = Dataset.from_arrays(**both(x), layout=Layout(GREY, (0, meant)))
    assert np.array_equal(data.x_train, (x.astype(np.float64) / meant).astype(np.float32))
    with refusal("no value outside the range"):
        Dataset.from_arrays(**both(x), layout=Layout(GREY, (0, meant / 2)))


def test_what_needs_no_word_is_read_alike() -> None:
    bytes_ = DIGITS.copy()
    bytes_[0, 0, 0] = 255
    assert np.array_equal(
        Dataset.from_arrays(**both(bytes_)).x_train, bytes_.astype(np.float32) / 255
    )
    masks = Dataset.from_arrays(**both(DIGITS > 8), layout=Layout(GREY))
    assert np.array_equal(masks.x_train, (DIGITS > 8).astype(np.float32))
    flat = Dataset.from_arrays(**both(DIGITS.reshape(12, 64) / 16))
    assert flat.x_train.shape == (12, 64)
    dim = {**both(bytes_), "x_test": DIGITS}  # a test set need not reach 255
    assert Dataset.from_arrays(**dim).x_test.max() == np.float32(16) / 255


@pytest.mark.parametrize("shape", [(5, 5, 30), (20, 16, 16), (3, 8, 8), (8, 8, 3), (8, 8, 1)])
def test_channels_are_where_the_file_says(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((12, *shape), np.float32)
    first, middle, last = shape
    with refusal(
        f'axes = "sample channel height width" ({first} channels of {middle} x {last})',
        f'axes = "sample height width channel" ({last} channels of {first} x {middle})',
    ):
        Dataset.from_arrays(**both(x))
    as_first = Dataset.from_arrays(**both(x), layout=Layout("sample channel height width")).x_train
    as_last = Dataset.from_arrays(**both(x), layout=Layout("sample height width channel")).x_train
    assert np.array_equal(as_first, x)
    assert np.array_equal(as_last, x.transpose(0, 3, 1, 2))
    assert as_last.flags.c_contiguous
    flat = Dataset.from_arrays(**both(x), layout=Layout("sample feature feature feature"))
    assert np.array_equal(flat.x_train, x.reshape(12, -1))
    sideways = Dataset.from_arrays(
        **both(x.transpose(1, 2, 3, 0)), layout=Layout("channel height width sample")
    )
    assert np.array_equal(sideways.x_train, x)


def test_time_is_an_error_and_never_a_picture() -> None:
    frames = np.random.default_rng(0).random((12, 16, 9))
    with refusal('axes = "sample height width" (grey images of 16 x 9)', "16 moments of 9 sensors"):
        Dataset.from_arrays(**both(frames))
    with refusal("change in time", 'axes = "sample feature feature"'):
        Dataset.from_arrays(**both(frames), layout=Layout("sample time feature"))
    events = frames.repeat(100, 1)[:, :, :4] * 30  # x, y, t, p
    with refusal("moments"):
        Dataset.from_arrays(**both(events))
    with refusal("moments"):  # of the file, too
        Dataset.from_arrays(**both((frames * 200).astype(np.uint8)))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"axes": "height width"}, "the word sample"),
        ({"axes": "sample height"}, "height width"),
        ({"axes": "sample height height"}, "axes = 'sample height height'"),
        ({"axes": "sample feature channel"}, "the word sample"),
        ({"axes": "sample x y"}, "the word sample"),
        ({"axes": ""}, "the word sample"),
        ({"axes": "sample feature"}, "a word for each of its 3 axes"),
        ({"range": (1, 1)}, "a greater one"),
        ({"range": (0, float("nan"))}, "a greater one"),
        ({"range": (-1e308, 1e308)}, "a greater one"),
        ({"range": "0 to 16"}, "range = "),
        ({"range": (0, 8, 16)}, "range = "),
        ({"axes": 3}, "axes = 3"),
        ({"signed": True}, "begins below 0"),
        ({"signed": "yes"}, "signed = "),
    ],
)
def test_what_contradicts_the_arrays_is_refused(said: dict[str, Any], complaint: str) -> None:
    with refusal(complaint):
        Dataset.from_arrays(**both(DIGITS), layout=Layout(**said))


SIGNED = (DIGITS.astype(np.float64) - 8).reshape(12, 64)


def test_signed_values_reach_the_ann_and_the_direct_code_alone() -> None:
    with refusal("signed = true", "range = [-8.0, 8.0]"):
        Dataset.from_arrays(**both(SIGNED))
    data = Dataset.from_arrays(**both(SIGNED), layout=Layout(range=(-10, 8), signed=True))
    assert np.array_equal(data.x_train, (SIGNED / 10).astype(np.float32))
    still = fs.SNN(time_steps=3, code=fs.Direct())
    learner = fs.Backpropagation(batch_size=4)
    for network in (fs.ANN(), still):
        plan = fs.Plan(network=network, data=data, fleet=fs.Fleet(2), learner=learner, rounds=1)
        (last,) = fs.rounds(plan)
        assert np.isfinite(last.training_loss)
    for network, instead in (
        (fs.SNN(time_steps=3), 'code.kind = "direct"'),
        (fs.SNN(time_steps=3, code=fs.Burst()), 'code.kind = "direct"'),
        (fs.QANN(bits=4), 'network = "ann"'),  # which has no code
    ):
        plan = fs.Plan(network=network, data=data, fleet=fs.Fleet(2), learner=learner, rounds=1)
        with refusal("signed data", instead):
            plan.site()
    positive = Dataset.from_arrays(**both(SIGNED), layout=Layout(range=(-8, 8)))
    assert (positive.x_train.min(), positive.x_train.max()) == (0, 1)


def test_a_file_can_say_it_of_itself_and_on_nodes_too(tmp_path: Path) -> None:
    bare = saved(tmp_path / "bare.npz", **both(DIGITS))
    with refusal("nothing says what its axes are"):
        load_data(str(bare))
    with refusal("nothing says what its axes are"):
        load_own(bare, classes=3)
    asked = NPZ(str(bare), axes=GREY, range=(0, 16)).load()
    path = saved(tmp_path / "said.npz", **both(DIGITS), axes=GREY, range=[0, 16])
    assert np.array_equal(load_data(str(path)).x_train, asked.x_train)
    own = load_own(path, classes=3)
    assert np.array_equal(own.x_train, asked.x_train)
    assert not own.signed
    assert NPZ(str(path), range=(0, 16)).load().x_train.max() == 1
    with refusal("says (0.0, 16.0) of itself"):
        NPZ(str(path), range=(0, 255)).load()
    with refusal("axes"):
        load_data(str(saved(tmp_path / "wrong.npz", **both(DIGITS), axes=np.zeros((2, 2)))))


def mended(path: Path, fix: str) -> Path:
    """The file after the advised line; it acts on the arrays before they are saved, or on the file."""
    if "run in Python: " in fix:
        exec(fix.split("run in Python: ")[1], {})
        return path.with_name(f"{path.stem}-named.npz")
    with np.load(path, allow_pickle=True) as file:
        arrays = dict(file)
    exec(fix.removeprefix("before np.savez: "), {"np": np}, arrays)
    return saved(path, **arrays)


NAMES = np.array(["ankle boot", "bag", "coat"])
FLAT = DIGITS.reshape(12, 64) / 16
BROKEN: dict[str, dict[str, Any]] = {
    "text": both(FLAT, NAMES[LABELS]),
    "bytes": both(FLAT, NAMES[LABELS].astype("S")),
    "one-hot": both(FLAT, np.eye(3)[LABELS]),
    "one-hot truths": both(FLAT, np.eye(3, dtype=bool)[LABELS]),
    "from 1": both(FLAT, LABELS + 1),
    "negative": both(FLAT, LABELS - 1),
    "a gap": both(FLAT, LABELS * 5),
    "floats": both(FLAT, LABELS.astype(float)),
    "truths": both(FLAT, LABELS > 0),
    "halves": both(FLAT, LABELS / 2),
    "a column": both(FLAT, LABELS[:, None]),
    "a column of floats": both(FLAT, LABELS[:, None].astype(float)),
    "objects": both(FLAT, LABELS.astype(object)),
    "objects of images": both(np.array([*FLAT], dtype=object)),
    "X and y": {"X": FLAT, "y": LABELS},
    "images and targets": {"targets": LABELS, "images": FLAT},
    "Keras": {
        "train_images": FLAT,
        "train_labels": LABELS,
        "test_images": FLAT[:6],
        "test_labels": LABELS[:6],
    },
    "of one length": {"a_test": FLAT, "b_test": LABELS, "c": FLAT, "d": LABELS},
    "other floats": {**both(FLAT), "x_test": FLAT.astype(np.float32)},
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_advised_line_mends_the_very_input(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "mine.npz", **BROKEN[name])
    for _ in range(6):  # a column of floats takes two lines, in train and in test
        try:
            data = load_data(str(path))
        except InputError as error:
            path = mended(path, error.fix)
        else:
            break
    else:
        pytest.fail("not mended")
    assert data.classes == 3 if name not in ("truths", "halves") else 2
    assert data.x_train.shape[1] == 64


@pytest.mark.parametrize("heading", ["", "a,b,c,class\n"])
def test_a_table_is_told_and_turned_into_arrays(tmp_path: Path, heading: str) -> None:
    path = tmp_path / "mine.npz"
    rows = "".join(f"0.{i},0.5,0.{9 - i % 9},{i % 2}\n" for i in range(20))
    path.write_text(heading + rows)
    with pytest.raises(InputError, match=r"a table of text, \.csv") as refused:
        load_data(str(path))
    data = load_data(str(mended(path, refused.value.fix)))
    assert (data.classes, data.x_train.shape, len(data.y_test)) == (2, (16, 3), 4)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x93NUMPY\x01", ".npy"),
        (b"\x80\x04", "pickle"),
        (b"\x89HDF", "HDF5"),
        (b"\xff" * 9, "nothing"),
    ],
)
def test_another_kind_of_file_is_called_by_its_name(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    (tmp_path / "mine.npz").write_bytes(content)
    with refusal(kind):
        load_data(str(tmp_path / "mine.npz"))


def test_a_small_file_cannot_unpack_to_a_large_one(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x_train.npy", "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (300, 1_000_000)}
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(300):
                file.write(bytes(1_000_000))
        for name in ("y_train", "x_test", "y_test"):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.zeros(1))
    assert path.stat().st_size < 400_000
    began = time.perf_counter()
    with refusal("nothing but zeros"):
        load_data(str(path))
    assert time.perf_counter() - began < 1


def test_headers_that_lie_are_refused_before_anything_is_reserved(tmp_path: Path) -> None:
    path = saved(tmp_path / "lie.npz", **both(FLAT))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    one = members["x_train.npy"]
    members["x_train.npy"] = one.replace(b"(12, 64), }          ", b"(1200000000, 64), }  ")
    assert members["x_train.npy"] != one
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    with refusal("x_train has 6144 bytes, its header says 614400000000"):
        load_data(str(path))


@pytest.mark.fuzz
def test_spoilt_npz_files_are_refused_or_read(tmp_path: Path) -> None:
    sound, path = (
        saved(tmp_path / "sound.npz", **both(FLAT[:3, :2]), axes="sample feature"),
        tmp_path / "x.npz",
    )
    content = sound.read_bytes()

    def read(spoilt: bytes) -> None:
        path.write_bytes(spoilt)
        load_data(str(path))

    withstands(read, lambda random: spoilt_bytes(content, random))


@pytest.mark.fuzz
def test_spoilt_idx_files_are_refused_or_read(tmp_path: Path) -> None:
    content, path = idx_bytes(DIGITS[:2, :3, :3]), tmp_path / "x"

    def read(spoilt: bytes) -> None:
        path.write_bytes(spoilt)
        idx.array(idx.content(path), 3, path)

    withstands(read, lambda random: spoilt_bytes(content, random))


def test_a_layout_is_what_it_says() -> None:
    assert Layout(range=[0, 16]).range == (0, 16)  # type: ignore[arg-type]


BRIGHT = np.where(DIGITS == 16, 255, DIGITS).astype(np.uint8)
RARE = np.array([0, 1, 2, *[2] * 9])
WORTH_KNOWING: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "read without a word": (
        {**both(BRIGHT, RARE), "x_test": DIGITS},
        ("samples of 8 x 8 bytes", "train: classes", "test: classes", "test: no value"),
    ),
    "dark": (both(FLAT / 9), ("train: no value", "test: no value")),
}


@pytest.mark.parametrize("name", WORTH_KNOWING)
def test_check_run_nodes_and_python_make_the_same_remarks(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    arrays, begin = WORTH_KNOWING[name]
    path, toml = saved(tmp_path / "mine.npz", **arrays), tmp_path / "mine.toml"
    toml.write_text(f'name = "mine"\n[data]\nkind = "npz"\npath = "{path}"\n')
    assert main(["data", "check", str(path)]) == 0
    _, _, *checked = capsys.readouterr().out.splitlines()
    run: list[str] = []
    data = experiment_data(sweep.read(str(toml)), run.append)
    assert run == checked
    assert [
        line.startswith(f"worth knowing: {word}") for line, word in zip(run, begin, strict=True)
    ]
    node: list[str] = []
    hosted.demand(path, 3, data.x_train.shape[1:], node.append)
    assert node == [line for line in run if not line.startswith("worth knowing: test: ")]
    assert not caplog.messages
    plan = fs.Plan(network=fs.ANN(), data=NPZ(str(path)))
    assert plan.loaded().data.understood == data.understood
    assert caplog.messages == ([f"{path}: {data.understood}"] if data.understood else [])


def test_axes_that_are_said_need_no_remark(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.npz", **both(BRIGHT))
    assert check(path).remarks == (NPZ(str(path)).load().understood,)
    assert check(NPZ(str(path), axes=GREY)).remarks == ()


TIME = np.arange(12)
COLUMNS = np.stack([TIME * 7 % 5, TIME * 3 % 4, TIME * 1000, TIME % 2], 1)
RECORDS = np.zeros(12, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])


@pytest.mark.parametrize(
    "events",
    [
        *(COLUMNS, COLUMNS.astype(float), COLUMNS[:, ::-1], COLUMNS * 2 - [0, 0, 0, 1]),
        *(np.stack([COLUMNS] * 12), RECORDS, np.stack([RECORDS] * 12)),
    ],
)
def test_events_are_called_so(tmp_path: Path, events: np.ndarray) -> None:
    path = saved(tmp_path / "events.npz", **both(events))
    with refusal("it looks like events", "np.add.at(picture, (y, x), 1)"):
        load_data(path)
    with refusal("it looks like events"):
        load_own(path, classes=3)
    if events is COLUMNS:  # as they may be a table, words are taken
        said = Layout("sample feature", (0, 11000))
        assert Dataset.from_arrays(**both(events), layout=said).x_train.shape == (12, 4)
