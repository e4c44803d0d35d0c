"""Runs the `acncodec` command and measures its time and memory."""

import json
import subprocess
import sys
import time
from pathlib import Path

# The peak resident size of a process starts at that of the process that forked it. So a small process forks it.
_BETWEEN = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code if code >= 0 else 128 - code)
"""


def acncodec(*arguments: str | Path) -> tuple[str, float, float]:
    """Run the command line: what it printed, seconds by the clock, and its peak memory in MiB. Raises RuntimeError."""
    command = [sys.executable, "-c", "from acncodec.cli.main import main; main()", *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-S", "-c", _BETWEEN, *command], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    *words, kibibytes = done.stderr.splitlines()
    if done.returncode:
        raise RuntimeError(f"acncodec {arguments[0]} ended with {done.returncode}: {' '.join(words)[-2000:]}")
    return done.stdout, seconds, json.loads(kibibytes) / 1024
