"""Human-readable output: an archive's description, and files that were lost."""

import json
from typing import TYPE_CHECKING, Any

import click

from acncodec.errors import EXIT_DAMAGED

from .console import say, warn

if TYPE_CHECKING:
    from acncodec.block.estimate import Estimate
    from acncodec.reading.decompress import Outcome

ORDERS = {
    "tour": "sent along a tour, each given its parent",
    "names": "sent in the order of names, each given its parent",
    "unordered": "sent in the order of names, each on its own",
    "unordered tour": "sent along a tour, each on its own",
}
PROMISES = {
    "pixels": "identical images: pixels, mode, palette and metadata, in newly written files; other files byte for byte",
    "bytes": "identical files, byte for byte",
}
NAMES = {
    "keep": "every path comes back",
    "folders": "folders come back, images in them numbered",
    "drop": "dropped, images come back numbered",
}
METHODS = {"coded": "modelled", "webp": "stored as WebP", "raw": "stored as raw samples", "file": "stored unchanged"}
LONG_SECONDS = 10  # of work, from which it is told before how long it will take
SHOWN = 6  # kinds of images, the most frequent ones
MODELLED = "residual", "latent", "schedule ends", "coder state"  # lines of the ledger that are modelled images alone


def show(description: dict[str, Any], as_json: bool, err: bool = False) -> None:
    """Print a description as one JSON object or as a report, on stdout or on stderr."""
    click.echo(json.dumps(description) if as_json else text(description), err=err)


def text(d: dict[str, Any]) -> str:
    """The report: what the archive holds, then its ledger."""
    parts = f" in {d['parts']:,} parts and a manifest" if d["parts"] > 1 else ""
    lines = [f"size      {d['file_bits'] // 8:,} bytes{parts}", f"files     {d['files']:,}{_extras(d)}{_each(d)}"]
    if d["images"]:
        bits = sum(line["bits"] for line in d["ledger"] if line["part"] in MODELLED)
        lines.append(
            f"images    {d['images']:,} modelled: {bits / d['images']:,.2f} bits each, {bits / d['dims']:.4f} a sub-pixel"
        )
    kinds = d["kinds"][:SHOWN]
    for i, k in enumerate(kinds):
        size = f" of {k['width']}x{k['height']}, {k['mode']}" if k["width"] else ""
        lines.append(f"{'kinds' if i == 0 else '':9} {k['count']:,}{size}: {METHODS[k['method']]}")
    if len(d["kinds"]) > SHOWN:
        lines.append(f"{'':9} and {len(d['kinds']) - SHOWN:,} more kinds")
    lines.append(f"promise   {PROMISES[d['promise']]}")
    lines.append(f"names     {NAMES[d['names']]}")
    if d["images"]:
        orders = "; ".join(ORDERS[order] for order in d["orders"])
        lines.append(f"order     {orders}; {len(d['blocks']):,} {'block' if len(d['blocks']) == 1 else 'blocks'}")
    for model in d["models"]:
        place = "in the archive" if model["carried"] else "not part of the archive"
        size = f"{model['bytes']:,} bytes, {place}" if model["bytes"] else "not found on this machine"
        lines.append(f"model     {model['name']} {model['sha256'][:16]} ({size})")
    lines += ["", f"{'where the bits go':20}{'bits':>14}{'share':>9}{'an image':>11}{'theory':>14}"]
    for line in d["ledger"]:
        theory = "" if line["theory_bits"] is None else f"{line['theory_bits']:,.0f}"
        each = f"{line['bits'] / d['images']:.3f}" if d["images"] else ""
        share = line["bits"] / d["file_bits"]
        lines.append(f"  {line['part']:18}{line['bits']:>14,}{share:>9.2%}{each:>11}{theory:>14}")
    lines.append(f"  {'sum':18}{d['file_bits']:>14,}")
    return "\n".join(lines)


def _each(d: dict[str, Any]) -> str:
    return f": {d['file_bits'] / d['files']:,.1f} bits of the archive each" if d["files"] else ""


def _extras(d: dict[str, Any]) -> str:
    parts = [f"{d['duplicates']:,} of them duplicates"] if d["duplicates"] else []
    parts += [f"empty directories: {d['empty']:,}"] if d["empty"] else []
    return f" ({', '.join(parts)})" if parts else ""


def duration(seconds: float) -> str:
    """Seconds as text, in minutes or hours if there are at least two."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


class Forecast:
    """Prints an estimate before long work, and keeps it for --json; `checks`: a new archive will be decoded, too."""

    def __init__(self, checks: bool = False) -> None:
        self.estimate: Estimate | None = None
        self._checks = checks

    def __call__(self, estimate: "Estimate") -> None:
        self.estimate = estimate
        encode, decode = estimate.encode_seconds, estimate.decode_seconds
        waited = (encode or 0.0) + (decode if encode is None or self._checks else 0.0)
        if waited < LONG_SECONDS:
            return
        images = f"{estimate.images:,} {'image' if estimate.images == 1 else 'images'}"
        if encode is None:
            say(f"{images} to decode: about {duration(decode)}")
            return
        restoring = f"restoring will take about {duration(decode)}{', and so will the check' if self._checks else ''}"
        say(f"{images} to code with {', '.join(estimate.models)}: about {duration(encode)}; {restoring}")

    def times(self, seconds: float) -> dict[str, float | None]:
        """Seconds that decoding took and was estimated to take, for --json."""
        return {"seconds": seconds, "estimated_seconds": self.estimate.decode_seconds if self.estimate else None}


def outcome_code(outcome: "Outcome") -> int:
    """Warn of each lost file; returns the exit code."""
    from acncodec.images.escapes import escape

    for name, reason in outcome.lost:
        warn(f"lost: {escape(name)} ({reason})")
    return EXIT_DAMAGED if outcome.lost else 0
