"""Real file bits per image, ordered against unordered, beside theory and beside classical codecs, on the MNIST test set.

    python -m benchmarks.ordered_vs_unordered [--images 10000] [--data FOLDER] [--skip-classical]

Three files per set: *set* (names dropped, images come back in tour order), *named* (every path comes back) and *unordered*
(names dropped, latents under the unconditional prior, images in their given order). Every file is decoded and compared.
Writes ordered_vs_unordered.md and .json to benchmarks/results/.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image

from acncodec import bundled
from acncodec.codec.compress import compress
from acncodec.codec.decompress import decompress, open_archive
from acncodec.codec.info import describe
from acncodec.codec.plan import GroupPlan, Way, latent_bits, plan_group
from acncodec.coding.theory import kl_bits
from acncodec.nets.model import Model
from acncodec.planning.neighbours import nearest
from benchmarks import classical
from benchmarks.data import BINARISE_SEEDS, binarise, mnist, mnist_labels, write_pngs
from benchmarks.floor import matmul_rate, operations
from benchmarks.provenance import provenance

RESULTS = Path(__file__).parent / "results"
FILES = {"set": (False, Way.TOUR), "named": (True, None), "unordered": (False, Way.UNORDERED)}


def silent(stage: str, total: int) -> Callable[[int], None]:
    return lambda done: None


def theory(plan: GroupPlan, residual: float) -> dict[str, float]:
    """Bits an image: KL to one of the K nearest, along the tour, and unconditional; and the residual."""
    codes, count = plan.codes, len(plan.codes)
    _, found = nearest(codes, codes, 11)
    others = np.stack([row[row != i][:10] for i, row in enumerate(found)])
    result = {}
    for k in (1, 5, 10):
        total = 0.0
        for start in range(0, count, 512):
            child = torch.from_numpy(codes[start : start + 512])
            for rank in range(k):
                parents = torch.from_numpy(codes[others[start : start + 512, rank]]).float()
                total += float(kl_bits(child, plan.model.networks.mixture(parents)).sum()) / k
        result[f"KL, K={k}"] = total / count
    result["KL along the tour"] = latent_bits(plan, Way.TOUR) / count
    result["KL unconditional"] = latent_bits(plan, Way.UNORDERED) / count
    result["residual"] = residual
    return result


def same(first: Path, second: Path) -> bool:
    """Whether two image files hold the same mode and pixels."""
    with Image.open(first) as a, Image.open(second) as b:
        return (a.mode, a.size, a.tobytes()) == (b.mode, b.size, b.tobytes())


def check(source: Path, restored: Path, names: bool) -> None:
    """Raise unless all images came back: by name, or, names dropped, as the same multiset of pixels."""
    if names:
        files = [p.relative_to(source) for p in source.rglob("*.png")]
        assert len(files) == sum(1 for p in restored.rglob("*") if p.is_file())
        assert all(same(source / name, restored / name) for name in files)
    else:
        pixels = [sorted(Image.open(p).tobytes() for p in root.rglob("*.png")) for root in (source, restored)]
        assert pixels[0] == pixels[1]


def run_set(images: np.ndarray, labels: np.ndarray, bilevel: bool, model: Model, skip_classical: bool) -> dict:
    """All figures of one set, uint8 [N, 28, 28]."""
    count, height, width = images.shape
    dims = height * width
    rows = []
    rate = matmul_rate()
    floor = rate / operations(model, height, width)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "images"), Path(folder, "out.acn")
        write_pngs(images, labels, source, bilevel)
        residual = 0.0
        for name, (names, way) in FILES.items():
            start = time.perf_counter()
            compress(source, target, {model.arch.levels: model}, names=names, way=way, overwrite=True, progress=silent)
            encoded = time.perf_counter()
            restored = Path(folder, name)
            decompress(target, restored, [], torch.device("cpu"), progress=silent)
            decoded = time.perf_counter()
            check(source, restored, names)
            described = describe(open_archive(target), [])
            ledger = {line["part"]: line for line in described["ledger"]}
            assert sum(line["bits"] for line in described["ledger"]) == described["file_bits"] == 8 * target.stat().st_size
            parts = ["residual", "latent", "order"]
            ideal = sum(ledger[part]["theory_bits"] or 0 for part in parts) + ledger["names"]["bits"]
            residual = ledger["residual"]["theory_bits"] / count
            rows.append(
                {
                    "file": name,
                    "order": described["order"],
                    "bits_per_image": described["file_bits"] / count,
                    "bits_per_pixel": described["file_bits"] / count / dims,
                    "theory_bits_per_image": ideal / count,
                    "measured_minus_theory": described["file_bits"] / ideal - 1,
                    "ends_and_state": (ledger["schedule ends"]["bits"] + ledger["coder state"]["bits"])
                    / described["file_bits"],
                    "with_model_bits_per_image": (described["file_bits"] + 8 * model.size) / count,
                    "encode_images_per_second": count / (encoded - start),
                    "decode_images_per_second": count / (decoded - encoded),
                    "encode_share_of_floor": count / (encoded - start) / floor,
                    "decode_share_of_floor": count / (decoded - encoded) / floor,
                    "ledger": described["ledger"],
                }
            )
            click.echo(f"{name}: {rows[-1]['bits_per_image']:.3f} bits an image", err=True)
    peers = [] if skip_classical else classical.measure(images, bilevel)
    return {
        "images": count,
        "model": {"name": model.name, "bytes": model.size, "bits_per_image": 8 * model.size / count},
        "floor": {"matmul_gflops": rate / 1e9, "images_per_second": floor},
        "files": rows,
        "theory_bits_per_image": theory(plan_group(model, images), residual),
        "classical": [
            {
                "codec": peer.codec,
                "arrangement": peer.arrangement,
                "bits_per_image": peer.bits / count,
                "bits_per_pixel": peer.bits / count / dims,
                "measured_on": peer.measured_on,
            }
            for peer in peers
        ],
        "classical_missing": classical.missing(),
    }


def markdown(results: dict) -> str:
    """The result page."""
    lines = ["# Ordered against unordered, MNIST test set", ""]
    lines += [f"- {key}: {value}" for key, value in results["provenance"].items()]
    for title, result in results["sets"].items():
        model = result["model"]
        lines += ["", f"## {title}, {result['images']:,} images", ""]
        lines += [
            f"Model `{model['name']}`, {model['bytes']:,} bytes ({model['bits_per_image']:.1f} bits an image, not in the "
            f"files). Floor: {result['floor']['matmul_gflops']:.0f} GFLOP/s of a 2048x2048 float32 product give "
            f"{result['floor']['images_per_second']:.0f} images/s.",
            "",
            "| file | sent in order of | bits/image | bits/pixel | theory | measured - theory | ends + state | with model "
            "| encode images/s (of floor) | decode images/s (of floor) |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {f['file']} | {f['order']} | {f['bits_per_image']:.3f} | {f['bits_per_pixel']:.4f} "
            f"| {f['theory_bits_per_image']:.3f} | {f['measured_minus_theory']:+.3%} | {f['ends_and_state']:.3%} "
            f"| {f['with_model_bits_per_image']:.1f} "
            f"| {f['encode_images_per_second']:.0f} ({f['encode_share_of_floor']:.0%}) "
            f"| {f['decode_images_per_second']:.0f} ({f['decode_share_of_floor']:.0%}) |"
            for f in result["files"]
        ]
        lines += ["", "| theory | bits/image | nats/image |", "|---|---|---|"]
        lines += [f"| {k} | {v:.3f} | {v * np.log(2):.3f} |" for k, v in result["theory_bits_per_image"].items()]
        if result["classical"]:
            lines += ["", "| classical codec | arrangement | bits/image | bits/pixel |", "|---|---|---|---|"]
            for peer in sorted(result["classical"], key=lambda p: p["bits_per_image"]):
                sampled = f" (measured on {peer['measured_on']:,})" if peer["measured_on"] < result["images"] else ""
                lines.append(
                    f"| {peer['codec']} | {peer['arrangement']}{sampled} | {peer['bits_per_image']:.2f} "
                    f"| {peer['bits_per_pixel']:.4f} |"
                )
            lines += [f"- left out: {note}" for note in result["classical_missing"]]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--images", default=10_000, show_default=True, help="How many of the test images, from the first on.")
@click.option("--data", help="Folder with mnist/test.npz; else $ACNCODEC_DATA, else torchvision's download.")
@click.option("--skip-classical", is_flag=True, help="Leave the classical codecs out.")
@click.option("--output", default=RESULTS, type=click.Path(path_type=Path), help="Folder for the results.")
def main(images: int, data: str | None, skip_classical: bool, output: Path) -> None:
    """Measure both sets and write the results."""
    grey, labels = mnist("test", data)[:images], mnist_labels("test", data)[:images]
    sets = {"1-bit": binarise(mnist("test", data), BINARISE_SEEDS["test"])[:images], "8-bit": grey}
    results: dict = {"provenance": provenance(), "sets": {}}
    for title, pixels in sets.items():
        model = bundled.find(f"mnist-{title.replace('-', '')}")
        results["sets"][title] = run_set(pixels, labels, title == "1-bit", model, skip_classical)
    page = markdown(results)
    click.echo(page)
    output.mkdir(parents=True, exist_ok=True)
    (output / "ordered_vs_unordered.json").write_text(json.dumps(results, indent=1) + "\n")
    (output / "ordered_vs_unordered.md").write_text(page)


if __name__ == "__main__":
    main()
