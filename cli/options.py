"""Options that several commands share."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import PROGRESS, settings, warn
from .streams import STREAM

if TYPE_CHECKING:
    import torch

    from acncodec.nets.model import Model


class FilePath(click.Path):
    """A path; `./-` is a file of that name, which Path would make `-`, the sign for a stream."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        return path.absolute() if path == STREAM and str(value) != "-" else path


class ArchivePath(FilePath):
    """A path, or a URL that fsspec reads."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from acncodec.archive.remote import SCHEME, Remote

        return Remote(value) if isinstance(value, str) and SCHEME in value else super().convert(value, param, ctx)


FILE = FilePath(path_type=Path)
ARCHIVE = ArchivePath(path_type=Path)
Command = Callable[..., Any]

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
force_option = click.option("-f", "--force", is_flag=True, help="Overwrite existing output.")
keep_going_option = click.option(
    "--keep-going", is_flag=True, help="Skip damaged data, list the files that are lost, and end with exit code 4."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the networks run. Archives are the same, bit for bit.",
)
models_option = click.option(
    "--model",
    "models",
    multiple=True,
    metavar="FILE",
    type=FILE,
    help="A .safetensors file to search for the archive's models, beside those installed; may be repeated.",
)


def _set_quiet(_: click.Context, __: click.Parameter, quiet: bool) -> None:
    settings.level = -1 if quiet else 0


def _set_verbose(_: click.Context, __: click.Parameter, verbose: bool) -> None:
    if verbose and settings.level < 0:
        raise click.UsageError("-q and -v exclude each other")
    settings.level += verbose


def _set_progress(_: click.Context, __: click.Parameter, progress: str) -> None:
    settings.progress = progress


def _set_threads(_: click.Context, __: click.Parameter, threads: int | None) -> None:
    if threads is None:
        return
    import faiss
    import torch

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)


# Eager, in this order: -v looks at what -q has set.
_quiet = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_set_quiet,
    help="Print warnings and errors only.",
)
_verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_set_verbose,
    help="Also print how long each stage took.",
)
_progress = click.option(
    "--progress",
    type=click.Choice(PROGRESS),
    default="auto",
    show_default=True,
    expose_value=False,
    callback=_set_progress,
    help="How to show progress: 'auto' draws a bar if stderr is a terminal, 'plain' prints lines, 'none' nothing.",
)
_threads = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    metavar="N",
    expose_value=False,
    callback=_set_threads,
    help="Number of threads, by default one per core. Archives are the same, bit for bit.",
)


def talk_options(command: Command) -> Command:
    """-q and -v, which all commands take."""
    return _quiet(_verbose(command))


def work_options(command: Command) -> Command:
    """Options of commands that compute for long: those of `talk_options`, --progress and --threads."""
    return talk_options(_progress(_threads(command)))


def choose_device(name: str, training: bool = False) -> "torch.device":
    """The torch device of that name; warns if 'auto' rejects a device that fails the self-test. Raises InputError.

    'auto' is the faster device for coding, or for `training`.
    """
    from acncodec.coding.selftest import device_of

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        device = device_of(name, training)
    for warning in caught:
        warn(str(warning.message))
    return device


def find_model(name: str, device: str) -> "Model":
    """The model of that name or file, its networks on that device. Raises InputError, ModelError."""
    from acncodec import bundled

    found = bundled.find(name)
    found.networks.to(choose_device(device))
    return found
