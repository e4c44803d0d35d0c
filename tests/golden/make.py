"""Make v1.acn, v1.json and the models they need anew: only when the format changes on purpose, before a release.

Run from the repository's root: PYTHONPATH=tests python tests/golden/make.py
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from conftest import make_pngs, no_progress, random_pixels, save_image, tiny_model, tiny_model_bytes
from test_codec import described

from acncodec.codec.compress import compress
from acncodec.codec.plan import Way

HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        make_pngs(root, 34, 4, 3, "1")  # enough for two lanes
        make_pngs(root, 5, 3, 4, "L")
        save_image(root / "grey.pgm", random_pixels(1, 1, 2, 5, 256)[0], "L")
        save_image(root / "dot.pbm", np.ones((1, 1), np.uint8), "1")
        (root / "stored.txt").write_bytes(b"a file that no network models\n")
        for levels in (2, 256):
            (HERE / f"tiny-{levels}.safetensors").write_bytes(tiny_model_bytes(levels, calm=True))
        models = {levels: tiny_model(levels, calm=True) for levels in (2, 256)}
        compress(root, HERE / "v1.acn", models, way=Way.TOUR, overwrite=True, progress=no_progress)
        lines = [f"{json.dumps(name)}: {json.dumps(what)}" for name, what in described(root).items()]
        (HERE / "v1.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
