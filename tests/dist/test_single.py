"""In float32, the precision of accelerators, every distribution is finite where it is in float64."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.cases import DISTRIBUTIONS
from tests.dist.single import points

ROOT = Path(__file__).parents[2]


def test_finite_in_single_precision(tmp_path):
    kept = tmp_path / "results.npz"
    environment = {**os.environ, "JAX_ENABLE_X64": "0"}
    subprocess.run([sys.executable, "-m", "tests.dist.single", kept], cwd=ROOT, env=environment, check=True)
    results = np.load(kept)
    for case in DISTRIBUTIONS:
        value = results[f"{case.name}/log_prob"]
        assert value.dtype == np.float32, case
        finite = np.isfinite(np.asarray(case.d.log_prob(points(case))))
        assert np.any(finite), case
        assert np.all(np.isfinite(value[finite])), case
        assert np.all(results[f"{case.name}/slopes are finite"][finite]), case
        assert np.all(np.isfinite(results[f"{case.name}/drawn"])), case
