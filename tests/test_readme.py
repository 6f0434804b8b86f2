"""What the documents promise is true: the README's code runs, its links lead somewhere."""

import doctest
import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fedspike.cli import main
from fedspike.energy import duties, profiles
from fedspike.experiment import sweep
from fedspike.experiment.tuning import searches
from fedspike.records import reader
from running import python

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OF_USERS = {"mine.py"}
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def blocks(language: str, text: str) -> list[str]:
    """The text's code blocks in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readme_code_runs_and_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its model is taken out of the run; a network of one's own stands in its place."""
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python", README)
    assert len(code.splitlines()) <= 15
    *_, loaded, accuracy, predicted = assert_learns(code)
    assert loaded.startswith("FinishedRun plan: SNN")
    assert "after 5 rounds" in accuracy
    assert len(predicted.strip("[]").split()) == 10
    (own_network,) = blocks("python", (ROOT / "docs/own-networks.md").read_text(encoding="utf-8"))
    (theirs,) = re.findall(r"^network = .*\n", code, re.MULTILINE)
    assert_learns(code.replace(theirs, own_network).partition("\nfs.run")[0])


def assert_learns(code: str) -> list[str]:
    """The lines that it prints."""
    run = python(code)
    assert run.stderr == ""
    rounds = re.findall(r"^(\d): (\d+\.\d)%, ([\d.]+) mJ modelled$", run.stdout, re.MULTILINE)
    assert [int(number) for number, _, _ in rounds] == [1, 2, 3, 4, 5]
    assert float(rounds[-1][1]) > 30  # 10 classes: guessing gives 10
    return run.stdout.splitlines()


def test_the_readme_begins_with_the_answer() -> None:
    """On the first screen: a table, the command, the code, what it is not; it is short, and has no badges."""
    first_screen = README.splitlines()[:45]
    for wanted in ("| classes per device", "make study", "```python", "**What it is not.**"):
        assert any(line.startswith(wanted) for line in first_screen), wanted
    assert "img.shields.io" not in README
    assert len(README.splitlines()) <= 65


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    here = [link for link in links if "://" not in link]
    assert [link for link in here if not (document.parent / link).is_file()] == []


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if path.name != "CHANGELOG.md"],  # it tells of what was
    ids=lambda path: path.name,
)
def test_code_that_is_named_is_there(document: Path) -> None:
    """Files, and methods of classes."""
    named = set(re.findall(r"`([^`\n]+)`", document.read_text(encoding="utf-8")))
    folders = ("src", "tests", "tools", "benchmarks", "notebooks")
    sources = [path for folder in folders for path in ROOT.glob(f"{folder}/**/*.[pch]*")]
    sources = [path for path in sources if path.suffix in (".py", ".hpp", ".cpp")]
    files = {f"/{path.relative_to(ROOT)}" for path in sources}
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    for name in named - OF_USERS:
        if re.fullmatch(r"[\w/]+\.(py|hpp|cpp)", name):
            assert any(file.endswith(f"/{name}") for file in files), name
        elif (parts := re.fullmatch(r"([A-Z]\w+)\.(\w+)", name)) and f"class {parts[1]}" in code:
            assert f"def {parts[2]}" in code, name


@pytest.mark.parametrize(
    ("document", "least"),
    [
        ("docs/codes.md", 4),
        ("docs/own-networks.md", 12),
        ("docs/rooms.md", 20),
        ("docs/energy.md", 15),
        ("docs/python.md", 15),
    ],
)
def test_the_walk_is_true(
    document: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks("pycon", (ROOT / document).read_text(encoding="utf-8")))
    walk = doctest.DocTestParser().get_doctest(code, {}, document, None, None)
    done = doctest.DocTestRunner().run(walk)
    assert done.attempted > least
    assert done.failed == 0


def test_the_documented_part_of_ones_own_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rooms = (ROOT / "docs/rooms.md").read_text(encoding="utf-8")
    part, program = blocks("python", rooms)
    (toml,) = blocks("toml", rooms)
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(part)
    Path("my.toml").write_text(toml)
    (commands,) = blocks("sh", rooms)
    for command in commands.splitlines():
        assert main(command.split()[1:]) == 0, command
    printed = capsys.readouterr().out
    assert "max(0, beta*U[t-1] + I[t] - threshold*S[t-1])" in printed  # the equation, explained
    assert "neuron (not counted)" not in printed
    (run,) = reader.read(Path("runs/floored")).runs
    rounds = python(f"import sys; sys.path.insert(0, '')\n{program}")
    assert rounds.returncode == 0, rounds.stderr
    assert rounds.stdout.splitlines()[-1].startswith(f"{run.final_accuracy:.1%}, ")


def test_the_documented_profile_radio_and_duty_are_accepted() -> None:
    chip, radio, duty = blocks("toml", (ROOT / "docs/energy.md").read_text(encoding="utf-8"))
    assert set(profiles.profile(chip, "my-chip.toml").price) == {"mac", "ac"}
    assert profiles.radio(radio, "my-radio.toml").uplink_bit.pj.nominal == 40_000
    assert duties.duty(duty, "my-sensor.toml").battery_wh.value == 3.9  # type: ignore[union-attr]


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 50


def test_the_documented_toml_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    documented = blocks("toml", (ROOT / "docs/configuration.md").read_text(encoding="utf-8"))
    partition = 'name = "mine"\n[partition]\nkind = "classes"\n'
    for text, runs in zip(documented[1:], (1, 2 * 3 * 3, 2 * 2, 1), strict=True):
        file.write_text(partition + ("" if "classes" in text else "classes = 3\n[snn]\n") + text)
        experiment = sweep.read(str(file), () if "classes" in text else ("network=snn",))
        assert len(experiment.runs) == runs
    (search,) = searches.read(experiment).searches
    assert [axis.key for axis in search.axes] == ["optimiser.learning_rate", "algorithm.mu"]


def test_the_documented_search_is_accepted(tmp_path: Path) -> None:
    (text,) = blocks("toml", (ROOT / "docs/tuning.md").read_text(encoding="utf-8"))
    (tmp_path / "clothes.toml").write_text(text)
    tuning = searches.read(sweep.read(str(tmp_path / "clothes.toml")))
    assert [len(search.axes) for search in tuning.searches] == [2, 2]


def test_constraints_fix_what_pyproject_asks_for() -> None:
    """Every requirement has one exact version, inside the range that pyproject.toml gives."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    fixed = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert fixed["torch"] == "2.13.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [Requirement(text) for texts in lists for text in texts]
    assert len(wanted) > 10
    for requirement in wanted:
        if requirement.name != "fedspike":
            assert fixed[requirement.name.lower()] in requirement.specifier, requirement.name


def test_torch_has_no_upper_bound() -> None:
    """A GPU machine brings its own."""
    (torch,) = [
        r for text in requires("fedspike") or [] if (r := Requirement(text)).name == "torch"
    ]
    assert {specifier.operator for specifier in torch.specifier} == {">="}
