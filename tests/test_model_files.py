"""Model files: round trips, and refusal of what is malformed or exceeds the exactness bound."""

import copy
import hashlib
import json
from collections.abc import Callable
from functools import cache

import pytest
import torch
from conftest import KINDS, architecture
from parity import SMALL, assert_same, inputs_of, networks_at_bound, networks_of, passes, reference_passes
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from test_trainable import trainable

from acncodec.coding.selftest import fixed_networks, pseudo_random
from acncodec.errors import BoundError, ModelError
from acncodec.exact.grids import LATENT_MAX, WIDTHS
from acncodec.nets.architecture import Architecture
from acncodec.nets.model import UnconditionalPrior, dump_model, parse_model


def unconditional_of(arch: Architecture, components: int = 3) -> UnconditionalPrior:
    shape = components, arch.code
    return UnconditionalPrior(
        torch.arange(1, components + 1, dtype=torch.int32),
        torch.from_numpy(pseudo_random("m", components * arch.code, -LATENT_MAX, LATENT_MAX).reshape(shape)).short(),
        torch.from_numpy(pseudo_random("w", components * arch.code, 0, WIDTHS - 1).reshape(shape)).to(torch.uint8),
    )


@cache
def model_file(colours: int = 1, fine: bool = False) -> bytes:
    networks = fixed_networks(networks_of(256, colours, False).arch, fine)
    return dump_model("try", networks, unconditional_of(networks.arch), {"seed": 1, "note": "x"})


def altered(change: Callable[[dict[str, torch.Tensor], dict], object], colours: int = 1, fine: bool = False) -> bytes:
    """The model file with its tensors and its description changed."""
    data = model_file(colours, fine)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description, tensors = json.loads(header["__metadata__"]["acncodec"]), load_tensors(data)
    change(tensors, description)
    return save_tensors(tensors, {"acncodec": json.dumps(description, sort_keys=True)})


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_model_files_round_trip(levels: int, colours: int) -> None:
    networks = networks_at_bound(architecture(levels, colours, **SMALL), largest=127)
    data = dump_model("a name", networks, unconditional_of(networks.arch), {"epochs": 3})
    model = parse_model(data)
    assert (model.name, model.size, model.record) == ("a name", len(data), {"epochs": 3})
    assert model.sha256 == hashlib.sha256(data).digest()
    assert model.arch == networks.arch
    assert not any(p.requires_grad for p in model.networks.parameters())
    inputs = inputs_of(networks.arch, 7, 5, 3)
    assert_same(passes(model.networks, inputs), reference_passes(networks, inputs))
    again = dump_model(model.name, model.networks, model.unconditional, model.record)
    assert again == data


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_frozen_networks_round_trip(levels: int, colours: int) -> None:
    networks = trainable(levels, colours).freeze()
    inputs = inputs_of(networks.arch, 3, 5, 4)
    data = dump_model("trained", networks, unconditional_of(networks.arch), {})
    assert_same(passes(parse_model(data).networks, inputs), passes(networks, inputs))


def test_a_model_files_bytes_do_not_depend_on_the_records_order() -> None:
    networks = networks_of(256, 1, False)
    assert altered(lambda t, d: None) == model_file()
    assert dump_model("try", networks, unconditional_of(networks.arch), {"note": "x", "seed": 1}) == model_file()


