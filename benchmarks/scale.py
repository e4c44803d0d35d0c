"""Archives of many parts: bits by number of parts, seconds by number of workers, seconds and memory by number of images.

    python -m benchmarks.scale [bits] [workers] [growth] [costs] [--most 1000000]

bits: training images of MNIST (60,000, binarised) and CIFAR-10 (50,000) as sets, in one archive and in 4, 16 and 64 parts,
assigned to parts by code and at random. Models were trained on them: only the differences between rows count. One archive
of each set is coded fully, and that of MNIST decoded; in the others random bits, as many as its pixels took, replace
pixels. workers: Ray with one and with two processes. growth: small synthetic images in tar files, with a part for every
15,625. costs: what an RGB image of 64x64 (four of CIFAR-10's test images) takes of one core and of the disk, by stage.
Steps that are not named keep their last results in benchmarks/results/scale.json. Needs `mnist/` and `cifar10/` in the
folder of ACNCODEC_DATA.
"""

import io
import json
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image

from acncodec import api
from acncodec.archive.header import NAMES_DROP
from acncodec.planning.partition import Partition
from acncodec.progress import Advance, ignore, unwatched
from acncodec.reading.decompress import check
from acncodec.reading.parts import Parts
from acncodec.scale.engines import engine
from acncodec.scale.pipeline import Options, compress_parts
from acncodec.scale.work import FOLDER
from benchmarks.data import BINARISE_SEEDS, binarise, mnist, write_pngs
from benchmarks.directory_sets import cifar10
from benchmarks.patches import replaced
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
PARTS = (1, 4, 16, 64)
REAL_PARTS = 16
SETS = {"MNIST, 1-bit": "mnist-1bit", "CIFAR-10": "photo-rgb"}
PART_IMAGES = 15_625
COUNTS = (15_625, 125_000, 1_000_000)
TAR_IMAGES = 10_000
SIDE = 12
NOISE = 0.03  # of the pixels are flipped, so that no two images are the same
WORKER_IMAGES, WORKER_PARTS = 20_000, 8
COST_IMAGES = 2000


def _random_bytes(bits: float) -> Callable[..., float]:
    """In the place of `push_pixels`: so many bits an image."""
    random, uniform = np.random.default_rng(0), np.ones(256)

    def push(stack: Any, pixels: np.ndarray, z: np.ndarray, model: Any) -> float:
        count = round(len(pixels) * bits / 8)
        stack.push_shared(random.integers(0, 256, count), uniform)
        return 8.0 * count

    return push


def _random(self: Partition, codes: np.ndarray) -> np.ndarray:
    """In the place of `assign`."""
    return np.random.default_rng(len(codes)).integers(0, len(self.prices), len(codes))


def write_set(name: str, root: Path) -> int:
    """The training images of a set as PNG files; returns how many."""
    bilevel = name.startswith("MNIST")
    images = binarise(mnist("train"), BINARISE_SEEDS["train"]) if bilevel else cifar10("train")[0]
    write_pngs(images, None, root, bilevel)
    return len(images)


def bits(folder: Path) -> dict[str, Any]:
    """Bits an image of every arrangement."""
    found: dict[str, Any] = {}
    for name, model in SETS.items():
        root = folder / model
        count = write_set(name, root)
        verify = name.startswith("MNIST")
        done = api.compress(root, folder / "real", names="drop", models=model, parts=REAL_PARTS, verify=verify)
        rows = {"real": _parted(done.info, count)}
        click.echo(f"{name}, all of it: {rows['real']}", err=True)
        shutil.rmtree(folder / "real")
        pixels = {"acncodec.coding.protocol.push_pixels": _random_bytes(rows["real"]["pixels"])}
        for parts in (None, *PARTS):
            ways: dict[str, dict[str, Any]] = {"": {}}
            if parts and parts > 1:
                ways = {"by code": {}, "at random": {"acncodec.planning.partition.Partition.assign": _random}}
            for way, patches in ways.items():
                with replaced(pixels | patches):
                    target = folder / "out"
                    done = api.compress(root, target, names="drop", models=model, parts=parts, verify=False)
                key = f"{parts} parts, {way}" if way else "one archive" if parts is None else "1 part"
                rows[key] = _parted(done.info, count)
                click.echo(f"{name}, {key}: {rows[key]}", err=True)
                shutil.rmtree(target) if parts else target.unlink()
        found[name] = {"images": count, "rows": rows}
        shutil.rmtree(root)
    return found


def _parted(info: dict[str, Any], count: int) -> dict[str, float]:
    """Bits an image of the file, by what they are for."""
    ledger = {line["part"]: line["bits"] / count for line in info["ledger"]}
    pixels, latent, order = ledger.get("residual", 0.0), ledger["latent"], ledger["order"]
    total = info["file_bits"] / count
    return {"pixels": pixels, "latent": latent, "order": order, "rest": total - pixels - latent - order, "file": total}


