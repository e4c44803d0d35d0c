"""Images per second from folders, tar and zip files, and archives, in training batches on the CPU.

    python -m benchmarks.loading [--images 10000] [--workers 2]

Training images of CIFAR-10 as files of PNG and of WebP, as a tar file read in its order (as WebDataset does), as a zip
file, and as archives, in order and shuffled. Each row is the best of ROUNDS epochs through a DataLoader of that many
workers, files warm in memory; every image is counted, and a checksum of all pixels compared. Needs `cifar10/` in the folder
that ACNCODEC_DATA names. Writes loading.json and .md to benchmarks/results/.
"""

import io
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

import acncodec
from benchmarks.data import write_pngs
from benchmarks.directory_sets import cifar10
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
ROUNDS, BATCH = 2, 100
ARCHIVES: dict[str, dict[str, Any]] = {"whole": {}, "blocks": {"block_size": 1000}, "random": {"access": "random"}}
AT_RANDOM = 100  # images that are read one by one


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image.convert("RGB")).copy())


def transposed(pixels: torch.Tensor) -> torch.Tensor:
    """[C, H, W] -> [H, W, C], as the checksum takes them."""
    return pixels.permute(1, 2, 0).contiguous()


class Files(Dataset[torch.Tensor]):
    """Image files of a folder or a zip file, by number."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = zipfile.ZipFile(path).namelist() if path.is_file() else sorted(map(str, path.rglob("*.*")))
        self._zip: zipfile.ZipFile | None = None  # opened by each worker

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> torch.Tensor:
        if self._path.is_dir():
            return as_tensor(Image.open(self._names[index]))
        self._zip = self._zip or zipfile.ZipFile(self._path)
        return as_tensor(Image.open(io.BytesIO(self._zip.read(self._names[index]))))


class Tar(IterableDataset[torch.Tensor]):
    """The image files of tar files in their order, a tar file a worker."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker = get_worker_info()
        mine, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for path in self._paths[mine::workers]:
            with tarfile.open(path) as tar:
                for member in tar:
                    file = tar.extractfile(member)
                    if file is not None:
                        yield as_tensor(Image.open(io.BytesIO(file.read())))


def epoch(loader: "DataLoader[Any]") -> tuple[int, int, float]:
    """Images, a checksum that does not depend on their order, and seconds."""
    count, checksum, begin = 0, 0, time.perf_counter()
    for batch in loader:
        count += len(batch)
        checksum += sum(zlib.crc32(image.numpy().tobytes()) for image in batch)
    return count, checksum, time.perf_counter() - begin


def prepare(images: np.ndarray, folder: Path, workers: int) -> None:
    """The same images in every form."""
    write_pngs(images, None, folder / "png", bilevel=False)
    (folder / "webp").mkdir()
    paths = sorted((folder / "png").rglob("*.png"))
    with zipfile.ZipFile(folder / "png.zip", "w") as packed:
        for path in paths:
            packed.write(path, path.name)
            with Image.open(path) as image:
                image.save(folder / "webp" / f"{path.stem}.webp", lossless=True, method=4)
    for number in range(max(1, workers)):
        with tarfile.open(folder / f"{number}.tar", "w") as tar:
            for path in paths[number :: max(1, workers)]:
                tar.add(path, path.name)
    for name, options in ARCHIVES.items():
        acncodec.compress(folder / "png", folder / f"{name}.acn", verify=False, **options)


def size(path: Path) -> int:
    return sum(each.stat().st_size for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())


