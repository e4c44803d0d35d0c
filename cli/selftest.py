"""acncodec selftest"""

import json

import click

from .options import choose_device, device_option, json_option


@click.command("selftest")
@device_option
@json_option
def command(device: str, as_json: bool) -> None:
    """Check that this machine computes exactly what every other does.

    Fixed networks are evaluated by both passes, over thread counts, with oneDNN and NNPACK off, over the processor's
    instruction sets and on every CUDA device; each result must hash to the same constant.
    """
    from acncodec.coding.selftest import checks
    from acncodec.errors import ExactnessError

    results = []
    for name, passed in checks(choose_device(device)):
        results.append({"check": name, "ok": passed})
        click.echo(f"{'ok    ' if passed else 'FAILED'}  {name}", err=True)
    failed = [r["check"] for r in results if not r["ok"]]
    if as_json:
        click.echo(json.dumps({"ok": not failed, "checks": results}))
    if failed:
        raise ExactnessError(f"this machine's arithmetic is not exact: {failed[0]}; do not code with it")
