"""Measure the peak memory of a checkpointed run of d = 1000, short and long.

run as: python -m tests.benchmarks.memory [--draws 1000 20000]
Each run is a process of its own: 4 chains, the figure is its largest resident set.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = """
import resource, sys
import numpy as np
import pyrox as px

with px.Model() as model:
    px.Normal("x", 0.0, np.exp(np.random.default_rng(0).normal(size=1000)), shape=1000)
idata = px.sample(int(sys.argv[1]), tune=300, model=model, random_seed=1, checkpoint=sys.argv[2], progressbar=False)
assert idata["posterior"]["x"].shape == (4, int(sys.argv[1]), 1000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak(draws):
    """Give the peak in MB of a run, and its seconds."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(draws), str(Path(folder) / "run.zarr")]
        out = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(out.stdout), time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, nargs="+", default=[1000, 20_000])
    for draws in parser.parse_args().draws:
        memory, seconds = peak(draws)
        print(f"4 x {draws} draws of d = 1000: peak {memory:.0f} MB, {seconds:.0f} s", flush=True)
