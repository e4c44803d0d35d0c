"""Whole photographs that no model was trained on, in colour or in grey: our models, JPEG XL and WebP.

    python -m benchmarks.photographs [--grey] [NAME]...

Each photograph is an archive of its own, restored and compared; `--grey` takes its luma. Needs `photos/` in the folder that
ACNCODEC_DATA names. Writes photographs.json and .md, or photographs-grey, to benchmarks/results/.
"""

import tempfile
from pathlib import Path
from typing import Any

import click
import imagecodecs
import numpy as np
from PIL import Image

from acncodec import bundled
from acncodec.images.webp import pack_webp
from benchmarks.commands import acncodec
from benchmarks.directory_sets import data_folder
from benchmarks.provenance import provenance, write_result

RESULTS = Path(__file__).parent / "results"
HELD_BACK = "dragonfly", "life", "raindrops", "sunset"  # photographs that no training may use
MODELS = {
    "photo-rgb": bundled.FOLDER / "photo-rgb.safetensors",
    "the one before": bundled.EARLIER / "photo-rgb-210549a0.safetensors",
}
GREY_MODELS = {"photo-grey": bundled.FOLDER / "photo-grey.safetensors"}
EFFORT = 9  # of JPEG XL


def measure(path: Path, grey: bool) -> dict[str, Any]:
    """Bits of one photograph under each model and other codecs. Raises RuntimeError if other pixels come back."""
    with tempfile.TemporaryDirectory() as work, Image.open(path) as image:
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
        source, archive = Path(work) / "in", Path(work) / "a.acn"
        source.mkdir()
        Image.fromarray(pixels).save(source / "photo.png")
        bits = {f"JPEG XL effort {EFFORT}": 8 * len(imagecodecs.jpegxl_encode(pixels, effort=EFFORT, lossless=True))}
        webp = pack_webp(pixels.reshape(*pixels.shape[:2], -1))
        bits["WebP"] = 8 * len(webp or b"")
        for name, model in (GREY_MODELS if grey else MODELS).items():
            acncodec("compress", "-f", "-q", "--no-verify", "--model", str(model), str(source), str(archive))
            acncodec("decompress", "-f", "-q", "--model", str(model), str(archive), str(Path(work) / "out"))
            with Image.open(Path(work) / "out" / "photo.png") as restored:
                if not np.array_equal(np.asarray(restored), pixels):
                    raise RuntimeError(f"{path.name} came back with other pixels")
            bits[name] = 8 * archive.stat().st_size
    return {"values": pixels.size, "bits": bits}


def markdown(result: dict[str, Any], grey: bool) -> str:
    """The result page: bits a sub-pixel."""
    found = result["photographs"]
    codecs = list(next(iter(found.values()))["bits"])
    lines = [
        f"# Whole photographs that no model was trained on{', in grey' if grey else ''}",
        "",
        "Bits a sub-pixel; each photograph is an archive of its own.",
        "",
    ]
    lines += [f"- {key}: {value}" for key, value in result["provenance"].items()]
    lines += ["", "| photograph | " + " | ".join(codecs) + " |", "|---" * (1 + len(codecs)) + "|"]
    rows = {**found, "all": {"values": sum(each["values"] for each in found.values()), "bits": {}}}
    for codec in codecs:
        rows["all"]["bits"][codec] = sum(each["bits"][codec] for each in found.values())
    for name, row in rows.items():
        rates = [f"{row['bits'][codec] / row['values']:.4f}" for codec in codecs]
        lines.append(f"| {name} | " + " | ".join(rates) + " |")
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("names", nargs=-1)
@click.option("--grey", is_flag=True, help="The luma of the photographs.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(names: tuple[str, ...], grey: bool, output: Path) -> None:
    """Measure the photographs and write the table."""
    paths = {path.stem: path for path in (data_folder() / "photos").iterdir()}
    found = {name: measure(paths[name], grey) for name in names or HELD_BACK}
    result = {"provenance": provenance(), "photographs": found}
    page = markdown(result, grey)
    click.echo(page)
    write_result(output / ("photographs-grey" if grey else "photographs"), result, page)


if __name__ == "__main__":
    main()
