"""Help texts: whole sentences, shown without loading PyTorch, and in agreement with README.md."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from commands import PROGRAM, ROOT, good

from acncodec import __version__, bundled
from acncodec.cli.main import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_complete_sentences(name: str) -> None:
    command = import_module(f"acncodec.cli.{name}").command
    shown = " ".join(good(name, "--help").out.split())
    texts = [COMMANDS[name], *command.help.split("\n\n")]
    texts += [option.help for option in command.params if isinstance(option, click.Option)]
    for text in texts:
        assert re.fullmatch(r"[A-Z*].*\.", text.strip(), re.S), text
    assert f"acncodec {name} [OPTIONS]" in shown
    assert ("--json" in shown) == (name != "completion")


def test_help_of_the_whole() -> None:
    shown = good("-h").out
    for name, text in COMMANDS.items():
        assert re.search(rf"^ +{name} +{re.escape(text)}$", shown, re.M)
    for code in (0, 1, 2, 3, 4, 5, 6, 130):
        assert re.search(rf"^ +{code} ", shown, re.M)
    assert good("--version").out.strip().endswith(__version__)


def test_the_program_by_itself(tmp_path: Path) -> None:
    done = subprocess.run([*PROGRAM, "info", str(tmp_path / "none")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("acncodec: cannot read ")
    # Torch takes seconds to load: help must not wait for it.
    script = (
        "import sys; from acncodec.cli.main import cli; cli(['-h'], standalone_mode=False); print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("Usage: ")
    assert shown.endswith("False\n")


def test_the_readme_names_every_command_and_option_that_there_is() -> None:
    text = (ROOT / "README.md").read_text()
    known = {"--version", "--help", "--device"}
    for name in COMMANDS:
        assert f"`acncodec {name}" in text
        for parameter in import_module(f"acncodec.cli.{name}").command.params:
            known |= {option for option in (*parameter.opts, *parameter.secondary_opts) if option.startswith("--")}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known


def test_bundled_models_have_cards() -> None:
    files = sorted(bundled.FOLDER.glob("*.safetensors"))
    assert {path.stem for path in files} >= {"mnist-1bit", "mnist-8bit"}
    for path in files:
        card = path.with_suffix(".md").read_text()
        assert path.stat().st_size < 1_000_000  # as README.md and docs/ say
        assert f"{path.stat().st_size:,} bytes" in card
        assert bundled.load(path).sha256.hex() in card
