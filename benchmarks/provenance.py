"""Provenance of results (command, date, commit, machine), and their two files, JSON and Markdown."""

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch


def provenance() -> dict[str, str]:
    """What every result file states about how it was made."""
    commit = _git("describe", "--always").stdout.strip() or "unknown"
    # Results and pages about them are what a benchmark writes itself.
    changed = _git("diff", "--quiet", "HEAD", "--", ".", ":!benchmarks/results", ":!docs").returncode == 1
    module = Path(sys.argv[0]).stem
    return {
        "command": " ".join([f"python -m benchmarks.{module}", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "commit": commit + "-dirty" * changed,
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}{_gpu()}",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}",
    }


def write_result(path: Path, result: Any, page: str) -> None:
    """Write a result as `path`.json and, for people, as `path`.md, in a folder that is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".md").write_text(page)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parent.parent
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)


def _gpu() -> str:
    return f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
