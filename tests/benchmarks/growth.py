"""Measure how the memory of one process grows over fits of different models.

run as: python -m tests.benchmarks.growth [--fits 200] [--warm 20] [--every 20]
The models differ in their structure, so that each is compiled anew. The figures are resident megabytes, and what
is alive: models, compiled programs in JAX's hands, Python objects. Nothing is kept between sessions (PYROX_CACHE=off),
so that every fit compiles.
"""

import argparse
import ctypes
import gc
import itertools
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("PYROX_CACHE", "off")

import jax
import numpy as np

import pyrox as px

FAMILIES = (
    lambda name, mu, scale, shape: px.Normal(name, mu, scale, shape=shape),
    lambda name, mu, scale, shape: px.StudentT(name, 4.0, mu, scale, shape=shape),
    lambda name, mu, scale, shape: px.Laplace(name, mu, scale, shape=shape),
    lambda name, mu, scale, shape: px.Logistic(name, mu, scale, shape=shape),
    lambda name, mu, scale, shape: px.Gumbel(name, mu, scale, shape=shape),
)
SCALES = (px.HalfNormal, px.HalfCauchy, px.Exponential)
LINKS = (lambda x: x, px.math.tanh, px.math.sin, px.math.exp)


def resident():
    """Give the megabytes that the process has in memory, without what its allocator keeps of freed memory."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def models():
    """Give models without end, no two of one structure."""
    for width in itertools.count(2):
        for family, scale, link in itertools.product(FAMILIES, SCALES, LINKS):
            with px.Model() as model:
                mu = px.Normal("mu", 0.0, 1.0)
                tau = scale("tau", 1.0)
                theta = family("theta", mu, tau, width)
                px.Normal("y", link(theta), 1.0, observed=np.linspace(-1.0, 1.0, width))
            yield model


def fit(model):
    """Sample a model briefly."""
    px.sample(20, tune=30, chains=2, model=model, random_seed=1, quiet=True, progressbar=False)


def alive(kind):
    """Count the living objects of a class."""
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


def main(fits, warm, every):
    """Print a line now and then, and how much was added after the first fits."""
    source, began, first = models(), time.perf_counter(), None
    for count in range(1, fits + warm + 1):
        fit(next(source))
        if count == warm or (count > warm and (count - warm) % every == 0):
            gc.collect()
            now = resident()
            first = now if first is None else first
            print(
                f"{count:4d} fits {now:7.1f} MB (+{now - first:.1f}), models {alive(px.Model)}, "
                f"executables {len(jax.devices()[0].client.live_executables())}, objects {len(gc.get_objects())}, "
                f"{time.perf_counter() - began:.0f} s",
                flush=True,
            )
    return now - first


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=200)
    parser.add_argument("--warm", type=int, default=20)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--limit", type=float, help="megabytes of growth above which it fails")
    chosen = parser.parse_args()
    grown = main(chosen.fits, chosen.warm, chosen.every)
    sys.exit(chosen.limit is not None and grown > chosen.limit)
