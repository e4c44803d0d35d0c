"""Writes figures into README.md and docs/: python docs/figures.py. A test says if a page is stale.

They come from benchmarks/results/*.json and from the bundled models. In a page a table that is made stands between
`<!-- NAME -->` and `<!-- end of NAME -->`; behind a figure in a sentence a comment names it: 1.0215<!-- mnist-8bit -->.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acncodec import bundled
from acncodec.nets.model import Model

ROOT = Path(__file__).parent.parent
TABLE = re.compile(r"^<!-- ([\w-]+) -->\n.*?^<!-- end of \1 -->$", re.MULTILINE | re.DOTALL)
FIGURE = re.compile(r"\d[\d.,]*( \([\d-]+\))?<!-- (?P<name>[\w-]+) -->")
APART = {"LOG.md", "ARCHITECTURE.md"}  # a log stays as it is; the other is written by reference.py

MODELS: dict[str, Model] = {path.stem: bundled.load(path) for path in sorted(bundled.FOLDER.glob(f"*{bundled.SUFFIX}"))}
TEST_SETS = {"mnist-1bit": "MNIST, 1-bit", "mnist-8bit": "MNIST, 8-bit", "cifar10": "CIFAR-10"}


def result(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


SETS, ORDERED = result("sets")["sets"], result("ordered_vs_unordered")
DIRECTORIES, PEERS = result("directories"), result("peers")
DRAWINGS = result("drawings")["tiles"]
PHOTOGRAPHS = {"photo-rgb": result("photographs"), "photo-grey": result("photographs-grey")}


def table(head: list[str], *rows: list[str]) -> str:
    """In columns, so that it can be read as it is."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def dated(made: str, *runs: dict[str, str], where: bool = False) -> str:
    """A table, when it was measured, and if asked for on what machines."""
    dates = sorted({run["date"] for run in runs})
    words = [f"Measured {dates[0]}" + (f" to {dates[-1]}" if len(dates) > 1 else "")]
    words += sorted({run["machine"].rpartition(", ")[0] for run in runs}) if where else []
    note = " Figures with a date are of that day, under an earlier model." * any(f"({date})" in made for date in dates)
    return f"{made}\n\n{', '.join(words)}.{note}"


def earlier(name: str, size: int, run: dict[str, str]) -> str:
    """What follows a figure of a model of this name and size: the date, if a newer model has replaced that one since."""
    return "" if name in MODELS and MODELS[name].size == size else f" ({run['date']})"


def row_of(rows: list[dict[str, Any]], **wanted: str) -> dict[str, Any]:
    return next(row for row in rows if wanted.items() <= row.items())


def peer(name: str, codec: str, arrangement: str) -> dict[str, Any]:
    return row_of(PEERS[name]["rows"], codec=codec, arrangement=arrangement)


def in_set(name: str) -> float:
    """Bits a value of a test set, names dropped."""
    return SETS[name]["bits"] / SETS[name]["values"]


def set_figure(name: str, with_model: bool = False) -> str:
    found = SETS[name]
    ((model, size),) = found["models"].items()
    value = in_set(name) + with_model * 8 * size / found["values"]
    return f"{value:.4f}{earlier(model, size, found['provenance'])}"


def jpeg_xl(name: str) -> float:
    return SETS[name]["jpeg_xl_bits"] / SETS[name]["values"]


def drawings(codec: str, arrangement: str) -> float:
    """Bits a value of drawings of two alphabets that no model was trained on."""
    return peer("omniglot_unseen", codec, arrangement)["bits"] / PEERS["omniglot_unseen"]["samples"]


def photographs(model: str, codec: str) -> float:
    """Bits a value of the four photographs."""
    rows = PHOTOGRAPHS[model]["photographs"].values()
    return sum(row["bits"][codec] for row in rows) / sum(row["values"] for row in rows)


# Tables


