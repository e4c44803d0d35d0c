"""Python API: `compress`, `decompress` and `Model`; `open` and `AcnDataset` are in access.py."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acncodec import bundled
from acncodec.analysis.samples import Dice, reconstruct, sample
from acncodec.archive.atomic import refuse_occupied
from acncodec.block.estimate import Estimate, Estimated
from acncodec.coding.element_costs import element_bits
from acncodec.coding.protocol import encode
from acncodec.coding.selftest import device_of
from acncodec.errors import InputError
from acncodec.exact.grids import LATENT_BITS
from acncodec.images.scan import Collisions, collisions
from acncodec.images.source import Folder, MemoryImages, Source
from acncodec.nets import model as nets
from acncodec.packing import compress as packing
from acncodec.planning.tour import DEFAULT_EFFORT
from acncodec.progress import Progress, unwatched
from acncodec.reading import decompress as restoring
from acncodec.reading.info import NAMES, describe
from acncodec.reading.parts import Parts
from acncodec.scale import engines
from acncodec.scale.engines import LOCAL
from acncodec.scale.pipeline import compress_parts
from acncodec.training.session import TrainingRequest, Watcher
from acncodec.training.session import train as run_training
from acncodec.training.trainer import Budget, Report

PathLike = str | os.PathLike[str]
ACCESS = "sequential", "random"
AUTO = "auto"


@dataclass(frozen=True)
class Compressed:
    """A finished archive of `size` bytes, from `files` of `source_bytes`; `info` is what `acncodec info --json` says of it.

    `not_stored` lists what was left out or could not be read, as (path, reason); `unreadable` counts the latter.
    `unmodelled` counts contents that no network codes. `collisions` counts paths that some file systems take for another,
    since they ignore case or Unicode form, with examples. `without_names` estimates the size in bytes with names 'folders'
    and 'drop', `encoding_seconds` is how long coding by networks took, `decoding_seconds` how long verification did; none
    of these is known of many parts.
    """

    size: int
    files: int
    source_bytes: int
    unmodelled: int
    unreadable: int
    not_stored: list[tuple[bytes, str]]
    collisions: Collisions
    info: dict[str, Any]
    without_names: dict[str, int] = field(default_factory=dict)
    encoding_seconds: float | None = None
    decoding_seconds: float | None = None


def as_source(images: PathLike | Source | Mapping[str, Any] | Iterable[Any]) -> Source:
    """A source of images: the directory at a path, or images in memory. Raises InputError."""
    if isinstance(images, str | os.PathLike):
        return Folder(Path(images))
    return images if isinstance(images, Source) else MemoryImages(images)


def _all(names: PathLike | Iterable[PathLike]) -> tuple[str, ...]:
    """One or several names or paths, as strings."""
    return (os.fspath(names),) if isinstance(names, str | os.PathLike) else tuple(os.fspath(name) for name in names)


def models_of(names: Sequence[str], device: torch.device) -> list[nets.Model]:
    """The models to choose among, by names and files, 'auto' for all that are found. Raises InputError, ModelError."""
    return bundled.candidates([name for name in names if name != AUTO], AUTO in names, device)


def compress(
    images: PathLike | Source | Mapping[str, Any] | Iterable[Any],
    archive: PathLike,
    *,
    names: str = "keep",
    exact_files: bool = False,
    models: PathLike | Iterable[PathLike] = (AUTO,),
    embed_model: bool = False,
    adapt: float = 0.0,
    access: str = ACCESS[0],
    block_size: int | None = None,
    effort: int = DEFAULT_EFFORT,
    verify: bool = True,
    overwrite: bool = False,
    device: str = AUTO,
    progress: Progress = unwatched,
    parts: int | None = None,
    engine: str = LOCAL,
    resume: bool = False,
    estimated: Estimated | None = None,
) -> Compressed:
    """Compress the directory at a path, or images, into the file `archive`.

    Images are Pillow's or arrays (bool or uint8 [H, W], or uint8 [H, W, C]), in a mapping from paths, in any iterable, or
    as pairs with labels as torchvision's data sets have them. `models`: names or files, 'auto' for all that are found.
    `names` is 'keep', 'folders' or 'drop', `access` 'sequential' or 'random', `adapt` minutes. With `parts` the archive
    becomes a directory of so many, made by an `engine`, and images may also be a list, tar files or a URL; `estimated`, if
    given, is called before long coding with how long it will take, but not for parts. Everything else is as in `acncodec
    compress`. Raises InputError, OutputError, ModelError, ExactnessError.
    """
    target, wanted = Path(archive), _all(models)
    if parts is None:
        refuse_occupied(target, overwrite)  # now, not after all images have been read
    numbers = {name: number for number, name in NAMES.items()}
    if names not in numbers:
        raise InputError(f"names are kept by one of {', '.join(numbers)}, not '{names}'")
    if access not in ACCESS:
        raise InputError(f"access is one of {', '.join(ACCESS)}, not '{access}'")
    options = packing.Options(
        names=numbers[names],
        exact_files=exact_files,
        block=block_size,
        random=access == ACCESS[1],
        effort=effort,
        overwrite=overwrite,
        carry=embed_model,
        adapt=adapt,
    )
    files = bundled.files_among(wanted)
    if parts is not None:
        if not isinstance(images, str | os.PathLike):
            raise InputError("an archive of many parts is made of a directory, a list, tar files or a URL")
        named = tuple(name for name in wanted if name != AUTO)
        with engines.engine(engine, torch.get_num_threads()) as running:
            made = compress_parts(
                os.fspath(images),
                target,
                parts=parts,
                models=named,
                auto=AUTO in wanted,
                options=options,
                engine=running,
                progress=progress,
                resume=resume,
                verify=verify,
                device=device,
            )
        return Compressed(**vars(made))
    on = device_of(device)
    verified: list[float] = []  # seconds

    def inspect(path: Path) -> None:
        begin = time.monotonic()
        restoring.verifier(files, on, progress)(path)
        verified.append(time.monotonic() - begin)

    done = packing.compress(
        as_source(images), target, models_of(wanted, on), options, progress, inspect if verify else None, estimated
    )
    found = done.collection
    with Parts(target) as opened:
        info = describe(opened, files)
    return Compressed(
        size=done.size,
        files=len(found.names),
        source_bytes=found.source_bytes,
        unmodelled=done.stored,
        unreadable=len(found.unreadable),
        not_stored=found.skipped + found.unreadable,
        collisions=collisions(found.names),
        info=info,
        without_names={NAMES[mode]: size for mode, size in done.without_names.items()},
        encoding_seconds=done.encoding_seconds,
        decoding_seconds=verified[0] if verified else None,
    )


def decompress(
    archive: PathLike,
    directory: PathLike,
    *,
    patterns: str | Iterable[str] = (),
    models: PathLike | Iterable[PathLike] = (),
    overwrite: bool = False,
    device: str = AUTO,
    progress: Progress = unwatched,
) -> int:
    """Restore an archive as a directory, or those files that a path, a folder or a glob among `patterns` names.

    Returns how many files came back. `models` are files to look for its models, beside those that are found. Raises
    InputError, OutputError, DamagedError, UnsupportedError, ExactnessError.
    """
    with Parts(Path(archive), _all(models), device_of(device)) as opened:
        outcome = restoring.decompress(
            opened, Path(directory), patterns=_all(patterns), overwrite=overwrite, progress=progress
        )
    return outcome.files


class Model:
    """A trained model: codes and code lengths of images, and images sampled from it.

    Images are uint8 [N, H, W] or [N, H, W, C], of the model's value range and channels; 0 and 1 (or bool) for 1-bit images.
    """

    def __init__(self, model: nets.Model) -> None:
        self._model = model

    @classmethod
    def load(cls, name: PathLike, device: str = AUTO) -> "Model":
        """The model of that name, or in that .safetensors file. Raises InputError, ModelError."""
        found = bundled.find(os.fspath(name))
        found.networks.to(device_of(device))
        return cls(found)

    @classmethod
    def train(
        cls,
        images: PathLike | Source | Mapping[str, Any] | Iterable[Any],
        output: PathLike,
        *,
        minutes: float = 30.0,
        start: str | None = AUTO,
        resume: bool = False,
        overwrite: bool = False,
        binarised: bool = False,
        device: str = AUTO,
        watcher: Watcher | None = None,
    ) -> "Model":
        """Train on images, as `compress` takes them, and write the model file `output`, as `acncodec train` does.

        `start` is a name or a file; 'auto' takes what suits the images best, None random weights. Grey images may be
        `binarised` anew in every batch, for a model of 1-bit images. Raises InputError, OutputError, BoundError.
        """
        request = TrainingRequest(
            as_source(images),
            Path(output),
            Budget(minutes),
            resume=resume,
            overwrite=overwrite,
            binarised=binarised,
            device=device_of(device, training=True),
        )
        return cls(run_training(starting_from(request, start), watcher or _Silent()).model)

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def sha256(self) -> str:
        """sha256 of the plain model file, by which archives identify the model, in hexadecimal."""
        return self._model.sha256.hex()

    def codes(self, images: np.ndarray) -> np.ndarray:
        """Codes float32 [N, D], in units of the posterior's standard deviation (ACN, section 2). Raises InputError."""
        return encode(self._model, self._checked(images)).astype(np.float32) * 2.0**-LATENT_BITS

    def bits(self, images: np.ndarray) -> np.ndarray:
        """Theoretical cost of each image without a parent, residual plus unconditional KL: float64 [N], bits.

        Models with copy candidates may copy from the other images. Raises InputError.
        """
        return element_bits(self._model, self._checked(images))

    def sample(self, count: int, height: int, width: int, seed: int = 0, temperature: float = 1.0) -> np.ndarray:
        """Sampled images, uint8 [count, height, width, C]; a `temperature` below 1 favours likely values.

        Raises InputError.
        """
        if min(count, height, width) < 1 or temperature < 0:
            raise InputError("the count, height and width of samples must be at least 1, their temperature at least 0")
        return sample(self._model, count, height, width, Dice(seed, temperature))

    def reconstruct(self, images: np.ndarray, seed: int = 0, temperature: float = 1.0) -> np.ndarray:
        """Images decoded from codes alone (ACN, section 3.2): uint8 [N, H, W, C]. Raises InputError."""
        return reconstruct(self._model, self._checked(images), Dice(seed, temperature))

    def _checked(self, images: np.ndarray) -> np.ndarray:
        """Images as uint8 [N, H, W, C]. Raises InputError if their type, shape or values do not suit the model."""
        given, arch = np.asarray(images), self._model.arch
        values = given[..., None] if given.ndim == 3 else given
        fits = values.ndim == 4 and values.shape[3] == arch.colours and values.size
        if values.dtype not in (np.uint8, np.bool_) or not fits:
            raise InputError(
                f"the model '{self.name}' takes uint8 [N, H, W, {arch.colours}], not {given.dtype} {list(given.shape)}"
            )
        values = np.ascontiguousarray(values, np.uint8)
        if values.max() >= arch.levels:
            raise InputError(f"the model '{self.name}' is for values below {arch.levels}; here is {values.max()}")
        return values


def starting_from(request: TrainingRequest, start: str | None) -> TrainingRequest:
    """The request with the model `start` to begin with, by name or file; for 'auto' with all models, None for none of them.

    Raises InputError if it is not found.
    """
    if start == AUTO:
        return replace(request, models=bundled.candidates([], auto=True))
    return replace(request, start=None if start is None else bundled.find(start))


class _Silent:
    """A `Watcher` that prints nothing."""

    def begin(self, start: nets.Model | None, batch: int) -> None: ...

    def report(self, report: Report) -> None: ...

    def held_out(self, residual: float, kl: float) -> None: ...


__all__ = ["Compressed", "Estimate", "Model", "compress", "decompress"]
