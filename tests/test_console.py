"""Commands on the console: streams, -q and -v, progress, threads, completion, and what --verify refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import faiss
import pytest
import torch
from commands import PROGRAM, acncodec, good, sentence
from conftest import make_pngs, snapshot

from acncodec import bundled
from acncodec.archive.block import DIGEST_BYTES
from acncodec.block import codec as block
from acncodec.cli import compress as compress_command
from acncodec.cli import console, report
from acncodec.cli.main import COMMANDS


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 sample digits."""
    root = tmp_path_factory.mktemp("talk") / "digits"
    root.mkdir()
    for path in sorted((bundled.SAMPLE / "bilevel").rglob("*.png"))[:24]:
        (root / path.name).write_bytes(path.read_bytes())
    return root


@pytest.fixture(scope="module")
def archive(digits: Path) -> Path:
    target = digits.parent / "digits.acn"
    good("compress", digits, target, "--model", "mnist-1bit")
    return target


def piped(*arguments: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the program with real streams."""
    return subprocess.run([*PROGRAM, *map(str, arguments)], input=data, capture_output=True, check=False)


@pytest.mark.slow
def test_an_archive_goes_through_pipes(digits: Path, archive: Path, tmp_path: Path) -> None:
    made = piped("compress", digits, "-", "--model", "mnist-1bit")
    assert made.returncode == 0, made.stderr
    assert made.stdout == archive.read_bytes()
    assert b"where the bits go" in made.stderr
    for command, *rest in (("test",), ("info", "--json"), ("list",), ("decompress", tmp_path / "out")):
        done = piped(command, "-", *rest, data=made.stdout)
        assert done.returncode == 0, done.stderr
    assert snapshot(tmp_path / "out") == snapshot(digits)


@pytest.mark.slow
def test_a_file_named_dash(digits: Path, archive: Path, tmp_path: Path) -> None:
    command = [*PROGRAM, "compress", "-q", str(digits), "./-", "--model", "mnist-1bit"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (made.returncode, made.stdout) == (0, b""), made.stderr
    assert (tmp_path / "-").read_bytes() == archive.read_bytes()


def test_standard_output_takes_one_thing(digits: Path) -> None:
    refused = acncodec("compress", digits, "-", "--json")
    assert refused.code == 2
    assert "not both" in refused.err


@pytest.mark.slow
def test_archives_are_kept_from_terminals(digits: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("pseudo-terminals are a thing of POSIX")
    import pty

    leader, follower = pty.openpty()
    command = [*PROGRAM, "compress", str(digits), "-"]
    done = subprocess.run(command, stdin=follower, stdout=follower, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert b"terminal" in done.stderr
    os.set_blocking(leader, False)
    with pytest.raises(BlockingIOError):  # not a byte came out
        os.read(leader, 1)
    done = subprocess.run([*PROGRAM, "list", "-"], stdin=follower, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"terminal" in done.stderr


@pytest.mark.slow
def test_a_closed_pipe_shows_no_error(archive: Path) -> None:
    command = subprocess.Popen([*PROGRAM, "list", "-l", str(archive)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    assert command.wait() in (0, 1)  # all was written by then, or not
    assert b"Traceback" not in command.stderr.read()
    command.stderr.close()


def test_quiet_prints_nothing_and_verbose_prints_more(digits: Path, tmp_path: Path) -> None:
    options = ("--model", "mnist-1bit")
    quiet = good("compress", digits, tmp_path / "a.acn", "-q", *options)
    assert quiet.out == quiet.err == ""
    verbose = good("compress", digits, tmp_path / "b.acn", "-v", *options)
    assert "acncodec: encoding: 24 in " in verbose.err
    plain = good("compress", digits, tmp_path / "c.acn", *options)
    assert "encoding" not in plain.err
    assert good("test", tmp_path / "c.acn", "-q").err == ""
    assert acncodec("test", tmp_path / "none.acn", "-q").err.startswith("acncodec: ")  # errors are always told
    assert "exclude each other" in acncodec("test", tmp_path / "c.acn", "-q", "-v").err


def test_plain_progress_is_lines(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.0)
    done = good("compress", digits, tmp_path / "a.acn", "--progress", "plain", "--model", "mnist-1bit")
    lines = [line for line in done.err.splitlines() if line.startswith("acncodec: encoding: ")]
    assert lines[-1] == "acncodec: encoding: 100% of 24, 0 s left"
    assert "\r" not in done.err
    silent = good("compress", digits, tmp_path / "b.acn", "--progress", "none", "--model", "mnist-1bit")
    assert "encoding" not in silent.err


def test_threads_change_no_bit(digits: Path, archive: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        good("compress", digits, tmp_path / "a.acn", "--threads", "3", "--model", "mnist-1bit")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
        faiss.omp_set_num_threads(before)
    assert (tmp_path / "a.acn").read_bytes() == archive.read_bytes()


def test_an_archive_that_does_not_decode_never_appears(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([bytes(DIGEST_BYTES), bytes([1] * DIGEST_BYTES)])  # Alice's, and Bob's
    monkeypatch.setattr(block, "digest", lambda pictures: next(answers))
    failed = acncodec("compress", digits, tmp_path / "b.acn", "--model", "mnist-1bit")
    assert failed.code == 6
    assert "was removed" in sentence(failed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_the_program(shell: str) -> None:
    assert "_ACNCODEC_COMPLETE" in good("completion", shell).out


def test_completion_knows_commands_and_options() -> None:
    def complete(words: str, at: int) -> str:
        variables = {"_ACNCODEC_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        done = subprocess.run(
            [
                sys.executable,
                "-P",
                "-c",
                "import sys; sys.argv[0] = 'acncodec'; from acncodec.cli.main import main; main()",
            ],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    assert "plain,decompress" in complete("acncodec dec", 1)
    assert "plain,--exact-files" in complete("acncodec compress --ex", 2)


def test_models_are_listed_and_shown() -> None:
    rows = json.loads(good("models", "--json").out)["models"]
    assert {row["name"] for row in rows} >= {"mnist-1bit", "mnist-8bit", "photo-rgb"}
    listed = good("models").out
    assert all(row["sha256"][:16] in listed for row in rows)
    assert good("models", "mnist-1bit").out.startswith("# mnist-1bit")
    assert json.loads(good("models", "mnist-1bit", "--json").out)["images"] == "1-bit"
    assert "there is no model 'nobody'" in sentence(acncodec("models", "nobody"))


def test_a_model_without_a_card_says_what_its_file_says(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(bundled.locate("mnist-1bit").read_bytes())
    assert str(path) in good("models", path).out


@pytest.mark.slow
def test_the_cost_of_names_is_reported(digits: Path, tmp_path: Path) -> None:
    """About: without names another order of the images may be smaller still."""
    told = good("compress", digits, tmp_path / "keep.acn").err
    for way in ("folders", "drop"):
        good("compress", digits, tmp_path / f"{way}.acn", "--names", way)
        found = re.search(rf"--names {way} about ([0-9,]+)", told)
        assert found is not None
        size = (tmp_path / f"{way}.acn").stat().st_size
        assert size <= int(found[1].replace(",", "")) <= 1.1 * size + 16
    assert "--names" not in good("compress", "-f", digits, tmp_path / "drop.acn", "--names", "drop").err


def test_the_time_of_restoring_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pngs(tmp_path / "in", 2, 5, 5)
    assert "restoring takes" not in good("compress", tmp_path / "in", tmp_path / "a.acn").err  # a moment
    monkeypatch.setattr(compress_command, "TOLD_SECONDS", 0)
    assert "restoring takes about 0 seconds" in good("compress", "-f", tmp_path / "in", tmp_path / "a.acn").err
    assert "restoring takes" not in good("compress", "-f", "--no-verify", tmp_path / "in", tmp_path / "a.acn").err
    told = [report.duration(seconds) for seconds in (7.4, 119, 150, 7000, 9000)]
    assert told == ["7 seconds", "119 seconds", "2 minutes", "117 minutes", "2 hours"]


def test_a_mistyped_command_suggests_the_nearest() -> None:
    assert "Did you mean 'compress'?" in acncodec("comprss", "a", "b").err
    assert "See 'acncodec --help'." in acncodec("xyz").err
    assert acncodec("xyz").code == 2


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_loads_no_networks(command: list[str]) -> None:
    """Not only is it fast: it is so because nothing heavy is imported."""
    run = "import sys; from acncodec.cli.main import cli; cli(sys.argv[1:], standalone_mode=False)"
    code = f"{run}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *command, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_loads_no_large_library(command: list[str]) -> None:
    code = """
import sys
from acncodec.cli.main import cli
cli.main(sys.argv[1:], standalone_mode=False)
print("loaded:", *sorted(sys.modules.keys() & {"torch", "numpy", "PIL", "faiss", "ray", "matplotlib", "constriction"}))
"""
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nloaded:\n")


def test_too_little_address_space_is_one_sentence() -> None:
    """PyTorch's libraries would end the process without a word."""
    resource = pytest.importorskip("resource")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000,) * 2)

    done = subprocess.run([*PROGRAM, "models"], capture_output=True, text=True, check=False, preexec_fn=limited)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("acncodec: the shell's limit of 2.00 GB of address space (ulimit -v)")
    assert done.stderr.count("\n") == 1
