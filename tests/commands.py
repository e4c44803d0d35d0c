"""Runs commands in this process through the installed program's entry point, and checks how they ended."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from acncodec.cli.main import main

ROOT = Path(__file__).parent.parent
PROGRAM = [sys.executable, "-P", "-c", "from acncodec.cli.main import main; main()"]


@dataclass(frozen=True)
class Done:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


def acncodec(*arguments: object) -> Done:
    """Run a command in this process, by the entry point of the installed program."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["acncodec", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def good(*arguments: object) -> Done:
    """Run a command that must succeed."""
    done = acncodec(*arguments)
    assert done.code == 0, (arguments, done.err)
    return done


def sentence(done: Done) -> str:
    """The error, which must be one line."""
    lines = [line for line in done.err.splitlines() if line]
    assert len(lines) == 1, done.err
    assert lines[0].startswith("acncodec: ")
    return lines[0]
