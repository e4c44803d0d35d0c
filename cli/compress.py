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
    help="Compress a data set of torchvision instead of a directory, its images in folders by split and class.",
)
@click.option("--root", type=FILE, help="Where torchvision keeps the data set.")
@click.option("--split", help="Of the data set: 'train' or 'test' alone, or what else torchvision calls one.")
@click.option("--download", is_flag=True, help="Let torchvision download the data set if it is not there.")
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
    help="Restore identical files, not just identical images: what cannot be rewritten byte for byte is stored as it is.",
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
    help="Fine-tune the models on these images for so long and store the differences, if that makes the archive smaller.",
)
@click.option(
    "--access",
    type=click.Choice(["sequential", "random"]),
    default="sequential",
    show_default=True,
    help="How images will be read. 'random' makes blocks small, so that one image is decoded in a fraction of a second: "
    "photographs take some 0.3 % more, digits more.",
)
@click.option(
    "--block-size",
    type=click.IntRange(min=1),
    metavar="IMAGES",
    help="Images that are coded together, 16384 or by --access unless given: damage spreads, and extraction decodes, no "
    "further. Small blocks cost bits.",
)
@click.option(
    "--effort",
    type=click.IntRange(1, 9),
    metavar="1-9",
    help="How long to look for a good order of the images, 5 unless given; from 6 on each step takes several times as long "
    "for some 0.1 % of small images' bits.",
)
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Decode the finished archive and check every hash before it appears.",
)
@click.option(
    "--parts",
    type=click.IntRange(min=1),
    metavar="N",
    help="Make ARCHIVE a directory of so many archives and a manifest. Similar images meet in one part. SOURCE may then "
    "also be a list of paths below its own folder (.txt), tar files (.tar, with * or {000..099}), each of which becomes a "
    "folder, or anything that fsspec reads, as s3://BUCKET/PATH (with s3fs installed). Not with --adapt.",
)
@click.option(
    "--engine",
    default=LOCAL,
    show_default=True,
    metavar="local|ray|ray://HOST:PORT",
    help="Where parts are made: in this process; by Ray on this machine, on as many cores as --threads says; or by a Ray "
    "cluster, on all of its cores, by the address of its client server.",
)
@click.option("--resume", is_flag=True, help="Resume an unfinished archive of many parts, from the same source.")
@click.option("--strict", is_flag=True, help="End with exit code 3 if any file was stored unmodelled or could not be read.")
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

    Every file comes back. Images come back with identical pixels, mode, palette and metadata in a file that is written
    anew; with --exact-files, and whatever is not an image, byte for byte. What the networks do not code smaller than WebP
    or the file itself is kept that way. Symbolic links and special files are not stored, and are reported.
    """
    if len(paths) != (1 if dataset else 2):
        raise click.UsageError("give a directory and an archive, or --dataset and an archive")
    if bool(dataset) != bool(root) or ((split or download) and not dataset):
        raise click.UsageError("--dataset and --root belong together, --split and --download to them")
    archive: Path = FILE.convert(paths[-1], None, None)
    if parts is None and (engine != LOCAL or resume):
        raise click.UsageError("--engine and --resume belong to --parts")
    if engine.startswith("ray://") and context.get_parameter_source("threads") is not ParameterSource.DEFAULT:
        raise click.UsageError("--threads is for this machine; a Ray cluster gives all of its cores")
    if parts is not None and (dataset or archive == STREAM):
        raise click.UsageError("--parts needs a source of files and a directory to write to")
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
        warn(f"not stored in all: {skipped:,} left out on purpose, {done.unreadable:,} that could not be read")
    if done.collisions.count:
        warn(_collisions(done.collisions))
    place = "standard output" if archive == STREAM else f"'{archive}'"
    say(f"{done.files:,} files of {done.source_bytes:,} bytes -> {done.size:,} bytes in {place}")
    if done.decoding_seconds is not None and done.decoding_seconds >= TOLD_SECONDS:
        say(f"restoring takes about {duration(done.decoding_seconds)} on this machine, as the check did")
    elif done.decoding_seconds is None and estimate is not None and estimate.decode_seconds >= TOLD_SECONDS:
        say(f"restoring will take about {duration(estimate.decode_seconds)} on this machine")
    if done.without_names:
        shares = [
            f"--names {names} about {size:,} ({size / done.size - 1:+.1%})" for names, size in done.without_names.items()
        ]
        say(f"names and their order are kept; {', '.join(shares)}")
