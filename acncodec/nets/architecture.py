"""Hyperparameters of a model: all that defines the networks beside the weights."""

from dataclasses import asdict, dataclass, fields

from acncodec.errors import ModelError

CANDIDATES = 6  # pixels that may be copied, in models that look for them
COMPLETIONS = 2  # the same once a pixel's first colours are known
OFFERS = CANDIDATES + COMPLETIONS
LATER = frozenset({"candidates", "errors"})  # fields that format 1 began without


@dataclass(frozen=True)
class Architecture:
    """Sizes of encoder, prior network and decoder.

    `levels` is 2 for 1-bit values and 256 for 8-bit ones; a pixel has `colours` values, coded one after the other. Each has
    a mixture of `logistics` discretised logistics as its distribution or, if that is 0, a softmax over all levels. The
    logistics are centred on a prediction or, with 5 `centres`, in turn on it and on four neighbouring pixels, and after
    these on the copy `candidates`, of which there are CANDIDATES or none, and on COMPLETIONS with them. `errors` is the
    number of planes of prediction errors beside the values under a softmax; under logistics there always are some.
    """

    levels: int
    colours: int = 1
    logistics: int = 0
    centres: int = 1
    channels: int = 24  # of each stack of the decoder
    blocks: int = 6  # gated blocks, the first included
    first: int = 7  # side of the first block's window
    kernel: int = 3  # side of the other blocks' windows
    features: int = 32  # of the output head
    map_planes: int = 8  # planes of the latent map that every block reads
    map_hidden: int = 96  # tanh units between latent and map
    map_features: int = 16  # of the map at a quarter of the image's side
    encoder_features: int = 16  # of the encoder's first layer; twice as many after it
    code: int = 16  # dimensions of code and latent
    hidden: int = 256  # tanh units in each of the prior's three hidden layers
    mixture: int = 8  # components of the prior, per dimension
    candidates: int = 0
    errors: int = 0

    def __post_init__(self) -> None:
        limits = {"levels": 256, "colours": 4, "logistics": 64, "blocks": 64, "first": 31, "kernel": 31, "mixture": 64}
        limits["errors"] = 1
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("logistics", *LATER) else 1
            if type(value) is not int or not least <= value <= limits.get(field.name, 4096):
                raise ModelError(f"the model's architecture has {field.name} = {value!r}, which is out of range")
        if self.levels not in (2, 256) or not all(side % 2 and side >= 3 for side in (self.first, self.kernel)):
            raise ModelError("the model's architecture needs 2 or 256 levels, and windows with odd sides of at least 3")
        if self.centres not in (1, 5) or (self.centres > 1 and not self.logistics):
            raise ModelError("the model's architecture needs 1 or 5 centres, and 5 only with logistics")
        if self.colours > 1 and not self.logistics:
            raise ModelError("the model's architecture needs logistics for several colours")
        if self.logistics and self.levels == 2:
            raise ModelError("the model's architecture needs 256 levels for logistics")
        if self.errors and (self.levels == 2 or self.logistics):
            raise ModelError("the model's architecture needs a softmax of 256 levels for errors")
        if self.candidates not in (0, CANDIDATES) or (self.candidates and self.centres == 1):
            raise ModelError(f"the model's architecture needs 0 or {CANDIDATES} candidates, and these only with 5 centres")

    @property
    def predicts(self) -> bool:
        """Whether inputs of the networks depend on predictions of values."""
        return bool(self.logistics or self.errors)

    @property
    def known_centres(self) -> int:
        """Centres of all colours of a pixel: predictions, neighbours and candidates."""
        return self.centres + self.candidates

    @property
    def all_centres(self) -> int:
        """The same and completions, which depend on the colours before."""
        return self.known_centres + (COMPLETIONS if self.candidates else 0)

    def to_dict(self) -> dict[str, int]:
        """All fields; of LATER those that are not 0, so that models without them read as before."""
        return {name: value for name, value in asdict(self).items() if name not in LATER or value}

    @classmethod
    def from_dict(cls, values: object) -> "Architecture":
        """Raises ModelError for a field that is missing, unknown or out of range."""
        if not isinstance(values, dict) or set(values) | LATER != {f.name for f in fields(cls)}:
            raise ModelError("the model's architecture has other fields than this version knows")
        return cls(**values)
