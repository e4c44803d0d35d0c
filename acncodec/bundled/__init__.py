"""The models that ship with the package, and the search for a model by name, path or sha256."""

import hashlib
import os
from functools import cache
from pathlib import Path

from acncodec.errors import InputError, ModelError, ModelMissingError
from acncodec.nets.model import MAX_MODEL_BYTES, Model, read_model

FOLDER = Path(__file__).parent
SAMPLE = FOLDER / "sample"  # some hundred MNIST digits as PNG files


def user_folder() -> Path:
    """Where a user's own models are looked for: $ACNCODEC_MODELS, else ~/.local/share/acncodec/models."""
    return Path(os.environ.get("ACNCODEC_MODELS", Path.home() / ".local" / "share" / "acncodec" / "models"))


def model_files() -> list[Path]:
    """All model files that can be found without being told where: bundled ones first."""
    return sorted(FOLDER.glob("*.safetensors")) + sorted(user_folder().glob("*.safetensors"))


@cache
def load(path: Path) -> Model:
    """Read a model file once a process. Raises InputError, ModelError, BoundError, all naming the file."""
    try:
        return read_model(path)
    except ModelError as error:
        raise type(error)(f"the model file '{path}' cannot be used: {error}") from error


def find(name: str) -> Model:
    """A model by path or by name (its file's name without suffix). Raises InputError if there is none."""
    path = Path(name)
    if path.suffix == ".safetensors":
        return load(path)
    for candidate in model_files():
        if candidate.stem == name:
            return load(candidate)
    known = ", ".join(p.stem for p in model_files())
    raise InputError(f"there is no model '{name}'; known are {known}, or give the path of a .safetensors file")


def candidates(names: list[str], auto: bool) -> list[Model]:
    """The models to choose among: those named, and with `auto` all that can be found. Raises InputError, ModelError."""
    found = {model.sha256: model for model in map(find, names)}
    if auto:
        found.update((model.sha256, model) for model in map(load, model_files()))
    return list(found.values())


def find_sha256(name: str, sha256: bytes, also: list[Path]) -> Model:
    """The model with this sha256, among `also` and all that can be found. Raises ModelMissingError."""
    for path in [*also, *model_files()]:
        try:
            if path.stat().st_size <= MAX_MODEL_BYTES and hashlib.sha256(path.read_bytes()).digest() == sha256:
                return load(path)
        except OSError as error:
            if path in also:  # one that was merely found may well be somebody else's
                raise InputError(f"cannot read the model '{path}': {error.strerror}") from error
    raise ModelMissingError(
        f"the archive needs the model '{name}' with sha256 {sha256.hex()}, which was not found in the package or in "
        f"'{user_folder()}'; give its file with --model"
    )
