"""acncodec bench"""

import json
from pathlib import Path
from typing import Any

import click

from .console import Bars, say
from .options import FILE, choose_device, device_option, force_option, json_option, work_options


@click.command("bench")
@click.argument("directory", type=FILE)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="auto|NAME|FILE",
    help="Use this model, given by name or as a .safetensors file, for images that it makes smaller than conventional "
    "codecs do; may be repeated. 'auto', the default, tries all models that are found.",
)
@click.option(
    "--report",
    type=FILE,
    metavar="FILE.html",
    help="Also write a page with charts, the images along the tour, and a map of all codes.",
)
@force_option
@device_option
@json_option
@work_options
def command(directory: Path, models: tuple[str, ...], report: Path | None, force: bool, device: str, as_json: bool) -> None:
    """Compare acncodec's archives of DIRECTORY with those of zip, tar.xz, tar.zst, WebP and JPEG XL. No archive is kept.

    Archives are made with and without names, an order, and more or less effort; each is decoded and checked. zstd and JPEG
    XL are included if the Python packages zstandard and imagecodecs are installed. Prints Markdown tables: sizes, times and
    images a second of all archives, then bits and estimated times of each model that can code the images.
    """
    from acncodec.analysis.bench import bench, report_data
    from acncodec.api import AUTO, models_of
    from acncodec.archive.atomic import refuse_occupied, write_atomically
    from acncodec.bundled import files_among
    from acncodec.report import page

    if report is not None:
        refuse_occupied(report, force)  # now, not after the work
    on = choose_device(device)
    with Bars() as bars:
        found = bench(directory, models_of(models or (AUTO,), on), files_among(models), on, bars)
    click.echo(json.dumps(found.figures) if as_json else _markdown(found.figures))
    if report is not None:
        write_atomically(report, [page(report_data(found)).encode("utf-8")], force)
        say(f"'{report}' shows where the bits go, image by image")


def _markdown(d: dict[str, Any]) -> str:
    lines = [
        f"{d['directory']}: {d['files']:,} files of {d['source_bytes']:,} bytes, {d['images']:,} images modelled",
        "",
        "| | bytes | with its models | bits an image | encode, s | images/s | decode, s | images/s | |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in sorted(d["table"], key=lambda row: row["bytes"]):
        name = f"**{row['name']}**" if row["ours"] else row["name"]
        bits = f"{row['bits_per_image']:,.1f}" if row["bits_per_image"] is not None else ""
        lines.append(
            f"| {name} | {row['bytes']:,} | {row['bytes'] + row['model_bytes']:,} | {bits} | {_times(row, 'encode')} "
            f"| {_times(row, 'decode')} | {row['note']} |"
        )
    lines += ["", *d["left_out"]] if d["left_out"] else []
    if d["models"]:
        lines += [
            "",
            f"Each model on {d['models'][0]['images']:,} images: theory on a sample, without an order; times as estimated.",
            "",
            "| | bits a pixel | encode, s | ns a pixel | restore, s | ns a pixel |",
            "|---|---:|---:|---:|---:|---:|",
        ]
    lines += [
        f"| {row['model']} | {row['bits_per_pixel']:.3f} | {row['encode_seconds']:.1f} | {row['encode_ns_per_pixel']:,.0f} "
        f"| {row['decode_seconds']:.1f} | {row['decode_ns_per_pixel']:,.0f} |"
        for row in d["models"]
    ]
    if d["order"]:
        order = d["order"]
        lines += [
            "",
            f"By theory a modelled image takes {order['ordered_bits_per_image']:,.1f} bits along the tour and "
            f"{order['unordered_bits_per_image']:,.1f} without it, of which an order can be worth "
            f"{order['bound_bits_per_image']:.1f}.",
        ]
    return "\n".join(lines)


def _times(row: dict[str, Any], way: str) -> str:
    """Seconds and images a second of a row, 'encode' or 'decode', as two cells."""
    rate = row[f"{way}_images_per_second"]
    return f"{row[f'{way}_seconds']:.1f} | {'' if rate is None else f'{rate:,.0f}'}"
