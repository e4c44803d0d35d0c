"""Documentation against the code: examples run as printed, generated pages and figures are current."""

import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, acncodec, good
from conftest import snapshot

from acncodec import bundled
from acncodec.cli.main import COMMANDS

PAGES = ("README.md", "docs/index.md", "docs/tutorial.md", "docs/python.md", "docs/loading.md")
BLOCK = re.compile(r"^```(sh|python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INSTALLING = ("python3 -m venv", ".venv/bin/pip", ".venv/bin/pytest")  # which CI does
JSON_PAGE = ROOT / "docs" / "json.md"


def commands(block: str) -> Iterator[list[str]]:
    """The commands of a shell block, without an installation before them."""
    for line in block.splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words and not part.strip().startswith(INSTALLING):
                yield [Path(words[0]).name, *words[1:]]


def run(words: list[str]) -> str:
    """What a command prints: one of acncodec in this process, a benchmark in one of its own."""
    if words[0] == "acncodec":
        done = good(*words[1:])
        return done.out + done.err
    assert words[:2] == ["python", "-m"], words
    command = [sys.executable, *words[1:]]
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    ).stdout


def program(code: str, names: dict[str, Any]) -> str:
    """What a program prints that goes on with the names of those before it."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, names)
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_and_programs_run_as_printed(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a copy of the files they need, in order; every line of a text block is in the output of what ran before it."""
    shutil.copytree(bundled.SAMPLE, tmp_path / "acncodec" / "bundled" / "sample")
    shutil.copy(ROOT / "README.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    ran, said = 0, ""
    names: dict[str, Any] = {}
    for language, block in BLOCK.findall((ROOT / page).read_text()):
        if language == "text":
            for line in block.splitlines():
                assert line.strip() in ("", "...") or line.rstrip() in said, (
                    f"{page} shows a line that nothing printed: {line}"
                )
            continue
        if language == "python":
            said = program(block, names)
            ran += 1
            continue
        printed = [run(command) for command in commands(block)]
        said = "\n".join(line.rstrip() for each in printed for line in each.splitlines())
        ran += len(printed)
    assert ran > 1
    restored = next(iter(each for each in (tmp_path / "digits", tmp_path / "sample") if each.exists()), None)
    assert (restored is None) == (page in ("docs/python.md", "docs/loading.md"))
    if restored:
        assert snapshot(restored) == snapshot(bundled.SAMPLE)


def script(name: str) -> Any:
    """A script in docs/ that writes pages."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_not_stale() -> None:
    reference = script("reference")
    for path, made in ((reference.PAGE, reference.page()), (reference.ARCHITECTURE, reference.architecture())):
        assert path.read_text() == made, f"{path.name} is stale: run python docs/reference.py"


@pytest.fixture(scope="module")
def figures() -> Any:
    return script("figures")


def test_figures_are_those_of_the_results_and_of_the_bundled_models(figures: Any) -> None:
    for path, made in figures.pages().items():
        assert path.read_text() == made, f"{path.name} is stale: run python docs/figures.py"


def test_figures_of_an_earlier_run_are_replaced(figures: Any) -> None:
    page = "9.99 (2020-01-01)<!-- cifar10 --> bits.\n\n<!-- sizes -->\n{}\n<!-- end of sizes -->\n"
    now = figures.figures()["cifar10"]
    assert figures.written(page, figures.figures()) == page.replace("9.99 (2020-01-01)", now).format(figures.sizes())
    with pytest.raises(KeyError):
        figures.written("1.0<!-- unknown -->", {})


def test_every_figure_that_is_made_is_shown_and_every_mark_is_read(figures: Any) -> None:
    text = "\n".join(figures.pages().values())
    assert {found["name"] for found in figures.FIGURE.finditer(text)} == set(figures.figures())
    assert {found[1] for found in figures.TABLE.finditer(text)} == set(figures.TABLES)
    assert len(re.findall(r"\S<!-- ", text)) == len(figures.FIGURE.findall(text))  # none stands behind anything else


def test_figures_of_a_model_that_is_no_longer_bundled_have_a_date(figures: Any) -> None:
    run, size = {"date": "2026-01-02"}, figures.MODELS["photo-rgb"].size
    assert figures.earlier("photo-rgb", size, run) == ""
    assert figures.earlier("photo-rgb", size + 1, run) == figures.earlier("gone", size, run) == " (2026-01-02)"


COUNTED = re.compile(r"(\w+) (?:bundled models|models (?:ship|are bundled|come))\b", re.IGNORECASE)
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def test_pages_count_the_bundled_models_right_and_list_them_all() -> None:
    names = {path.stem for path in bundled.FOLDER.glob(f"*{bundled.SUFFIX}")}
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for word in COUNTED.findall(path.read_text()):
            if path.name != "LOG.md" and (word.isdigit() or word.lower() in NUMBERS):
                assert word.lower() in (str(len(names)), NUMBERS[len(names)]), f"{path.name} counts {word} bundled models"
    listed = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "models.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(names)


# JSON


def documented() -> dict[str, set[str]]:
    """Key paths by command, as docs/json.md has them."""
    found: dict[str, set[str]] = {}
    for section in JSON_PAGE.read_text().split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        for name in title.split(", "):
            found.setdefault(name, set()).update(re.findall(r"^\| `([^`]+)` \|", body, re.MULTILINE))
    return found


def paths(value: Any, known: set[str], prefix: str = "") -> set[str]:
    """Key paths of a JSON value; `*` stands for the keys of an object that is documented so."""
    if isinstance(value, list):
        return set().union(*(paths(each, known, f"{prefix}[]") for each in value)) if value else {f"{prefix}[]"}
    if isinstance(value, dict):
        if f"{prefix}.*" in known:
            return {f"{prefix}.*"}
        return set().union(*(paths(each, known, f"{prefix}.{key}".lstrip(".")) for key, each in value.items()))
    return {prefix}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """60 sample digits and a text, and their archive."""
    root = tmp_path_factory.mktemp("json") / "digits"
    root.mkdir()
    for path in sorted((bundled.SAMPLE / "bilevel").rglob("*.png"))[:60]:
        shutil.copy(path, root)
    (root / "words.txt").write_text("no image")
    good("compress", root, root.with_suffix(".acn"))
    return root, root.with_suffix(".acn")


@pytest.mark.slow
def test_every_command_prints_the_keys_that_are_documented(small: tuple[Path, Path], tmp_path: Path) -> None:
    root, archive = small
    model, picture = "mnist-1bit", tmp_path / "sheet.png"
    runs: dict[str, tuple[object, ...]] = {
        "compress": ("compress", root, tmp_path / "a.acn"),
        "info": ("info", archive),
        "decompress": ("decompress", archive, tmp_path / "out"),
        "extract": ("extract", archive, tmp_path / "some", "*.txt"),
        "list": ("list", archive),
        "test": ("test", archive),
        "models": ("models", model),
        "evaluate": ("evaluate", model, root),
        "train": ("train", root, "-o", tmp_path / "own.safetensors", "--minutes", "0.01"),
        "sample": ("sample", model, "-o", picture, "--count", "1"),
        "reconstruct": ("reconstruct", model, root, "-o", picture, "-f", "--count", "1"),
        "daydream": ("daydream", model, root, "-o", picture, "-f", "--count", "1", "--steps", "1"),
        "bench": ("bench", root),
    }
    known = documented()
    assert set(known) == {*runs, "selftest"}
    assert set(COMMANDS) == {*known, "completion"}
    for name, arguments in runs.items():
        done = acncodec(*arguments, "--json")
        assert done.code == 0, (name, done.err)
        line = done.out.splitlines()[0]
        found = paths(json.loads(line), known[name])
        # Null stands where an object could be.
        assert found <= known[name] | {path.rpartition(".")[0] for path in known[name]}, name
        missing = known[name] - found
        assert not missing, (name, missing)


def test_selftest_prints_the_keys_that_are_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    from acncodec.analysis import timing
    from acncodec.analysis.timing import Timing
    from acncodec.coding import selftest

    monkeypatch.setattr(selftest, "checks", lambda device: iter([("tables", True)]))
    monkeypatch.setattr(timing, "timings", lambda device: iter([Timing("mnist-1bit", 64, 1.0, 2.0)]))
    known = documented()["selftest"]
    assert paths(json.loads(good("selftest", "--json").out), known) == known
