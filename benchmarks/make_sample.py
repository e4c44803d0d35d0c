"""Write the sample that ships with the package: MNIST test digits as PNG files, 8-bit grey and binarised.

python -m benchmarks.make_sample [FOLDER]
"""

import sys
from pathlib import Path

from acncodec.bundled import SAMPLE
from benchmarks.data import BINARISE_SEEDS, binarise, mnist, mnist_labels, write_pngs

COUNT = 200  # of each kind, the first ones of the test set; none of them was trained on


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE
    images, labels = mnist("test"), mnist_labels("test")[:COUNT]
    write_pngs(images[:COUNT], labels, folder / "grey", bilevel=False)
    write_pngs(binarise(images, BINARISE_SEEDS["test"])[:COUNT], labels, folder / "bilevel", bilevel=True)


if __name__ == "__main__":
    main()
