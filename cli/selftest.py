"""acncodec selftest"""

import json

import click

from .console import write
from .options import choose_device, device_option, json_option, talk_options


@click.command("selftest")
@device_option
@json_option
@talk_options
def command(device: str, as_json: bool) -> None:
    """Check that this machine computes exactly what every other does, and measure its speed.

    Fixed networks are evaluated over whole images and pixel by pixel, with several numbers of threads, without oneDNN and
    NNPACK, with each of the processor's instruction sets and on every CUDA device; each result must have the same hash. For
    the speed, images of noise are coded with every model that is found.
    """
    from acncodec.analysis.timing import timings
    from acncodec.coding.selftest import checks
    from acncodec.errors import ExactnessError

    on, results = choose_device(device), []
    for name, passed in checks(on):
        results.append({"check": name, "ok": passed})
        write(f"{'ok    ' if passed else 'FAILED'}  {name}")
    failed = [r["check"] for r in results if not r["ok"]]
    times = []
    if not failed:
        write(f"\n{'28x28 images a second':24}{'lanes':>8}{'encoded':>10}{'decoded':>10}")
        for row in timings(on):
            times.append(row._asdict())
            write(f"{row.model:24}{row.lanes:8}{row.encoded:10.0f}{row.decoded:10.0f}")
    if as_json:
        click.echo(json.dumps({"ok": not failed, "checks": results, "timings": times}))
    if failed:
        raise ExactnessError(f"this machine's arithmetic is not exact: {failed[0]}; do not code with it")
