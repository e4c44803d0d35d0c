"""How good estimated times are: estimated over actual seconds of compressing, restoring and checking directories.

    python -m benchmarks.estimates DIRECTORY... [--processor]

With --processor all times are processor time of one thread, which other programs hardly change. Prints a Markdown table.
"""

import tempfile
import time
from pathlib import Path

import click
import faiss
import torch

from acncodec import api
from acncodec.block.estimate import Estimate
from acncodec.progress import unwatched
from acncodec.reading.decompress import check
from acncodec.reading.parts import Parts


def measure(directory: Path) -> tuple[Estimate, list[float]]:
    """The estimate before coding, and estimated over actual seconds of encoding, of the check and of a test."""
    told: list[Estimate] = []
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "a.acn")
        done = api.compress(directory, archive, estimated=told.append)
        start = time.monotonic()
        with Parts(archive) as parts:
            check(parts, progress=unwatched, estimated=told.append)
        tested = time.monotonic() - start
    if len(told) < 2:
        raise click.ClickException(f"'{directory}' is too little work for an estimate")
    before, after = told
    assert before.encode_seconds is not None
    assert done.encoding_seconds is not None
    assert done.decoding_seconds is not None
    estimated = before.encode_seconds, before.decode_seconds, after.decode_seconds
    actual = done.encoding_seconds, done.decoding_seconds, tested
    return before, [a / b for a, b in zip(estimated, actual, strict=True)]


@click.command()
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--processor", is_flag=True, help="Measure processor time of one thread.")
def main(directories: tuple[Path, ...], processor: bool) -> None:
    """Print estimated over actual seconds for each directory."""
    if processor:
        torch.set_num_threads(1)
        faiss.omp_set_num_threads(1)
        time.perf_counter = time.monotonic = time.process_time
    click.echo("| | estimated s, encode and restore | encode | restore | test |\n|---|---|---|---|---|")
    for directory in directories:
        estimate, ratios = measure(directory)
        seconds = f"{estimate.encode_seconds:.1f}, {estimate.decode_seconds:.1f}"
        click.echo(f"| {directory.name} | {seconds} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")


if __name__ == "__main__":
    main()