def sizes() -> str:
    """Bits a value of whole files of the test sets."""
    colour = DIRECTORIES["cifar10"]

    def other(title: str, codec: str, arrangement: str, last: float) -> list[str]:
        found = (ORDERED["sets"][name]["classical"] for name in ("mnist-1bit", "mnist-8bit"))
        values = (row_of(rows, codec=codec, arrangement=arrangement)["bits_per_sub_pixel"] for rows in found)
        return [title, *(f"{value:.4f}" for value in (*values, last))]

    def named(title: str, kind: str) -> list[str]:
        cells = []
        for found in (ORDERED["sets"][name] for name in TEST_SETS):
            value = row_of(found["files"], file=kind)["bits_per_sub_pixel"]
            cells.append(f"{value:.4f}{earlier(found['model']['name'], found['model']['bytes'], ORDERED['provenance'])}")
        return [title, *cells]

    webp = 8 * colour["classical"]["bytes"]["WebP lossless of each image"] / colour["samples"]
    made = table(
        ["", *TEST_SETS.values()],
        other("PNG, each image", "PNG", "per image", 8 * colour["bytes"] / colour["samples"]),
        other("WebP, lossless: one mosaic (CIFAR-10: each image)", "WebP", "mosaic", webp),
        other("JPEG XL, mosaics, effort 10 (CIFAR-10: 9)", "JPEG XL e10", "mosaic", jpeg_xl("cifar10")),
        named("acncodec, every path restored", "named"),
        named("acncodec, folders kept, images numbered", "folders"),
        ["acncodec, names dropped", *(set_figure(name) for name in TEST_SETS)],
        ["the same, the model in the file", *(set_figure(name, with_model=True) for name in TEST_SETS)],
    )
    runs = [SETS[name]["provenance"] for name in TEST_SETS]
    return dated(made, *runs, ORDERED["provenance"], colour["classical"]["provenance"])


def time(name: str, codec: str, arrangement: str) -> str:
    """To restore a set, WebP's being 1."""
    ratio = peer(name, codec, arrangement)["decode_seconds"] / peer(name, "WebP", "per image")["decode_seconds"]
    return f"{ratio:#.2g}".rstrip(".")


def times() -> str:
    def row(title: str, codec: str, arrangement: str) -> list[str]:
        cells = []
        for name, model in zip(TEST_SETS, ("mnist-1bit", "mnist-8bit", "photo-rgb"), strict=True):
            found = peer(name, codec, arrangement)
            then = earlier(model, found["model_bytes"], PEERS[name]["provenance"]) if "model_bytes" in found else ""
            cells.append(time(name, codec, arrangement) + then)
        return [title, *cells]

    made = table(
        ["time to restore, WebP = 1", *TEST_SETS.values()],
        row("PNG", "PNG", "per image"),
        row("JPEG XL, mosaics, effort 9", "JPEG XL e9", "mosaic"),
        row("acncodec, names dropped", "acncodec", "names: drop"),
    )
    return dated(made, *(PEERS[name]["provenance"] for name in TEST_SETS), where=True)


def beside_jpeg_xl() -> str:
    def row(title: str, ours: float, theirs: float, *shown: str) -> list[str]:
        mine, carrying = shown or (f"{ours:.4f}", "")
        return [title, mine, f"{theirs:.4f}", f"{100 * (ours / theirs - 1):+.1f} %", carrying]

    drawn, values = peer("omniglot_unseen", "acncodec", "names: drop"), PEERS["omniglot_unseen"]["samples"]
    then = earlier("glyphs", drawn["model_bytes"], PEERS["omniglot_unseen"]["provenance"])
    shown = [f"{bits / values:.4f}{then}" for bits in (drawn["bits"], drawn["bits"] + 8 * drawn["model_bytes"])]
    sets = {**TEST_SETS, "imagenet32": "a stand-in for ImageNet, 32x32"}
    made = table(
        ["bits a sample", "acncodec", "JPEG XL, effort 9", "", "acncodec, the model in the file"],
        *(
            row(title, in_set(name), jpeg_xl(name), set_figure(name), set_figure(name, with_model=True))
            for name, title in sets.items()
        ),
        row("drawings of two alphabets, 1-bit", drawn["bits"] / values, drawings("JPEG XL e9", "mosaic"), *shown),
        *(
            row(title, photographs(name, name), photographs(name, "JPEG XL effort 9"))
            for name, title in (("photo-rgb", "four whole photographs"), ("photo-grey", "the same in grey"))
        ),
    )
    runs = [*(SETS[name] for name in sets), PEERS["omniglot_unseen"], *PHOTOGRAPHS.values()]
    return dated(made, *(run["provenance"] for run in runs))


