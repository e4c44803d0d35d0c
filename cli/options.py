"""Options that several commands share."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import torch

    from acncodec.nets.model import Model

FILE = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
force_option = click.option("-f", "--force", is_flag=True, help="Overwrite what is there already.")
keep_going_option = click.option(
    "--keep-going", is_flag=True, help="Pass over damaged parts, say which files are lost, and end with exit code 4."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the networks run; an archive is the same, bit for bit.",
)
models_option = click.option(
    "--model",
    "models",
    multiple=True,
    metavar="FILE",
    type=FILE,
    help="A .safetensors file to look in for the archive's model, beside the bundled ones.",
)


def choose_device(name: str) -> "torch.device":
    """The torch device of that name; 'auto' takes CUDA where it passes the self-test, and says if it does not.

    Raises UsageError for one that is not there.
    """
    import torch

    from acncodec.coding.selftest import trusted_device

    if name == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("there is no CUDA device here that torch can use; take --device cpu")
    if name != "auto":
        return torch.device(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        device = trusted_device()
    for warning in caught:
        click.echo(f"acncodec: {warning.message}", err=True)
    return device


def find_model(name: str, device: str) -> "Model":
    """The model of that name or file, its networks on that device. Raises InputError, ModelError, UsageError."""
    from acncodec import bundled

    found = bundled.find(name)
    found.networks.to(choose_device(device))
    return found