def measure(images: np.ndarray, workers: int) -> list[dict[str, Any]]:
    """A row for each form and order. Raises RuntimeError if images are missing or are others."""
    rows = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        prepare(images, folder, workers)
        tars = sorted(folder.glob("*.tar"))

        def stream(name: str, tensors: bool = False, **options: Any) -> DataLoader[Any]:
            """A new data set, so that nothing is decoded yet."""
            transform = transposed if tensors else as_tensor
            made = acncodec.AcnDataset(folder / f"{name}.acn", transform, tensors=tensors).stream(**options)
            return DataLoader(made, BATCH, num_workers=0 if name == "whole" else workers)

        sources: dict[str, tuple[int, Callable[[], DataLoader[Any]]]] = {
            "PNG files": (size(folder / "png"), lambda: DataLoader(Files(folder / "png"), BATCH, num_workers=workers)),
            "PNG files, shuffled": (
                size(folder / "png"),
                lambda: DataLoader(Files(folder / "png"), BATCH, shuffle=True, num_workers=workers),
            ),
            "WebP files, shuffled": (
                size(folder / "webp"),
                lambda: DataLoader(Files(folder / "webp"), BATCH, shuffle=True, num_workers=workers),
            ),
            "PNG in tar files": (sum(map(size, tars)), lambda: DataLoader(Tar(tars), BATCH, num_workers=workers)),
            "PNG in a zip file, shuffled": (
                size(folder / "png.zip"),
                lambda: DataLoader(Files(folder / "png.zip"), BATCH, shuffle=True, num_workers=workers),
            ),
            "archive": (size(folder / "whole.acn"), lambda: stream("whole")),
            "archive in blocks of 1,000": (size(folder / "blocks.acn"), lambda: stream("blocks")),
            "archive in blocks of 1,000, shuffled": (size(folder / "blocks.acn"), lambda: stream("blocks", shuffle=True)),
            "archive in blocks of 1,000, shuffled, as tensors": (
                size(folder / "blocks.acn"),
                lambda: stream("blocks", True, shuffle=True),
            ),
            "archive for random access, shuffled": (
                size(folder / "random.acn"),
                lambda: stream("random", shuffle=True, buffer=64),
            ),
        }
        wanted = sum(zlib.crc32(image.tobytes()) for image in images)
        for name, (length, loader) in sources.items():
            seconds = []
            for _ in range(ROUNDS):
                count, checksum, took = epoch(loader())
                if (count, checksum) != (len(images), wanted):
                    raise RuntimeError(f"{name}: other images came back")
                seconds.append(took)
            rows.append({"source": name, "bytes": length, "images_per_second": len(images) / min(seconds)})
            click.echo(f"{name}: {rows[-1]['images_per_second']:.0f} images/s", err=True)
        chosen = np.random.default_rng(0).choice(len(images), min(AT_RANDOM, len(images)), replace=False)
        single = acncodec.AcnDataset(folder / "random.acn", as_tensor)
        begin = time.perf_counter()
        for index in chosen:
            single[int(index)]
        took = (time.perf_counter() - begin) / len(chosen)
        rows.append({"source": "archive for random access, one image at random", "seconds_an_image": took})
    return rows


def markdown(result: dict[str, Any]) -> str:
    lines = ["# Images a second for a training", ""]
    lines += [f"- {key}: {value}" for key, value in result["provenance"].items()]
    lines += [f"- {result['images']:,} images of CIFAR-10, {result['workers']} workers (an archive of one block: none)", ""]
    lines += ["| source | bytes | images a second | of PNG files, shuffled |", "|---|---|---|---|"]
    base = next(row["images_per_second"] for row in result["rows"] if row["source"] == "PNG files, shuffled")
    for row in result["rows"]:
        if "bytes" in row:
            rate = row["images_per_second"]
            lines.append(f"| {row['source']} | {row['bytes']:,} | {rate:,.0f} | {rate / base:.2f} |")
    single = result["rows"][-1]
    lines += ["", f"{single['source'].capitalize()}: {single['seconds_an_image']:.3f} seconds.", ""]
    return "\n".join(lines)


@click.command()
@click.option("--images", default=10_000, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(images: int, workers: int, output: Path) -> None:
    """Measure all forms and write the table."""
    rows = measure(cifar10("train")[0][:images], workers)
    result = {"provenance": provenance(), "images": images, "workers": workers, "rows": rows}
    page = markdown(result)
    click.echo(page)
    write_result(output / "loading", result, page)


if __name__ == "__main__":
    main()