def speed() -> str:
    """Images a second of whole commands."""
    run, rows = ORDERED["provenance"], []
    for name, title in zip(TEST_SETS, ("1-bit, 28x28", "8-bit grey, 28x28", "RGB, 32x32"), strict=True):
        found = ORDERED["sets"][name]
        row, then = row_of(found["files"], file="unordered"), earlier(found["model"]["name"], found["model"]["bytes"], run)
        rows.append([title, *(f"{row[f'{way}_images_per_second']:,.0f}{then}" for way in ("encode", "decode"))])
    return dated(table(["images a second", "compress", "restore"], *rows), run, where=True)


def memory() -> str:
    """Peak memory of whole commands."""
    growth, colour = result("growth"), DIRECTORIES["cifar10"]["acncodec"]
    digits, photos = growth["counts"]["60000"], colour["rows"]["set"]
    then = earlier("photo-rgb", photos["models"][0]["bytes"], colour["provenance"])
    made = table(
        ["peak memory", "compress", "restore"],
        ["60,000 1-bit digits", *(f"{digits[f'{way}_mib']:,.0f} MiB" for way in ("encode", "decode"))],
        [
            "10,000 images of CIFAR-10",
            *(f"{photos[f'{way}_rss_mib']:,.0f} MiB{then}" for way in ("encode", "decode")),
        ],
    )
    return dated(made, growth["provenance"], colour["provenance"])


def purpose(name: str) -> str:
    """What a model is for, by its card."""
    found = re.search(r"^For (.+?)\. File", (bundled.FOLDER / f"{name}.md").read_text(), re.MULTILINE)
    assert found, name
    return found[1]


def models() -> str:
    rows = [[f"`{name}`", purpose(name), f"{model.size / 1e6:.2f} MB"] for name, model in MODELS.items()]
    return table(["model", "for", "size"], *rows)


def models_at_length() -> str:
    """What the model files say of themselves, and what was measured under them."""
    measured = {
        **{model: f"{title}: {set_figure(name)}" for name, title in TEST_SETS.items() for model in SETS[name]["models"]},
        "photo-grey": f"four photographs: {photographs('photo-grey', 'photo-grey'):.4f}",
        "glyphs": f"two other alphabets: {drawings('acncodec', 'names: drop'):.4f}",
    }
    rows = [
        [
            f"[`{name}`](../acncodec/bundled/{name}.md)",
            f"{model.size:,}",
            f"{model.record['images']:,}",
            f"{model.record['minutes']:.0f}" + " more" * ("from" in model.record),
            f"{model.record['held_out_residual_nats']:,.2f} + {model.record['held_out_kl_nats']:.2f}",
            measured.get(name, "on its card"),
        ]
        for name, model in MODELS.items()
    ]
    head = ["", "file, bytes", "training images", "minutes", "held out: residual + KL, nats an image"]
    return table([*head, "test set: bits a sample"], *rows)


def lanes() -> str:
    """Shares of the floor by lanes of a step."""
    found = result("speed")["models"]
    kinds = {"mnist-1bit": "1-bit, encode / decode", "mnist-8bit": "8-bit", "photo-rgb": "colour"}
    rows = [
        [f"{count} lane{'s' * (count > 1)}", *(found[name]["shares_by_lanes"][str(count)] for name in kinds)]
        for count in (1, 16, 64, 128, 512)
    ]
    whole = [{way: found[name][f"{way}_share_of_floor"] for way in ("encode", "decode")} for name in kinds]
    rows.append(["all of Alice's or Bob's work, with ramps and planning", *whole])
    shown = [[title, *(f"{100 * s['encode']:.0f} % / {100 * s['decode']:.0f} %" for s in cells)] for title, *cells in rows]
    return dated(table(["a step of", *kinds.values()], *shown), result("speed")["provenance"], where=True)


def scale_bits() -> str:
    """Bits by number of parts, and in brackets those of parts at random."""
    found, rows = result("scale")["bits"], []
    for name, title in (("MNIST, 1-bit", "60,000 digits, 1-bit"), ("CIFAR-10", "50,000 photographs of CIFAR-10")):
        of = found["found"][name]["rows"]
        for part, what in (("latent", f"{title}: latents"), ("file", "all")):
            parts = [
                f"{of[f'{n} parts, by code'][part]:,.2f} ({of[f'{n} parts, at random'][part]:,.2f})" for n in (4, 16, 64)
            ]
            rows.append([what, f"{of['one archive'][part]:,.2f}", *parts])
    return dated(table(["", "one archive", "4 parts", "16 parts", "64 parts"], *rows), found["provenance"])


