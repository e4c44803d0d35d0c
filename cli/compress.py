"""acncodec compress"""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from acncodec.errors import EXIT_UNMODELLED

from .console import Bars, say, settings, warn
from .options import FILE, choose_device, device_option, force_option, json_option, work_options
from .report import Forecast, duration, show
from .streams import STREAM, writable

LOCAL = "local"
TOLD_SECONDS = 5  # of restoring, from which it is reported

if TYPE_CHECKING:
    from acncodec.api import Compressed, Estimate
    from acncodec.images.scan import Collisions
    from acncodec.images.source import Source


@click.command("compress")
@click.argument("paths", type=click.Path(), nargs=-1, required=True, metavar="[SOURCE] ARCHIVE")
@click.option(
    "--dataset",
    metavar="torchvision:NAME",
    help="Compress this data set of torchvision instead of a directory, its images in folders named by split and class.",
)
@click.option("--root", type=FILE, help="Folder in which torchvision keeps the data set.")
@click.option("--split", help="Compress this split alone, by torchvision's name for it, such as 'train' or 'test'.")
@click.option("--download", is_flag=True, help="Let torchvision download the data set if it is missing.")
@click.option(
    "--names",
    type=click.Choice(["keep", "folders", "drop"]),
    default="keep",
    show_default=True,
    help="Names to restore: 'keep' every path; 'folders' only, with numbered images in them; or 'drop' all and number the "
    "images. Fewer names take fewer bits. Files that are not images keep their names.",
)
@click.option(
    "--exact-files",
    is_flag=True,
    help="Restore image files byte for byte, not just their pixels and metadata. Image files that cannot be rewritten "
    "exactly are stored unchanged.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="auto|NAME|FILE",
    help="Use this model, given by name or as a .safetensors file, for images that it makes smaller than conventional "
    "codecs do; may be repeated. 'auto', the default, tries all models that are found.",
)
@click.option(
    "--embed-model",
    "carry",
    is_flag=True,
    help="Store the models that are used in the archive, 0.5 to 0.9 MB each, so that decoding needs no other file.",
)
@click.option(
    "--adapt",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Fine-tune the models on these images for this many minutes, and store the changes to their weights in the "
    "archive if that makes it smaller.",
)
@click.option(
    "--access",
    type=click.Choice(["sequential", "random"]),
    default="sequential",
    show_default=True,
    help="How images will be read: all in sequence, or single ones at random. 'random' makes blocks small, so that one "
    "image is decoded in a fraction of a second; photographs then take about 0.3 % more bytes, digits more.",
)
@click.option(
    "--block-size",
    type=click.IntRange(min=1),
    metavar="IMAGES",
    help="Largest number of images in a block, by default 16384, or few under --access random. Blocks are decoded whole: "
    "extracting an image decodes its block, and damage loses no images of other blocks. Small blocks take more bytes.",
)
@click.option(
    "--effort",
    type=click.IntRange(1, 9),
    metavar="1-9",
    help="How thoroughly to search for a good order of the images, by default 5. Each level from 6 on searches several "
    "times as long as the one before, and saves about 0.1 % of the bytes of small images.",
)
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Decode the finished archive and check every hash before the archive appears under its name.",
)
@click.option(
    "--parts",
    type=click.IntRange(min=1),
    metavar="N",
    help="Make ARCHIVE a directory of N archives, the parts, and a manifest; similar images go into the same part. SOURCE "
    "may then also be a text file (.txt) that lists paths relative to its own folder; tar files (.tar, with * or "
    "{000..099}), each restored as a folder; or a URL that fsspec reads, such as s3://BUCKET/PATH (needs s3fs).",
)
@click.option(
    "--engine",
    default=LOCAL,
    show_default=True,
    metavar="local|ray|ray://HOST:PORT",
    help="Where the parts are made: 'local', one by one in this process; 'ray', in parallel on this machine, on as many "
    "cores as --threads says; or the address of a Ray cluster's client server, to use all cores of the cluster.",
)
@click.option("--resume", is_flag=True, help="Continue an unfinished archive of many parts, from the same source.")
@click.option(
    "--strict",
    is_flag=True,
    help="End with exit code 3 if any file could not be read or was stored unmodelled: without a network.",
)
@force_option
@device_option
@json_option
@work_options
@click.pass_context
def command(
    context: click.Context,
    paths: tuple[str, ...],
    dataset: str | None,
    root: Path | None,
    split: str | None,
    download: bool,
    names: str,
    exact_files: bool,
    models: tuple[str, ...],
    carry: bool,
    adapt: float | None,
    access: str,
    block_size: int | None,
    effort: int | None,
    verify: bool,
    parts: int | None,
    engine: str,
    resume: bool,
    strict: bool,
    force: bool,
    device: str,
    as_json: bool,
) -> int:
    """Compress the directory SOURCE into the file ARCHIVE, or - for standard output.

    All files are restored: images with identical pixels, mode, palette and metadata, in newly written files; other files,
    and with --exact-files images too, byte for byte. Images that lossless WebP or their own file holds in fewer bytes than
    the networks are stored that way. Symbolic links and special files are not stored; each is reported.
    """
    if len(paths) != (1 if dataset else 2):
        raise click.UsageError("give a directory and an archive, or --dataset and an archive")
    if bool(dataset) != bool(root) or ((split or download) and not dataset):
        raise click.UsageError("--dataset and --root need each other; --split and --download need both")
    archive: Path = FILE.convert(paths[-1], None, None)
    if parts is None and (engine != LOCAL or resume):
        raise click.UsageError("--engine and --resume need --parts")
    if engine.startswith("ray://") and context.get_parameter_source("threads") is not ParameterSource.DEFAULT:
        raise click.UsageError("a Ray cluster uses all of its cores; leave out --threads")
    if parts is not None and (dataset or archive == STREAM):
        raise click.UsageError(
            "--parts reads files and writes a directory; leave out --dataset, and do not write to standard output"
        )
    if archive == STREAM and as_json:
        raise click.UsageError("standard output takes the archive or --json, not both")

    from acncodec.api import AUTO, compress
    from acncodec.archive.atomic import refuse_occupied
    from acncodec.images.source import Folder
    from acncodec.packing.datasets import open_dataset
    from acncodec.planning.tour import DEFAULT_EFFORT

    if archive != STREAM and parts is None:
        refuse_occupied(archive, force)  # now, not after a data set has been read
    source: Source | str = paths[0]
    if dataset and root:
        source = open_dataset(dataset, root, split, download)
    elif parts is None:
        source = Folder(Path(paths[0]))
    forecast = Forecast(checks=verify)
    with writable(archive) as target, Bars() as bars:
        done = compress(
            source,
            target,
            names=names,
            exact_files=exact_files,
            models=models or (AUTO,),
            embed_model=carry,
            adapt=adapt or 0.0,
            access=access,
            block_size=block_size,
            effort=effort or DEFAULT_EFFORT,
            verify=verify,
            overwrite=force,
            device=choose_device(device).type if parts is None else device,  # else every process chooses its own
            progress=bars,
            parts=parts,
            engine=engine,
            resume=resume,
            estimated=forecast if as_json or settings.level >= 0 else None,
        )
    _report(done, archive, forecast.estimate)
    if as_json or settings.level >= 0:
        show({**done.info, **_times(done, forecast.estimate)}, as_json, err=archive == STREAM)
    return EXIT_UNMODELLED if strict and (done.unmodelled or done.unreadable) else 0


