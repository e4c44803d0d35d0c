"""`acncodec`: the group of all commands, and how errors end them."""

import os
import signal
import sys
import threading
from difflib import get_close_matches
from importlib import import_module
from types import FrameType

import click

from acncodec.errors import EXIT_INTERRUPTED, EXIT_USAGE, AcnError, InputError
from acncodec.version import __version__

from .streams import keep_standard_streams

NO_MEMORY = "not enough memory for these images on this machine"
TORCH_LACKS_MEMORY = "can't allocate memory", "not enough memory", "CUDA out of memory"
ADDRESS_SPACE = 4_000_000_000  # bytes: what a process maps before the first image, of which little is ever used
# A command's module is imported when it is run: torch takes seconds to load, and --help should not wait for it.
COMMANDS = {
    "compress": "Compress a directory of images into one file.",
    "decompress": "Restore the directory of an archive.",
    "list": "List the files of an archive.",
    "extract": "Restore some files of an archive.",
    "info": "Show what an archive holds and what its bits are used for.",
    "test": "Decode an archive and check every hash; write nothing.",
    "train": "Train a model on a directory of images.",
    "bench": "Compare archives of a directory with other tools.",
    "evaluate": "Measure what images cost under a model, term by term.",
    "sample": "Draw images from a model.",
    "reconstruct": "Show what a model's codes preserve of images.",
    "daydream": "Sample chains of images, each given the code of the one before.",
    "models": "List the models that are found, or show one.",
    "selftest": "Check that this machine's arithmetic is exact.",
    "completion": "Print a shell completion script.",
}


class Lazy(click.Group):
    """A group that imports a command's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"acncodec.cli.{cmd_name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else "See 'acncodec --help'."
            raise click.UsageError(f"There is no command '{args[0]}'. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="acncodec")
def cli() -> None:
    """Compress directories of images losslessly, as a whole.

    An encoder network gives every image a code, a tour through the codes puts similar images side by side, and each image
    is coded given the one before. All files are restored: images with identical pixels, mode, palette and metadata, others
    byte for byte.

    \b
    Exit codes:
      0    done
      1    standard output was closed before all was written
      2    wrong usage, or unusable input or output
      3    done, but under --strict: some files were stored unmodelled or could not be read
      4    the archive is damaged; with --keep-going: some files were lost
      5    the archive needs a model that was not found, or another version of acncodec
      6    this machine's arithmetic failed the exactness self-test
      130  interrupted, by Ctrl-C or by SIGTERM or SIGHUP
    """
    _check_address_space()


def main() -> None:
    """Run the command line; every expected error ends in one sentence on stderr and its exit code."""
    keep_standard_streams()
    _interrupt_on_signals()
    # PyTorch's OpenMP threads would spin between two products and take the cores from other programs, and from each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted; nothing was left half written")
        code = EXIT_INTERRUPTED
    except AcnError as error:
        _complain(str(error))
        code = error.exit_code
    except OSError as error:  # standard output, or a temporary file: everything else has its own words
        _complain(f"cannot write: {error.strerror or error}")
        code = EXIT_USAGE
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        _complain(NO_MEMORY)
        code = EXIT_USAGE
    except ImportError as error:
        _complain(f"a library cannot be loaded; is there too little memory, or is the installation damaged? ({error})")
        code = EXIT_USAGE
    sys.exit(code if isinstance(code, int) else 0)


def _check_address_space() -> None:
    """PyTorch ends the process if it cannot be mapped: say so before it is loaded. Raises InputError."""
    if sys.platform == "win32":
        return
    from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit

    limit, _ = getrlimit(RLIMIT_AS)
    if limit != RLIM_INFINITY and limit < ADDRESS_SPACE:
        raise InputError(
            f"the shell's limit of {limit / 1e9:.2f} GB of address space (ulimit -v) is too low: "
            f"PyTorch's libraries alone take {ADDRESS_SPACE / 1e9:.1f} GB"
        )


def _lacks_memory(error: Exception) -> bool:
    """Whether there was no memory; PyTorch has an error of its own for that only on GPUs."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in TORCH_LACKS_MEMORY)


def _interrupt_on_signals() -> None:
    """Make SIGTERM (batch systems, containers) and SIGHUP (a closed terminal) end a command as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        return  # only there may handlers be set
    for each in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(each) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(each, interrupt)


def _complain(sentence: str) -> None:
    click.echo(f"acncodec: {sentence[:1].lower() + sentence[1:]}", err=True)