def scale_growth() -> str:
    """Seconds and memory by number of images."""
    found = result("scale")["growth"]
    runs = found["found"].values()

    def seconds(run: dict[str, Any]) -> str:
        return ", ".join(f"{run['stages'][stage]['seconds']:.1f}" for stage in ("codes", "exchange", "code"))

    made = table(
        ["images", *(f"{int(count):,}" for count in found["found"])],
        ["seconds", *(f"{run['seconds']:.0f}" for run in runs)],
        ["of these `codes`, `exchange`, `code`", *map(seconds, runs)],
        ["peak memory in any stage", *(f"{max(s['mib'] for s in run['stages'].values()):.0f} MiB" for run in runs)],
    )
    return dated(made, found["provenance"])


TABLES: dict[str, Callable[[], str]] = {
    "sizes": sizes,
    "times": times,
    "beside-jpeg-xl": beside_jpeg_xl,
    "speed": speed,
    "memory": memory,
    "models": models,
    "models-at-length": models_at_length,
    "lanes": lanes,
    "scale-bits": scale_bits,
    "scale-growth": scale_growth,
}


def figures() -> dict[str, str]:
    """Those within sentences."""
    restoring = sorted((time(name, "acncodec", "names: drop") for name in TEST_SETS), key=float)
    less = {name: 1 - photographs(name, name) / photographs(name, "JPEG XL effort 9") for name in PHOTOGRAPHS}
    latents = ORDERED["sets"]["mnist-1bit"]["theory_bits_per_image"]
    adapted, loading = result("adapting")["omniglot_small"], result("loading")["rows"]
    whole = row_of(loading, source="archive")
    in_small_blocks = row_of(loading, source="archive for random access, shuffled")
    at_random = row_of(loading, source="archive for random access, one image at random")
    busy = result("busy")["seconds"]["beside other work"]
    passive, active = (busy[setting].values() for setting in ("as the command chooses", "OMP_WAIT_POLICY=active"))
    spinning = [after / before for before, after in zip(passive, active, strict=True)]
    return {
        **{name: set_figure(name) for name in TEST_SETS},
        "least-time": restoring[0],
        "most-time": restoring[-1],
        "photographs": f"{100 * less['photo-rgb']:.1f}",
        "photographs-grey": f"{100 * less['photo-grey']:.1f}",
        "tiles": f"{100 * (1 - DRAWINGS['acncodec']['bytes'] / min(DRAWINGS['others'].values())):.1f}",
        "latent-along-tour": f"{latents['KL along the tour']:.1f}",
        "latent-unconditional": f"{latents['KL unconditional']:.1f}",
        "before-adapting": f"{adapted['plain']['bytes']:,}",
        "adapted": f"{adapted['adapted']['bytes']:,}",
        "adapted-model": f"{adapted['adapted']['model_bytes']:,}",
        "random-access": f"{100 * (in_small_blocks['bytes'] / whole['bytes'] - 1):.1f}",
        "random-seconds": f"{at_random['seconds_an_image']:.2f}",
        "spinning-least": f"{min(spinning):.1f}",
        "spinning-most": f"{max(spinning):.1f}",
        "fuzz-cases": f"{result('fuzz')['cases']:,}",
    }


def written(text: str, known: dict[str, str]) -> str:
    """A page with its tables and figures as they are. Raises KeyError for a name that is not known."""
    text = TABLE.sub(lambda at: f"<!-- {at[1]} -->\n{TABLES[at[1]]()}\n<!-- end of {at[1]} -->", text)
    return FIGURE.sub(lambda at: f"{known[at['name']]}<!-- {at['name']} -->", text)


def pages() -> dict[Path, str]:
    """All pages that may have figures, each as it should be."""
    paths = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    known = figures()
    return {path: written(path.read_text(), known) for path in paths if path.name not in APART}


if __name__ == "__main__":
    for page, made in pages().items():
        page.write_text(made)
