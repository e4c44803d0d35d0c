"""The models that ship with the package, and the search for a model by name, path or sha256.

A model file is a safetensors file, plain (`nets/model.py`) or with its integers packed (`coding/weights.py`): then it
has one tensor, `packed`, and the same metadata. Archives name models by the sha256 of the plain file.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from acncodec.coding.weights import names_of, pack_model, unpack_model
from acncodec.errors import InputError, ModelError, ModelMissingError
from acncodec.nets.model import MAX_MODEL_BYTES, METADATA_KEY, Model, description, parse_model

FOLDER = Path(__file__).parent
EARLIER = FOLDER / "earlier"  # formerly bundled models: found by sha256 for the archives that need them, but not offered
SAMPLE = FOLDER / "sample"  # some hundred MNIST digits as PNG files
PACKED = "packed"
SUFFIX = ".safetensors"
CPU = torch.device("cpu")


def user_folder() -> Path:
    """The folder of the user's own models: $ACNCODEC_MODELS, else ~/.local/share/acncodec/models."""
    return Path(os.environ.get("ACNCODEC_MODELS", Path.home() / ".local" / "share" / "acncodec" / "models"))


def model_files() -> list[Path]:
    """All model files in the package and in the user's folder, bundled ones first."""
    return sorted(FOLDER.glob(f"*{SUFFIX}")) + sorted(user_folder().glob(f"*{SUFFIX}"))


def files_among(names: Iterable[str]) -> list[Path]:
    """The names that are paths of model files."""
    return [Path(name) for name in names if name.endswith(SUFFIX)]


def model_file(plain: bytes, base: bytes = b"") -> bytes:
    """The packed model file of a plain one, whole or as the difference to the plain file `base`."""
    packed = np.frombuffer(pack_model(plain, base), np.uint8)
    return save_tensors({PACKED: packed}, {METADATA_KEY: description(plain)})


@cache
def load(path: Path) -> Model:
    """Read a model file once a process. Raises InputError, ModelError, BoundError, all naming the file."""
    try:
        data = _read(path)
        packed = _packed(data)
        return parse_model(data) if packed is None else replace(unpack(packed, [], MAX_MODEL_BYTES), size=len(data))
    except ModelError as error:
        raise type(error)(f"the model file '{path}' cannot be used: {error}") from error


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ModelError("it is too large for an acncodec model")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the model '{path}': {error.strerror}") from error


def _packed(data: bytes) -> bytes | None:
    """The packed model in a model file, or None if the file is plain or not a model."""
    try:
        tensors = load_tensors(data)
    except (SafetensorError, KeyError, ValueError):
        return None
    return tensors[PACKED].tobytes() if set(tensors) == {PACKED} else None


def _name_of(data: bytes) -> bytes:
    """The sha256 by which archives identify the model in a file, which is not validated here."""
    packed = _packed(data)
    return hashlib.sha256(data).digest() if packed is None else names_of(packed)[0]


def find(name: str) -> Model:
    """A model by path or by name (its file's name without suffix). Raises InputError if there is none."""
    return load(locate(name))


def locate(name: str) -> Path:
    """The path of the model that `find` loads. Raises InputError if there is none of that name."""
    path = Path(name)
    if path.suffix == SUFFIX:
        return path
    for candidate in model_files():
        if candidate.stem == name:
            return candidate
    known = ", ".join(p.stem for p in model_files())
    raise InputError(f"there is no model '{name}'; known are {known}, or give the path of a .safetensors file")


def candidates(names: Iterable[str], auto: bool, device: torch.device = CPU) -> list[Model]:
    """The models to choose among: those named, and with `auto` all of `model_files`, their networks on `device`.

    Raises InputError, ModelError.
    """
    found = {model.sha256: model for model in map(find, names)}
    if auto:
        found.update((model.sha256, model) for model in map(load, model_files()))
    for model in found.values():
        model.networks.to(device)
    return list(found.values())


def find_sha256(name: str, sha256: bytes, also: list[Path]) -> Model:
    """The model with this sha256, among `also`, `model_files` and earlier models. Raises ModelMissingError."""
    return load(_locate(f"the archive needs the model '{name}'", sha256, also))


def unpack(packed: bytes, also: list[Path], limit: int) -> Model:
    """Unpack a packed model of at most `limit` bytes, finding its base as `find_sha256` does.

    Raises ModelError, BoundError, ModelMissingError.
    """
    model = parse_model(unpack_model(packed, lambda sha256: _base(sha256, also), limit))
    return replace(model, size=len(packed))


def _base(sha256: bytes, also: list[Path]) -> bytes:
    """The plain file of a packed model's base. Raises ModelError, ModelMissingError."""
    path = _locate("a model holds only the difference to another one", sha256, also)
    packed = _packed(_read(path))
    # Chains are not needed, and files with false hashes could form a cycle.
    if packed is not None and names_of(packed)[1] is not None:
        raise ModelError("the base of a packed model is itself a difference to another model")
    return load(path).plain


def _locate(need: str, sha256: bytes, also: list[Path]) -> Path:
    """The file of the model with this sha256. Raises ModelMissingError."""
    for path in [*also, *model_files(), *sorted(EARLIER.glob(f"*{SUFFIX}"))]:
        try:
            if _name_of(_read(path)) == sha256:
                return path
        except (InputError, ModelError):
            if path in also:
                raise
            # Skip invalid files that were merely found: they may belong to another program.
    raise ModelMissingError(
        f"{need} with sha256 {sha256.hex()}, which was not found in the package or in '{user_folder()}'; give its file "
        "with --model"
    )
