"""The guard of full float32 precision restores the caller's settings, whichever of PyTorch's interfaces set them."""

import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from acncodec.exact.bounds import EXACT_LIMIT, worst_sums
from acncodec.exact.precision import TF32_MAX, full_precision, tf32_is_exact, tf32_trial, training_precision

NEW = hasattr(torch.backends.cuda.matmul, "fp32_precision")
Setting = tuple[str, ...]


def legacy() -> str:
    """PyTorch's older setting, which cannot be asked for where only the newer ones were set."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "mixed"


def setting() -> Setting:
    backends = torch.backends
    if not NEW:
        return (legacy(),)
    found = backends, backends.cuda.matmul, backends.mkldnn, backends.mkldnn.matmul
    return (legacy(), *(each.fp32_precision for each in found))  # type: ignore[attr-defined]


def is_full() -> bool:
    if not NEW:
        return legacy() == "highest"
    return torch.backends.cuda.matmul.fp32_precision == torch.backends.mkldnn.matmul.fp32_precision == "ieee"


def put(*settings: str) -> Callable[[], None]:
    """Sets precisions by the newer interface: of all backends, of CUDA's products, of all of oneDNN, of its products."""

    def run() -> None:
        found = torch.backends, torch.backends.cuda.matmul, torch.backends.mkldnn, torch.backends.mkldnn.matmul
        for each, value in zip(found, settings, strict=True):
            if value:
                each.fp32_precision = value  # type: ignore[attr-defined]

    return run


HOSTS = {
    "nothing": lambda: None,
    "legacy high": lambda: torch.set_float32_matmul_precision("high"),
    "legacy medium": lambda: torch.set_float32_matmul_precision("medium"),
    **({"cuda": put("", "tf32", "", ""), "all": put("tf32", "", "", "")} if NEW else {}),
    **({"onednn": put("", "", "bf16", ""), "onednn's products": put("", "", "", "bf16")} if NEW else {}),
}


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")
    if NEW:
        put("none", "none", "none", "none")()


@pytest.mark.parametrize("host", HOSTS)
def test_the_setting_of_a_host_program_comes_back(host: str) -> None:
    HOSTS[host]()
    before = setting()
    with full_precision():
        assert is_full()
        with full_precision():
            assert is_full()
        assert is_full()
    assert setting() == before


@pytest.mark.skipif(not NEW, reason="this PyTorch has one setting for all backends")
def test_inherited_settings_stay_inherited() -> None:
    put("tf32", "", "", "")()
    with full_precision():
        pass
    put("ieee", "", "", "")()
    assert torch.backends.cuda.matmul.fp32_precision == torch.backends.mkldnn.matmul.fp32_precision == "ieee"


def test_the_setting_comes_back_after_an_error() -> None:
    torch.set_float32_matmul_precision("high")
    with pytest.raises(ValueError), full_precision():
        raise ValueError
    assert torch.get_float32_matmul_precision() == "high"


@pytest.mark.parametrize("host", HOSTS)
def test_guards_in_threads_may_overlap(host: str) -> None:
    """The first guard ends while the second one stands: that one still computes at full precision."""
    HOSTS[host]()
    before = setting()
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    found = []

    def second() -> None:
        first_in.wait()
        with full_precision():
            second_in.set()
            first_out.wait()
            found.append(is_full())

    thread = threading.Thread(target=second)
    thread.start()
    with full_precision():
        first_in.set()
        second_in.wait()
        found.append(is_full())
    first_out.set()
    thread.join()
    assert found == [True, True]
    assert setting() == before


# --- training ---

CUDA = torch.device("cuda")  # of which only settings are asked


def of_cuda() -> tuple[str, str]:
    """Precisions of CUDA's products and convolutions."""
    if NEW:
        return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    found = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return tuple("tf32" if each else "ieee" for each in found)  # type: ignore[return-value]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("tf32", "name"), [(True, "tf32"), (False, "ieee")])
def test_training_has_tf32_only_if_asked_and_outside_of_full_precision(host: str, tf32: bool, name: str) -> None:
    HOSTS[host]()
    before = setting(), of_cuda()
    with training_precision(CUDA, tf32):
        assert of_cuda() == (name, name)
        assert legacy() in ("mixed", "high" if tf32 else "highest")  # which the compiler asks for
        assert setting()[3:] == before[0][3:]  # of oneDNN, which a CPU's coding may use
        with full_precision():
            assert is_full()
        assert of_cuda() == (name, name)
    assert (setting(), of_cuda()) == before
    with full_precision(), training_precision(CUDA, tf32):
        assert is_full()
    assert (setting(), of_cuda()) == before
    with training_precision(torch.device("cpu"), tf32):
        assert (setting(), of_cuda()) == before


def test_full_precision_waits_for_a_training_step_of_another_thread() -> None:
    entered = threading.Event()

    def code() -> None:
        with full_precision():
            entered.set()

    thread = threading.Thread(target=code)
    with training_precision(CUDA, tf32=True):
        thread.start()
        assert not entered.wait(0.1)
    thread.join()
    assert entered.is_set()


def test_the_trial_of_tf32_needs_exact_sums_near_the_bound() -> None:
    a, b, expected = tf32_trial()
    assert max(a.abs().max(), b.abs().max()) <= TF32_MAX
    worst = worst_sums(b, torch.zeros(b.shape[1]), a.abs().amax(0)).max()
    assert EXACT_LIMIT / 2 < worst < EXACT_LIMIT
    assert torch.equal((a @ b).double(), expected)
    with_fewer_bits = a.bfloat16().float() @ b.bfloat16().float()
    assert not torch.equal(with_fewer_bits.double(), expected)
    assert not tf32_is_exact(torch.device("cpu"))
