"""The compiled kernel; all else stands in pyproject.toml. With ACNCODEC_NO_EXTENSIONS=1 the package is built without it."""

import os
import runpy
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("acncodec/kernel/native")
SHA256 = runpy.run_path("acncodec/kernel/sources.py")["sources_sha256"](NATIVE)  # compared when the kernel is imported
KERNEL = Extension(
    "acncodec.kernel._native",
    sources=[str(NATIVE / "kernel.c")],
    depends=sorted(map(str, NATIVE.glob("*.h"))),
    define_macros=[("SOURCES_SHA256", f'"{SHA256}"')],
    extra_compile_args=["-O3"],
    libraries=["m"],
    py_limited_api=True,  # one build for Python 3.11 and later; kernel.c holds itself to that
    optional=True,  # where it can't be built, PyTorch does the same arithmetic, more slowly
)

if os.environ.get("ACNCODEC_NO_EXTENSIONS"):
    setup()
else:
    setup(ext_modules=[KERNEL], options={"bdist_wheel": {"py_limited_api": "cp311"}})