def test_truncated_model_files_are_refused() -> None:
    data = model_file()
    for length in [0, 1, 7, 8, 9, 100, 1000, len(data) // 2, len(data) - 1]:
        with pytest.raises(ModelError):
            parse_model(data[:length])
    for junk in [data + b"\0", b"\0" * 64, b"\xff" * 64, b"junk" * 100, data[8:]]:
        with pytest.raises(ModelError):
            parse_model(junk)


VERTICAL = "decoder.blocks.1.vertical"
CHANGES: dict[str, Callable[[dict[str, torch.Tensor], dict], object]] = {
    "extra tensor": lambda t, d: t.update(extra=torch.zeros(1)),
    "missing weight": lambda t, d: t.pop(f"{VERTICAL}.weight"),
    "missing bias": lambda t, d: t.pop(f"{VERTICAL}.bias"),
    "missing prior": lambda t, d: t.pop("unconditional.means"),
    "real weight": lambda t, d: t.update({f"{VERTICAL}.weight": t[f"{VERTICAL}.weight"].float()}),
    "long bias": lambda t, d: t.update({f"{VERTICAL}.bias": t[f"{VERTICAL}.bias"].long()}),
    "transposed": lambda t, d: t.update({f"{VERTICAL}.weight": t[f"{VERTICAL}.weight"].T.contiguous()}),
    "short bias": lambda t, d: t.update({f"{VERTICAL}.bias": t[f"{VERTICAL}.bias"][1:].clone()}),
    "no components": lambda t, d: t.update({"unconditional.weights": torch.zeros(0, dtype=torch.int32)}),
    "zero frequency": lambda t, d: t["unconditional.weights"].__setitem__(0, 0),
    "large frequency": lambda t, d: t["unconditional.weights"].__setitem__(0, (1 << 20) + 1),
    "negative frequency": lambda t, d: t["unconditional.weights"].__setitem__(0, -1),
    "large mean": lambda t, d: t["unconditional.means"].__setitem__((0, 0), LATENT_MAX + 1),
    "small mean": lambda t, d: t["unconditional.means"].__setitem__((0, 0), -LATENT_MAX - 1),
    "wide component": lambda t, d: t["unconditional.widths"].__setitem__((0, 0), WIDTHS),
    "real means": lambda t, d: t.update({"unconditional.means": t["unconditional.means"].float()}),
    "too few means": lambda t, d: t.update({"unconditional.means": t["unconditional.means"][1:].clone()}),
    "future format": lambda t, d: d.update(format=3),
    "finer format": lambda t, d: d.update(format=2),
    "no format": lambda t, d: d.pop("format"),
    "no name": lambda t, d: d.pop("name"),
    "no record": lambda t, d: d.pop("record"),
    "no scale": lambda t, d: d["log2_scales"].pop(VERTICAL),
    "large scale": lambda t, d: d["log2_scales"].update({VERTICAL: 65}),
    "real scale": lambda t, d: d["log2_scales"].update({VERTICAL: 1.5}),
    "other levels": lambda t, d: d["architecture"].update(levels=16),
    "fewer levels": lambda t, d: d["architecture"].update(levels=2),
    "colours without logistics": lambda t, d: d["architecture"].update(colours=3),
    "logistics without colours": lambda t, d: d["architecture"].update(logistics=3),
    "logistics of grey's weights": lambda t, d: d["architecture"].update(colours=3, logistics=3),
    "two centres": lambda t, d: d["architecture"].update(centres=2),
    "centres without logistics": lambda t, d: d["architecture"].update(centres=5),
    "no colours": lambda t, d: d["architecture"].update(colours=0),
    "colours are true": lambda t, d: d["architecture"].update(colours=True),
    "negative logistics": lambda t, d: d["architecture"].update(logistics=-1),
    "no blocks": lambda t, d: d["architecture"].update(blocks=0),
    "many blocks": lambda t, d: d["architecture"].update(blocks=65),
    "more blocks": lambda t, d: d["architecture"].update(blocks=4),
    "fewer blocks": lambda t, d: d["architecture"].update(blocks=2),
    "even window": lambda t, d: d["architecture"].update(first=4),
    "real window": lambda t, d: d["architecture"].update(first=5.0),
    "text for a size": lambda t, d: d["architecture"].update(code="6"),
    "negative size": lambda t, d: d["architecture"].update(hidden=-1),
    "huge size": lambda t, d: d["architecture"].update(hidden=1 << 40),
    "unknown size": lambda t, d: d["architecture"].update(depth=1),
    "missing size": lambda t, d: d["architecture"].pop("code"),
    "smallest mean": lambda t, d: t["unconditional.means"].__setitem__((0, 0), -(1 << 15)),
    "scales are a list": lambda t, d: d.update(log2_scales=[]),
    "architecture is a list": lambda t, d: d.update(architecture=list(d["architecture"])),
    "architecture is a number": lambda t, d: d.update(architecture=3),
    "record is a number": lambda t, d: d.update(record=3),
    "first window of one": lambda t, d: d["architecture"].update(first=1),
    "format is true": lambda t, d: d.update(format=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_malformed_model_files_are_refused(change: str) -> None:
    with pytest.raises(ModelError):
        parse_model(altered(CHANGES[change]))


FINE_CHANGES: dict[str, Callable[[dict[str, torch.Tensor], dict], object]] = {
    "coarse format": lambda t, d: d.update(format=1),
    "8-bit weights": lambda t, d: t.update({f"{VERTICAL}.weight": (t[f"{VERTICAL}.weight"] // 16).to(torch.int8)}),
    "large weight": lambda t, d: t["prior.third.weight"].__setitem__((0, 0), 2048),
    "smallest weight": lambda t, d: t["prior.third.weight"].__setitem__((0, 0), -(1 << 15)),
    "one scale": lambda t, d: d["log2_scales"].update({VERTICAL: 3}),
    "a scale too few": lambda t, d: d["log2_scales"][VERTICAL].pop(),
    "a scale too many": lambda t, d: d["log2_scales"][VERTICAL].append(3),
    "large scale": lambda t, d: d["log2_scales"][VERTICAL].__setitem__(1, 65),
    "real scale": lambda t, d: d["log2_scales"][VERTICAL].__setitem__(1, 1.5),
    "true scale": lambda t, d: d["log2_scales"][VERTICAL].__setitem__(1, True),
}


@pytest.mark.parametrize("change", FINE_CHANGES)
def test_malformed_fine_model_files_are_refused(change: str) -> None:
    parse_model(altered(lambda t, d: None, fine=True))
    with pytest.raises(ModelError):
        parse_model(altered(FINE_CHANGES[change], fine=True))


def test_a_model_file_has_the_oldest_format_that_holds_it() -> None:
    coarse, fine = parse_model(model_file()), parse_model(model_file(fine=True))
    assert (coarse.format, fine.format) == (1, 2)
    assert (coarse.weight_max, fine.weight_max) == (127, 2047)
    finer = dump_model("try", coarse.networks, coarse.unconditional, coarse.record, version=2)
    assert parse_model(finer).format == 2
    inputs = inputs_of(coarse.arch, 3, 5, 4)
    assert_same(passes(parse_model(finer).networks, inputs), passes(coarse.networks, inputs))
    with pytest.raises(ValueError, match="too fine"):
        dump_model("try", fine.networks, fine.unconditional, fine.record, version=1)


HEAD = "decoder.head.outputs.1"
COLOUR_CHANGES: dict[str, Callable[[dict[str, torch.Tensor], dict], object]] = {
    "fewer colours": lambda t, d: d["architecture"].update(colours=2),
    "more colours": lambda t, d: d["architecture"].update(colours=4),
    "too many colours": lambda t, d: d["architecture"].update(colours=5),
    "one colour": lambda t, d: d["architecture"].update(colours=1, logistics=0),
    "one colour of logistics": lambda t, d: d["architecture"].update(colours=1),
    "colours of one bit": lambda t, d: d["architecture"].update(levels=2),
    "no logistics": lambda t, d: d["architecture"].update(logistics=0),
    "fewer logistics": lambda t, d: d["architecture"].update(logistics=2),
    "more logistics": lambda t, d: d["architecture"].update(logistics=4),
    "too many logistics": lambda t, d: d["architecture"].update(logistics=65),
    "missing head": lambda t, d: t.pop(f"{HEAD}.weight"),
    "head of another colour": lambda t, d: t.update({f"{HEAD}.weight": t["decoder.head.outputs.2.weight"].clone()}),
}


@pytest.mark.parametrize("change", COLOUR_CHANGES)
def test_malformed_model_files_of_colours_are_refused(change: str) -> None:
    assert altered(lambda t, d: None, colours=3) == model_file(3)
    with pytest.raises(ModelError):
        parse_model(altered(COLOUR_CHANGES[change], colours=3))


def test_model_files_without_our_metadata_are_refused() -> None:
    tensors = load_tensors(model_file())
    for metadata in [None, {"other": "1"}, {"acncodec": "{"}, {"acncodec": "[]"}, {"acncodec": "7"}]:
        with pytest.raises(ModelError, match="not an acncodec model"):
            parse_model(save_tensors(tensors, metadata))


@pytest.mark.parametrize("value", [1 << 24, -(1 << 24), (1 << 31) - 1, -(1 << 31)])
@pytest.mark.parametrize(("name", "colours"), [(VERTICAL, 1), (VERTICAL, 3), (HEAD, 3)])
def test_model_files_beyond_the_bound_are_refused(value: int, name: str, colours: int) -> None:
    with pytest.raises(BoundError, match=name):
        parse_model(altered(lambda t, d: t[f"{name}.bias"].__setitem__(0, value), colours))


@pytest.mark.parametrize(
    ("levels", "colours", "name"), [(2, 1, "decoder.head.logits"), (256, 3, HEAD), (256, 3, "decoder.head.features.2")]
)
def test_models_one_step_beyond_the_bound_are_refused(levels: int, colours: int, name: str) -> None:
    networks = networks_at_bound(architecture(levels, colours, **SMALL), largest=127)
    data = dump_model("at the bound", networks, unconditional_of(networks.arch), {})
    parse_model(data)
    broken = copy.deepcopy(networks)
    bias = dict(broken.products())[name].bias
    bias[0] += bias[0].sign()
    with pytest.raises(BoundError, match=name):
        parse_model(dump_model("beyond it", broken, unconditional_of(networks.arch), {}))


# --- what an architecture may be ---


@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.parametrize("colours", [1, 2, 3, 4])
@pytest.mark.parametrize("logistics", [0, 1, 64])
def test_several_colours_need_logistics_and_these_256_levels(levels: int, colours: int, logistics: int) -> None:
    if (colours == 1 or logistics) and (levels == 256 or not logistics):
        arch = Architecture(levels=levels, colours=colours, logistics=logistics)
        assert Architecture.from_dict(arch.to_dict()) == arch
    else:
        with pytest.raises(ModelError, match="logistics"):
            Architecture(levels=levels, colours=colours, logistics=logistics)
