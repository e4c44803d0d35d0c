"""acncodec compress"""

from pathlib import Path

import click

from acncodec.errors import EXIT_UNMODELLED

from .options import FILE, choose_device, device_option, force_option, json_option


@click.command("compress")
@click.argument("directory", type=FILE)
@click.argument("archive", type=FILE)
@click.option(
    "--names",
    type=click.Choice(["keep", "folders", "drop"]),
    default="keep",
    show_default=True,
    help="Restore every path; or the folders alone, with numbered images in them; or none. Fewer names, fewer bits. "
    "Files that are no images keep their names.",
)
@click.option(
    "--exact-files",
    is_flag=True,
    help="Promise identical files instead of identical images: what cannot be rewritten byte for byte is kept as it is.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="auto|NAME|FILE",
    help="Take this model, by name or as a .safetensors file, where it beats conventional codecs; may be repeated. "
    "'auto', the default, tries all that are known.",
)
@click.option(
    "--embed-model",
    "carry",
    is_flag=True,
    help="Put the models that are used into the archive, some 0.5 MB each: it can then be decoded with nothing else.",
)
@click.option(
    "--adapt",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Train the models further on these very images for so long, and send how they differ, if that makes the archive "
    "smaller.",
)
@click.option(
    "--block-size",
    type=click.IntRange(min=1),
    metavar="IMAGES",
    help="Images that are coded together, 16384 unless given: damage spreads, and extraction decodes, no further. "
    "Small blocks cost bits.",
)
@click.option(
    "--effort",
    type=click.IntRange(1, 9),
    metavar="1-9",
    help="How long to look for a good order of the images, 5 unless given; from 6 on each step takes several times as long "
    "for some 0.1 % of small images' bits.",
)
@click.option("--strict", is_flag=True, help="End with exit code 3 if any file was stored unmodelled or could not be read.")
@force_option
@device_option
@json_option
def command(
    directory: Path,
    archive: Path,
    names: str,
    exact_files: bool,
    models: tuple[str, ...],
    carry: bool,
    adapt: float | None,
    block_size: int | None,
    effort: int | None,
    strict: bool,
    force: bool,
    device: str,
    as_json: bool,
) -> int:
    """Compress DIRECTORY into the file ARCHIVE.

    Every file comes back. Images come back with identical pixels, mode, palette and metadata in a file that is written
    anew; with --exact-files, and whatever is not an image, byte for byte. What the networks do not code smaller than WebP
    or the file itself is kept that way. Symbolic links and special files are not stored, and are reported.
    """
    from acncodec import bundled
    from acncodec.codec.compress import BLOCK_PICTURES, Options, compress
    from acncodec.codec.info import NAMES, describe
    from acncodec.codec.reader import Archive
    from acncodec.images.scan import collisions
    from acncodec.planning.tour import DEFAULT_EFFORT

    from .progress import Bars
    from .report import show

    chosen = bundled.candidates([name for name in models if name != "auto"], auto=not models or "auto" in models)
    for model in chosen:
        model.networks.to(choose_device(device))
    options = Options(
        names={name: number for number, name in NAMES.items()}[names],
        exact_files=exact_files,
        block=block_size or BLOCK_PICTURES,
        effort=effort or DEFAULT_EFFORT,
        overwrite=force,
        carry=carry,
        adapt=adapt or 0.0,
    )
    with Bars() as bars:
        done = compress(directory, archive, chosen, options, bars)
    for path, reason in done.collection.skipped + done.collection.unreadable:
        click.echo(f"acncodec: not stored: {path.decode(errors='backslashreplace')} ({reason})", err=True)
    if pair := collisions(done.collection.names):
        first, second = (name.decode(errors="backslashreplace") for name in pair)
        click.echo(f"acncodec: '{first}' and '{second}' are one name to a file system that folds case", err=True)
    click.echo(
        f"acncodec: {len(done.collection.names):,} files of {done.collection.source_bytes:,} bytes "
        f"-> {done.size:,} bytes in '{archive}'",
        err=True,
    )
    with Archive(archive) as opened:
        show(describe(opened, [Path(m) for m in models if m.endswith(".safetensors")]), as_json)
    return EXIT_UNMODELLED if strict and (done.stored or done.collection.unreadable) else 0
