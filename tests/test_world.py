"""Distributed training: the same steps as in one process, up to the order of sums."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import architecture, make_pngs
from trainings import SMALL_ARCH, stripes

from acncodec import bundled
from acncodec.training.checkpoint import load_checkpoint
from acncodec.training.data import split
from acncodec.training.trainer import ALONE, Budget, Trainer
from acncodec.training.world import World

STEPS = 5
BATCH = 15  # not a multiple of the number of processes

WORKER = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_world import trained
from acncodec.training.checkpoint import save_checkpoint
from acncodec.training.world import World
world = World.join(torch.device("cpu"))
state = trained(world)
save_checkpoint(Path(sys.argv[2] + str(world.rank)), state, {"size": world.size})
"""


def trained(world: World) -> dict[str, torch.Tensor]:
    data = split([*stripes(100), *stripes(60, 5)])
    trainer = Trainer(architecture(2, 1, **SMALL_ARCH), data, Budget(steps=STEPS), batch=BATCH, world=world)
    # Standardised codes leave some biases without a gradient: Adam would turn its rounding errors into full steps.
    trainer.optimiser.param_groups[0]["eps"] = 1e-3
    reports = []
    for _ in trainer.run(reports.append, every=0.0):
        pass
    told = torch.tensor([[report.residual, report.kl] for report in reports])
    return trainer.state() | {"told": told}


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    place = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {**os.environ, **{key: str(value) for key, value in place.items()}, "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.cluster
def test_two_processes_make_the_steps_of_one(tmp_path: Path) -> None:
    port, here = free_port(), str(Path(__file__).parent)
    command = [sys.executable, "-c", WORKER, here, str(tmp_path / "rank")]
    workers = [subprocess.Popen(command, env=environment(rank, 2, port)) for rank in range(2)]
    assert [worker.wait(timeout=1800) for worker in workers] == [0, 0]
    first, second = (load_checkpoint(tmp_path / f"rank{rank}")[0] for rank in range(2))
    assert load_checkpoint(tmp_path / "rank0")[1] == {"size": 2}
    alone = trained(ALONE)
    assert first.keys() == second.keys() == alone.keys()
    for key, value in alone.items():
        if key == "counters":
            assert torch.equal(first[key][:3], value[:3])
            continue
        assert torch.equal(first[key], second[key]), key
        if key.startswith("codes."):  # integers: a sum on the other side of a half moves one by a step
            assert (first[key].int() - value.int()).abs().max() <= 1
        else:
            torch.testing.assert_close(first[key], value, rtol=2e-3, atol=2e-4, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.cluster
def test_torchrun_trains_a_model(tmp_path: Path) -> None:
    make_pngs(tmp_path / "images", 80, 4, 4, "1")
    model = tmp_path / "own.safetensors"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--no-python", "--nproc-per-node", "2"]
    launcher += ["--master-port", str(free_port()), sys.executable, "-c", "from acncodec.cli.main import main; main()"]
    command = ["train", str(tmp_path / "images"), "-o", str(model), "--minutes", "0.02", "--json"]
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *command], capture_output=True, text=True, timeout=1800, env=threads, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sha256"] == bundled.load(model).sha256.hex()
    assert done.stderr.count("held out") == done.stderr.count("+ KL") - done.stderr.count("training batches")
    assert not model.with_suffix(".checkpoint").exists()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [1, 4, 7, 10])
def test_shards_form_a_batch(size: int, length: int) -> None:
    batch = torch.arange(length)
    shares = [World(rank, size).share(batch) for rank in range(size)]
    assert sorted(torch.cat(shares).tolist()) == batch.tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
