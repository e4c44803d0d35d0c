"""An archive's description as text for people."""

import json
from typing import Any

import click

ORDERS = {
    "tour": "sent along a tour, each given its parent",
    "names": "sent in the order of names, each given its parent",
    "unordered": "sent in the order of names, each on its own",
    "unordered tour": "sent along a tour, each on its own",
}


def show(description: dict[str, Any], as_json: bool) -> None:
    """Print a description as one JSON object or as a report."""
    click.echo(json.dumps(description) if as_json else text(description))


def text(d: dict[str, Any]) -> str:
    """The report: what the archive holds, then its ledger."""
    lines = [f"size      {d['file_bits'] // 8:,} bytes"]
    if d["images"]:
        lines.append(
            f"images    {d['images']:,} modelled: {d['bits_per_image']:.2f} bits an image, "
            f"{d['bits_per_dim']:.4f} bits a sub-pixel"
        )
    kinds = [f"{g['count']:,} of {g['width']}x{g['height']} mode {g['mode']}" for g in d["groups"][:4]]
    if len(d["groups"]) > 4:
        kinds.append(f"{len(d['groups']) - 4:,} more kinds")
    if kinds:
        lines.append(f"kinds     {', '.join(kinds)}")
    lines.append(f"stored    {d['stored']:,} files as they are")
    lines.append("promise   identical pixels; image files are written anew, stored files are identical bytes")
    names = "every path comes back" if d["names"] == "keep" else "dropped, images come back numbered"
    lines.append(f"names     {names}; {ORDERS[d['order']]}")
    for model in d["models"]:
        size = f"{model['bytes']:,} bytes, not part of the archive" if model["bytes"] else "not found on this machine"
        lines.append(f"model     {model['name']} {model['sha256'][:16]} ({size})")
    lines += ["", f"{'where the bits go':20}{'bits':>14}{'share':>9}{'a image':>11}{'theory':>14}"]
    for line in d["ledger"]:
        theory = "" if line["theory_bits"] is None else f"{line['theory_bits']:,.0f}"
        each = f"{line['bits'] / d['images']:.3f}" if d["images"] else ""
        share = line["bits"] / d["file_bits"]
        lines.append(f"  {line['part']:18}{line['bits']:>14,}{share:>9.2%}{each:>11}{theory:>14}")
    lines.append(f"  {'sum':18}{d['file_bits']:>14,}")
    return "\n".join(lines)
