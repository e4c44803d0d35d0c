"""The compiled module's sources, by a hash that it is built with: so a module built from other ones is found out.

`setup.py` runs this file by itself: it imports nothing of the package.
"""

import hashlib
from pathlib import Path

NATIVE = Path(__file__).parent / "native"  # not in wheels, whose module was built from them


def sources_sha256(folder: Path = NATIVE) -> str:
    """sha256 over names and contents of the C files in `folder`, as hex digits; empty if there are none."""
    files = sorted(folder.glob("*.[ch]"))
    digest = hashlib.sha256()
    for path in files:
        data = path.read_bytes()
        digest.update(f"{path.name} {len(data)}\n".encode() + data)
    return digest.hexdigest() if files else ""