def _times(done: "Compressed", estimate: "Estimate | None") -> dict[str, float | None]:
    """Seconds for coding and restoring, measured and as they were estimated, for --json."""
    return {
        "encode_seconds": done.encoding_seconds,
        "decode_seconds": done.decoding_seconds,
        "estimated_encode_seconds": estimate.encode_seconds if estimate else None,
        "estimated_decode_seconds": estimate.decode_seconds if estimate else None,
    }


def _collisions(found: "Collisions") -> str:
    """A sentence with their number and the first ones."""
    from acncodec.images.escapes import escape

    pairs = [f"'{escape(first)}' and '{escape(second)}'" for first, second in found.examples]
    pairs += ["..."] if found.count > len(pairs) else []
    what = "path differs from another" if found.count == 1 else "paths differ from others"
    return f"{found.count:,} {what} only in case or Unicode form, which some file systems ignore: {', '.join(pairs)}"


def _report(done: "Compressed", archive: Path, estimate: "Estimate | None") -> None:
    """Print what was left out, the sizes, and how long restoring takes."""
    from acncodec.images.escapes import escape

    for path, reason in done.not_stored:
        warn(f"not stored: {escape(path)} ({reason})")
    if len(done.not_stored) > 1:
        skipped = len(done.not_stored) - done.unreadable
        warn(f"not stored: {skipped:,} left out on purpose and {done.unreadable:,} unreadable, in all")
    if done.collisions.count:
        warn(_collisions(done.collisions))
    place = "standard output" if archive == STREAM else f"'{archive}'"
    say(f"{done.files:,} files of {done.source_bytes:,} bytes -> {done.size:,} bytes in {place}")
    if done.decoding_seconds is not None and done.decoding_seconds >= TOLD_SECONDS:
        say(f"restoring takes about {duration(done.decoding_seconds)} on this machine, as long as the check took")
    elif done.decoding_seconds is None and estimate is not None and estimate.decode_seconds >= TOLD_SECONDS:
        say(f"restoring will take about {duration(estimate.decode_seconds)} on this machine")
    if done.without_names:
        sizes = [
            f"with --names {names} about {size:,} ({size / done.size - 1:+.1%})"
            for names, size in done.without_names.items()
        ]
        say(f"this keeps names and their order; {', '.join(sizes)}")
