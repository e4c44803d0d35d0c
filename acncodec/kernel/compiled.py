"""The compiled module, if it was built, and what it must have in common with this package: numbers and sources."""

from acncodec.errors import ExactnessError
from acncodec.exact import grids
from acncodec.kernel import buffers, copies, operations, programs
from acncodec.kernel.sources import sources_sha256
from acncodec.nets import architecture, planes

try:
    from acncodec.kernel import _native as native
except ImportError:  # not built, as there was no compiler
    native = None  # type: ignore[assignment]

__all__ = ["NUMBERS", "compare", "native"]

_INSTALL = "install acncodec again (in a checkout: pip install -e .)"

_NAMES = {
    programs: (
        *("WORDS", "MAX_TAPS", "REQUANTISE", "GATE", "RAW", "PRODUCT", "PREDICT", "TELL", "GREY", "AROUND"),
        *("LOGISTICS", "SOFTMAX", "LOGISTICS_BITS", "SOFTMAX_BITS", "LARGEST", "FIND", "OFFER", "FIND_REST", "OFFER_REST"),
    ),
    buffers: ("ROWS", "GROUP_MAX", "MAX_OUTS"),
    operations: ("TANH_TABLE",),
    architecture: ("CANDIDATES", "COMPLETIONS"),
    copies: ("CONTEXTS", "SHARED", "PREFIXES", "IMAGE_BYTES", "MEMORY_BYTES"),
    planes: ("PLANE_MAX", "ERROR_SCALE", "MIDDLE"),
    grids: (
        *("UNIT", "STREAM_MAX", "TONE_BITS", "SPREAD_MIN", "SPREAD_MAX", "STEEPNESS_BITS", "SLOPE_MAX"),
        *("BASE", "CUMULATIVE_BITS", "FREQUENCY_FLOOR"),
    ),
}
NUMBERS = {name: getattr(module, name) for module, names in _NAMES.items() for name in names}
NUMBERS["GATE_SHIFT"] = grids.STREAM_BITS + 1  # tanh * (1 + tanh) / 2


def compare(compiled: dict[str, int], built_from: str, sources: str) -> None:
    """Raise ExactnessError unless the compiled module has the same numbers, and was built from `sources` if there are any.

    A module that is older than a checkout's sources might decode otherwise than they say.
    """
    if other := sorted(name for name, _ in NUMBERS.items() ^ compiled.items()):
        raise ExactnessError(f"the compiled kernel is of another version ({', '.join(other)}): {_INSTALL}")
    if sources and built_from != sources:
        raise ExactnessError(f"the compiled kernel was built from other sources than those here: {_INSTALL}")


if native is not None:
    compare(getattr(native, "numbers", {}), getattr(native, "sources_sha256", ""), sources_sha256())
