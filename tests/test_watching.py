"""Experiments seen from outside: real runs in other processes, only read, in the room that there is."""

import fcntl
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from fedspike import files
from fedspike.cli import main
from fedspike.cli.news import News
from fedspike.cli.picture import picture
from fedspike.errors import InputError
from fedspike.files import claimed, held
from fedspike.records import reader, stored_rounds, watching
from fedspike.records.curve import Curve
from fedspike.records.schema import RoundRecord
from fedspike.records.stored_rounds import GrowingRounds
from fedspike.records.views import ExperimentView, RunView, View
from fedspike.records.watching import Watcher
from running import BOTH_NETWORKS, FEDSPIKE, endless, finish

ANN, SNN = "ann-iid-seed0", "snn-iid-seed0"


def until(view: Callable[[], View], holds: Callable[[View], object], seconds: float = 60) -> View:
    """The first look of which something holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds(now := view()):
            return now
        time.sleep(0.05)
    raise AssertionError(view())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(BOTH_NETWORKS, tmp_path_factory.mktemp("runs") / "both")


@pytest.fixture
def record(finished: Path) -> RoundRecord:
    first: RoundRecord = reader.rounds(finished / SNN)[0]
    return first


def written(path: Path, record: RoundRecord, *numbers: int, spent: float = 1.0) -> None:
    """Lines of rounds, appended to a file."""
    with path.open("ab") as file:
        for number in numbers:
            one = replace(record, round=number, seconds={"training": spent})
            file.write(files.json_bytes(one, indent=None))


@pytest.mark.thorough
def test_three_at_once_one_of_them_killed_and_gone_on_with(tmp_path: Path) -> None:
    names = ("one", "two", "the third")
    running = {name: endless(tmp_path, name) for name in names}
    piped = subprocess.Popen(
        [*FEDSPIKE, "watch", "."], cwd=tmp_path, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    look = Watcher([tmp_path]).look
    try:
        every = until(
            look,
            lambda view: len(view.experiments) == 3
            and all(one.state == "running" and any(r.round_s for r in one.runs) for one in view.experiments),
        )  # fmt: skip
        for one in every.experiments:
            assert [run.run for run in one.runs] == [ANN, SNN]
            assert {run.rounds for run in one.runs} == {100_000}
            assert sum(run.state == "running" for run in one.runs) <= 1
            assert one.command is None
            assert one.left is not None
        running["the third"].kill()
        running["the third"].wait()
        last = look()
        states = {Path(one.folder).name: one for one in last.experiments}
        assert [states[name].state for name in names] == ["running", "running", "stopped"]
        stopped = states["the third"]
        assert "running" not in [run.state for run in stopped.runs]
        assert all(run.left_s is None for run in stopped.runs)
        assert stopped.command is not None
        going_on = shlex.split(stopped.command)
        assert going_on == ["fedspike", "run", "endless.toml", "--output", stopped.folder]
        running["again"] = subprocess.Popen(
            [*FEDSPIKE, *going_on[1:]], cwd=tmp_path, stderr=subprocess.DEVNULL
        )
        rounds = sum(run.rounds_done for run in stopped.runs)
        until(
            look, lambda view: sum(run.rounds_done for run in view.experiments[1].runs) > rounds + 3
        )
        for process in running.values():
            process.kill()
            process.wait()
        assert piped.stdout
        lines = ""
        while any(f"{name}: stopped, 0 of 2 runs" not in lines for name in names):
            line = piped.stdout.readline()
            assert line, lines
            lines += line
        piped.send_signal(signal.SIGINT)
        assert piped.wait(timeout=20) == 130
    finally:
        for process in running.values():
            process.kill()
            process.wait()
        piped.kill()
        piped.communicate()
    assert "\x1b" not in lines
    assert "the third: stopped, 0 of 2 runs finished; to go on: fedspike run endless.toml" in lines
    for name in names:
        assert re.search(rf"{name}/ann-iid-seed0: \w+, round \d+ of 100000, accuracy ", lines), (
            lines
        )


def test_what_is_finished_is_shown_once_and_the_command_ends(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", str(finished.parent)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{finished}: finished, 2 runs"
    assert any(f"/{SNN}: finished, round 2 of 2, accuracy " in line for line in lines)
    assert main(["watch", str(finished / SNN), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["experiments"]
    assert (one["state"], [run["run"] for run in one["runs"]]) == ("finished", [SNN])
    summary = reader.run(finished / SNN)
    assert summary is not None
    assert one["runs"][0]["accuracy"] == summary.final_accuracy
    assert one["runs"][0]["curve"] == [[n, a] for n, a in enumerate(summary.accuracy, 1)]


@pytest.mark.parametrize("width", [60, 100])
def test_one_look_fits_the_width(
    finished: Path, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(finished.parent)
    assert main(["watch", "--once", "both"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    for words in ("both: finished, 2 runs", ANN, SNN, "2/2", "%", "▁", "█"):
        assert words in shown
    assert "\x1b" not in shown


def test_a_terminal_of_60_columns_is_drawn_on_until_ctrl_c(finished: Path) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.environ["TERM"] = "xterm"
        os.environ.pop("COLUMNS", None)
        time.sleep(0.3)  # until the terminal has its size
        os.execv(sys.executable, [*FEDSPIKE, "watch", "--follow", str(finished)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    drawn = b""
    while drawn.count(b"finished, 2 runs") < 2:  # drawn over what was drawn
        drawn += os.read(terminal, 2**16)
    os.kill(pid, signal.SIGINT)
    try:
        while part := os.read(terminal, 2**16):
            drawn += part
    except OSError:
        drawn += b""  # the other end is closed
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    text = drawn.decode()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back
    assert "\x1b[1A" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= 60
    assert SNN in plain


def test_a_folder_that_comes_later_is_waited_for(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = tmp_path / "later"
    with pytest.raises(InputError, match="no such folder"):
        watch_once(later)
    mover = threading.Timer(1.2, lambda: finished.rename(later))
    mover.start()
    try:
        assert main(["watch", str(later)]) == 0
    finally:
        mover.join()
        later.rename(finished)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{later}: no experiment there yet, waiting for one"
    assert lines[-1] == f"{later}: finished, 2 runs"


def watch_once(folder: Path) -> None:
    from fedspike.cli.parser import parser

    options = parser().parse_args(["watch", "--once", str(folder)])
    options.command(options)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--port", "8000"], "--port 8000 without --web"),
        (["--once", "--web"], "--once with --web"),
        (["--json", "--follow"], "--json with --follow"),
        (["--web", "--port", "99999"], "--port 99999"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: list[str], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *words]) == 2
    assert wrong in capsys.readouterr().err


def test_a_lock_is_seen_and_never_in_the_way(tmp_path: Path) -> None:
    folder, asked = tmp_path / "a", threading.Event()
    assert held(folder) is None
    folder.mkdir()
    assert held(folder) is False
    for shared in (False, True):
        with claimed(folder, shared=shared):
            assert held(folder) is True
        assert held(folder) is False

    def ask() -> None:
        while not asked.is_set():
            held(folder)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(300):
            with claimed(folder):  # raises if anybody else had it
                pass
    finally:
        asked.set()
        asking.join()


def test_nothing_is_written_and_no_lock_taken(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {p: (p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in finished.rglob("*")}

    before = state()
    monkeypatch.setattr(fcntl, "flock", lambda *_: pytest.fail("a lock"))
    monkeypatch.setattr(files, "opened", lambda *_: pytest.fail("a folder that may be made"))
    view = Watcher([finished]).look()
    assert view.is_finished
    assert state() == before


def test_where_no_lock_tells_what_changed_of_late_is_running(
    record: RoundRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "held", lambda _: None)  # as on a disk of another machine
    home = tmp_path / "x" / "run"
    home.mkdir(parents=True)
    (home / "config.toml").write_text("rounds = 9\n")
    written(home / "rounds.jsonl", record, 1, 2, 3, spent=20.0)
    watcher = Watcher([tmp_path])
    (one,) = watcher.look().experiments
    assert (one.state, one.runs[0].state, one.runs[0].left_s) == ("running", "running", 120.0)
    for ago, state in ((50, "running"), (70, "stopped")):  # three rounds take 60 s
        for path in (home, home / "rounds.jsonl"):
            os.utime(path, (time.time() - ago,) * 2)
        (one,) = watcher.look().experiments
        assert one.state == one.runs[0].state == state


def test_each_byte_is_read_once(
    record: RoundRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_rounds, "AT_ONCE", 10_000)
    read: list[int] = []
    part_of = files.part_of

    def counted(path: Path, begin: int, size: int) -> bytes:
        content = part_of(path, begin, size)
        read.append(len(content))
        return content

    monkeypatch.setattr(files, "part_of", counted)
    path = tmp_path / "rounds.jsonl"
    growing = GrowingRounds(path)
    assert growing.more() == (True, [])
    written(path, record, *range(1, 41))
    numbers: list[int] = []
    while not numbers or growing.unread:
        first, records = growing.more()
        assert first is not bool(numbers)
        numbers += [one.round for one in records]
    assert numbers == [*range(1, 41)]
    assert sum(read) <= path.stat().st_size * 1.5  # lines that a piece cut in two are read again
    read.clear()
    assert growing.more() == (False, [])
    assert read == []
    written(path, record, 41)
    line = files.json_bytes(replace(record, round=42), indent=None)
    with path.open("ab") as file:
        file.write(line[:100])  # a line that is being written
    assert [one.round for one in growing.more()[1]] == [41]
    with path.open("ab") as file:
        file.write(line[100:])
    assert growing.more()[1] == [replace(record, round=42)]
    assert sum(read) < 4 * len(line)


def test_a_file_that_was_cut_off_or_replaced_is_read_anew(
    record: RoundRecord, tmp_path: Path
) -> None:
    path = tmp_path / "rounds.jsonl"
    growing = GrowingRounds(path)
    written(path, record, 1, 2, 3)
    assert len(growing.more()[1]) == 3
    size = path.stat().st_size
    os.truncate(path, size - 50)
    assert [one.round for one in growing.more()[1]] == [1, 2]
    os.truncate(path, size // 3)
    written(path, record, 2, 3, 4, spent=123.456)  # grown beyond where it was, with other times
    first, records = growing.more()
    assert (first, [one.round for one in records]) == (True, [1, 2, 3, 4])
    path.unlink()
    assert growing.more() == (True, [])
    written(path, record, 1)
    assert [one.round for one in growing.more()[1]] == [1]
    path.write_bytes(b"nonsense\n")
    with pytest.raises(InputError, match="cannot be read"):
        growing.more()


def test_what_is_damaged_is_said_and_ends_nothing(record: RoundRecord, tmp_path: Path) -> None:
    home = tmp_path / "x" / "run"
    home.mkdir(parents=True)
    (home / "config.toml").write_text("rounds = ")
    (home / "rounds.jsonl").write_bytes(b"nonsense\n")
    (tmp_path / "x" / "agenda.json").write_text('{"schema": 1}')
    watcher = Watcher([tmp_path])
    (one,) = watcher.look().experiments
    assert "schema version 1" in one.remarks[0]
    assert (one.runs[0].state, one.runs[0].rounds) == ("stopped", None)
    assert "cannot be read" in one.runs[0].remarks[0]
    (home / "rounds.jsonl").unlink()
    dead = replace(record, training_loss=None, firing_rates={"hidden": 0.0})
    written(home / "rounds.jsonl", dead, 1)
    (one,) = watcher.look().experiments
    assert one.runs[0].remarks == (
        "the loss is not finite",
        "layer hidden is dead: 0.00% of its neurons spike at a step",
    )
    assert [fix[:40] for fix in one.fixes] == [
        "usual fix of a loss that is not finite: ",
        "usual fix of a layer that is dead: lower",
    ]


def run_view(name: str, state: str, **changed: object) -> RunView:
    values: dict[str, object] = {
        **{"run": name, "state": state, "spiking": True, "rounds": 100, "rounds_done": 7},
        **{"accuracy": 0.5, "loss": 0.25, "curve": ((1, 0.25), (7, 0.5)), "round_s": 2.0},
        **{"left_s": 186.0, "unread": False, "remarks": ()},
    }
    return RunView(**{**values, **changed})  # type: ignore[arg-type]


def experiment_view(folder: str, state: str, *runs: RunView) -> ExperimentView:
    return ExperimentView(
        folder=folder, state=state, runs=runs, left=None, command=None, remarks=(), fixes=()  # type: ignore[arg-type]
    )  # fmt: skip


def test_names_of_others_do_not_steer_the_terminal() -> None:
    name = "run\x1b[2J\nx"
    view = View(
        experiments=(
            experiment_view("a\x1b]0;b\x07", "stopped", run_view(name, "stopped", remarks=(name,))),
        ),
        absent=(name,),
    )
    text = "".join(line.plain for line in picture(view, 60, None)) + "".join(News().lines(view))
    assert text.isprintable()


@pytest.mark.parametrize("width", [40, 60, 120])
@pytest.mark.parametrize("height", [1, 5, 24, 50])
def test_what_runs_is_shown_where_there_is_no_room_for_all(width: int, height: int) -> None:
    runs = [run_view(f"{'long-' * 20}{n}", "waiting") for n in range(200)]
    view = View(
        experiments=(
            experiment_view("old", "finished", *(run_view(f"o{n}", "finished") for n in range(30))),
            experiment_view("new", "running", *runs[:100], run_view("me", "running"), *runs[100:]),
        ),
        absent=(),
    )
    lines = [line.plain for line in picture(view, width, height)]
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert " more, in a higher window" in lines[-1]
    if height > 1:
        assert any(line.startswith("new: running") for line in lines)
    if height > 4:
        assert any(line.startswith("  me") for line in lines)


def test_a_line_of_a_run_comes_when_its_state_changes_and_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    news, now = News(), 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def lines(done: int, state: str = "running") -> list[str]:
        run = run_view("r", state, rounds_done=done)
        return news.lines(View(experiments=(experiment_view("e", state, run),), absent=()))

    assert len(lines(1)) == 2
    assert lines(2) == []
    now = 11.0
    assert [line[:31] for line in lines(3)] == ["e/r: running, round 3 of 100, a"]
    now = 30.0
    assert lines(3) == []
    assert [line.split(",")[0] for line in lines(4, "stopped")] == ["e/r: stopped", "e: stopped"]


def test_a_curve_keeps_its_extremes_and_its_order() -> None:
    curve = Curve()
    for number in range(1, 5001):
        curve.add(number, 9.0 if number == 1234 else -9.0 if number == 4321 else 0.5)
        points = curve.points()
        assert points[-1][0] == number
        if number % 500 == 0:
            assert [x for x, _ in points] == sorted({x for x, _ in points})
    assert (1234, 9.0) in points
    assert (4321, -9.0) in points
    assert len(points) <= 257
