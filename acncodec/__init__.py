"""acncodec: lossless compression of directories of images with associative compression networks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from acncodec import errors
from acncodec.version import __version__ as __version__

if TYPE_CHECKING:
    from acncodec.access import AcnDataset, AcnStream, Images
    from acncodec.access import open_images as open
    from acncodec.api import Compressed, Model, compress, decompress

_PLACES = dict.fromkeys(("AcnDataset", "AcnStream", "Images", "open"), "access") | dict.fromkeys(
    ("Compressed", "Model", "compress", "decompress"), "api"
)
__all__ = ["AcnDataset", "AcnStream", "Compressed", "Images", "Model", "compress", "decompress", "errors", "open"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: torch takes seconds to load."""
    if name not in _PLACES:
        raise AttributeError(f"module 'acncodec' has no attribute '{name}'")
    return getattr(import_module(f"acncodec.{_PLACES[name]}"), {"open": "open_images"}.get(name, name))