class Stages:
    """Seconds and peak memory of every stage, as a `Progress`."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self._stage, self._start = "", time.perf_counter()

    def __call__(self, stage: str, total: int) -> Advance:
        self.end()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._stage, self._start = stage, time.perf_counter()
        return ignore

    def end(self) -> None:
        if self._stage:
            status = Path("/proc/self/status").read_text()
            peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
            self.found[self._stage] = {"seconds": time.perf_counter() - self._start, "mib": peak}


def make(source: str, target: Path, parts: int, model: str, engine_name: str, workers: int, progress: Any) -> float:
    """Compress into parts; returns seconds of wall clock, without what it takes to start a cluster."""
    with engine(engine_name, workers) as running:
        start = time.perf_counter()
        compress_parts(
            source,
            target,
            parts=parts,
            models=(model,),
            auto=False,
            options=Options(names=NAMES_DROP),
            engine=running,
            progress=progress,
            verify=False,
        )
        return time.perf_counter() - start


def workers(folder: Path) -> dict[str, Any]:
    """One process and two, and whether they make the same archive."""
    root = folder / "digits"
    write_pngs(binarise(mnist("train"), BINARISE_SEEDS["train"])[:WORKER_IMAGES], None, root, bilevel=True)
    found: dict[str, Any] = {}
    for number in (1, 2, 1, 2):
        stages, target = Stages(), folder / f"out{number}"
        seconds = make(str(root), target, WORKER_PARTS, "mnist-1bit", "ray", number, stages)
        stages.end()
        found.setdefault(str(number), []).append({"seconds": seconds, "stages": stages.found})
        click.echo(f"{number} workers: {seconds:.1f} s", err=True)
        if number == 1:
            first = {path.name: path.read_bytes() for path in target.iterdir()}
        else:
            found["same"] = first == {path.name: path.read_bytes() for path in target.iterdir()}
        shutil.rmtree(target)
    return {"images": WORKER_IMAGES, "parts": WORKER_PARTS, **found}


def synthetic(count: int, folder: Path) -> None:
    """Tar files of 1-bit images SIDE by SIDE: discs and bars at random places."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    folder.mkdir()
    for number in range(-(-count // TAR_IMAGES)):
        with tarfile.open(folder / f"set-{number:03}.tar", "w") as tar:
            for i in range(min(TAR_IMAGES, count - number * TAR_IMAGES)):
                y, x, r = rng.uniform(0, SIDE, 3)
                disc = np.hypot(rows - y, columns - x) < r / 2 + 1
                image = disc if i % 2 else np.abs(rows - y) < r / 4 + np.abs(columns - x) * 0.2
                data = io.BytesIO()
                Image.fromarray(image ^ (rng.random(image.shape) < NOISE)).save(data, "PNG")
                member = tarfile.TarInfo(f"{i:05}.png")
                member.size = len(data.getvalue())
                tar.addfile(member, io.BytesIO(data.getvalue()))


def growth(folder: Path, most: int) -> dict[str, Any]:
    """Seconds and memory of every stage."""
    found = {}
    for count in (n for n in COUNTS if n <= most):
        root = folder / f"synthetic-{count}"
        synthetic(count, root)
        stages = Stages()
        target = folder / "out"
        seconds = make(f"{root}/set-*.tar", target, count // PART_IMAGES, "mnist-1bit", "local", 1, stages)
        stages.end()
        size = sum(path.stat().st_size for path in target.iterdir())
        found[str(count)] = {"seconds": seconds, "bits": 8 * size / count, "stages": stages.found}
        click.echo(f"{count:,}: {found[str(count)]}", err=True)
        shutil.rmtree(target)
        shutil.rmtree(root)
    return found


def costs(folder: Path) -> dict[str, Any]:
    """Of an RGB image of 64x64: milliseconds of one core and bytes, by stage."""
    torch.set_num_threads(1)
    images, _ = cifar10()
    images = images[: 4 * COST_IMAGES].reshape(-1, 2, 2, 32, 32, 3).swapaxes(2, 3).reshape(-1, 64, 64, 3)
    root, target = folder / "images", folder / "out"
    write_pngs(images, None, root, bilevel=False)
    stages = Stages()
    with replaced({"acncodec.scale.work.Work.end": lambda self: None}):  # what it has put down is to be weighed
        make(str(root), target, 1, "photo-rgb", "local", 1, stages)
    stages.end()
    with Parts(target) as parts:
        start = time.perf_counter()
        check(parts, progress=unwatched)
        stages.found["check"] = {"seconds": time.perf_counter() - start}
    each = {name: 1000 * row["seconds"] / len(images) for name, row in stages.found.items()}
    (work,) = (target / FOLDER).iterdir()
    places = {"source": root, "codes": work / "codes", "exchange": work / "exchange"}
    files = {name: [p for p in place.rglob("*") if p.is_file()] for name, place in places.items()}
    size = {name: sum(p.stat().st_size for p in found) / len(images) for name, found in files.items()}
    size["archive"] = sum(path.stat().st_size for path in target.glob("*.acn")) / len(images)
    return {"images": len(images), "milliseconds": each, "bytes": size}


def markdown(results: dict[str, Any]) -> str:
    lines = ["# Archives of many parts", ""]
    if "bits" in results:
        lines += _title(results, "bits", "Bits an image, names dropped.")
        for name, found in results["bits"]["found"].items():
            lines += [f"### {name}, {found['images']:,} training images", "", "| | latents | order | rest | in all |"]
            lines += ["|---" * 5 + "|"]
            for key, row in found["rows"].items():
                title = f"{REAL_PARTS} parts, by code, coded whole" if key == "real" else key
                lines.append(
                    f"| {title} | {row['latent']:.3f} | {row['order']:.3f} | {row['rest']:.3f} | {row['file']:,.2f} |"
                )
            lines.append("")
    if "workers" in results:
        found = results["workers"]["found"]
        words = f"{found['images']:,} 1-bit digits in {found['parts']} parts, each run twice; seconds without starting Ray."
        lines += _title(results, "workers", words)
        lines += ["| workers | seconds | codes | exchange | code |", "|---" * 5 + "|"]
        for number in ("1", "2"):
            best = min(found[number], key=lambda run: run["seconds"])
            each = [f"{best['stages'][stage]['seconds']:.1f}" for stage in ("codes", "exchange", "code")]
            both = " and ".join(f"{run['seconds']:.1f}" for run in found[number])
            lines.append(f"| {number} | {both} | " + " | ".join(each) + " |")
        lines += ["", f"The archives are {'the same, byte for byte' if found['same'] else 'NOT the same'}.", ""]
    if "growth" in results:
        words = f"1-bit images of {SIDE}x{SIDE}, {PART_IMAGES:,} a part, in one process: seconds, and its peak memory."
        lines += _title(results, "growth", words)
        names = ["list", "codes", "exchange", "code", "index"]
        lines += ["| images | seconds | bits an image | " + " | ".join(names) + " |", "|---" * (3 + len(names)) + "|"]
        for count, row in results["growth"]["found"].items():
            each = [f"{s['seconds']:.1f} s, {s['mib']:,.0f} MiB" if (s := row["stages"].get(n)) else "" for n in names]
            lines.append(f"| {int(count):,} | {row['seconds']:.0f} | {row['bits']:.2f} | " + " | ".join(each) + " |")
        lines.append("")
    if "costs" in results:
        found = results["costs"]["found"]
        words = f"{found['images']:,} RGB images of 64x64 in one part, one process on one core, `photo-rgb`; an image:"
        lines += _title(results, "costs", words)
        lines += ["| | ms | core hours of 10^9 |", "|---|---|---|"]
        lines += [f"| {name} | {ms:.3f} | {ms * 1e9 / 3.6e6:,.0f} |" for name, ms in found["milliseconds"].items()]
        lines += ["", "| | bytes | TB of 10^9 |", "|---|---|---|"]
        lines += [f"| {name} | {size:,.0f} | {size / 1000:.2f} |" for name, size in found["bytes"].items()] + [""]
    return "\n".join(lines)


def _title(results: dict[str, Any], step: str, words: str) -> list[str]:
    of = results[step]["provenance"]
    return [f"## {step}", "", words, f"{of['date']}, `{of['command']}`, commit {of['commit']}, {of['machine']}.", ""]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@click.command()
@click.argument("steps", nargs=-1, type=click.Choice(["bits", "workers", "growth", "costs"]))
@click.option("--most", default=COUNTS[-1], show_default=True, help="Synthetic images at most.")
def main(steps: tuple[str, ...], most: int) -> None:
    """Measure the steps, or all of them."""
    known: dict[str, Callable[[Path], dict[str, Any]]] = {
        "bits": bits,
        "workers": workers,
        "growth": lambda folder: growth(folder, most),
        "costs": costs,
    }
    path = RESULTS / "scale.json"
    for step in steps or known:
        with _folder() as folder:
            found = known[step](folder)
        results = json.loads(path.read_text()) if path.exists() else {}
        results[step] = {"found": found, "provenance": provenance()}
        write_result(path, results, markdown(results))
    click.echo((RESULTS / "scale.md").read_text())


if __name__ == "__main__":
    main()
