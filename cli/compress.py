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
    type=click.Choice(["keep", "drop"]),
    default="keep",
    show_default=True,
    help="Restore every path, or save the bits of names and order: images then come back numbered, stored files as named.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME|FILE",
    help="Model for the images it fits, by name or as a .safetensors file; may be repeated.",
)
@click.option("--strict", is_flag=True, help="End with exit code 3 if any file was stored unmodelled.")
@force_option
@device_option
@json_option
def command(
    directory: Path,
    archive: Path,
    names: str,
    models: tuple[str, ...],
    strict: bool,
    force: bool,
    device: str,
    as_json: bool,
) -> int:
    """Compress DIRECTORY into the file ARCHIVE.

    Every file comes back: images that the networks model (1-bit and 8-bit grey PNG, PBM, PGM) with identical pixels, all
    other files byte for byte. Symbolic links and special files are not stored, and are reported.
    """
    from acncodec import bundled
    from acncodec.codec.compress import compress
    from acncodec.codec.decompress import open_archive
    from acncodec.codec.info import describe

    from .progress import Bars
    from .report import show

    chosen = [bundled.find(name) for name in [*bundled.DEFAULTS.values(), *models]]
    for model in chosen:
        model.networks.to(choose_device(device))
    with Bars() as bars:
        by_levels = {model.arch.levels: model for model in chosen}
        done = compress(directory, archive, by_levels, names=names == "keep", overwrite=force, progress=bars)
    for path, reason in done.collection.skipped:
        click.echo(f"acncodec: not stored: {path.decode(errors='backslashreplace')} ({reason})", err=True)
    click.echo(
        f"acncodec: {len(done.collection.names):,} files of {done.collection.source_bytes:,} bytes "
        f"-> {done.size:,} bytes in '{archive}'",
        err=True,
    )
    show(describe(open_archive(archive), [Path(m) for m in models if m.endswith(".safetensors")]), as_json)
    return EXIT_UNMODELLED if strict and done.collection.stored else 0
