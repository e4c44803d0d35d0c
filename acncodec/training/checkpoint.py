"""Checkpoints: the whole state of a training in one safetensors file, replaced atomically. No pickle."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from acncodec.archive.atomic import write_atomically
from acncodec.errors import InputError

_METADATA_KEY = "acncodec-training"


def save_checkpoint(path: Path, tensors: dict[str, Tensor], settings: dict[str, object]) -> None:
    """Write tensors and JSON-able settings; an interruption leaves the previous checkpoint. Raises OutputError."""
    write_atomically(path, [save(tensors, {_METADATA_KEY: json.dumps(settings, sort_keys=True)})], overwrite=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and settings of a checkpoint. Raises InputError if it is missing or is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            settings = json.loads((file.metadata() or {})[_METADATA_KEY])
            return {key: file.get_tensor(key) for key in file.keys()}, settings  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"'{path}' is not a checkpoint to resume from: {error}") from error
