"""In float32, the precision of accelerators, every distribution is finite where it is in float64."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cases import DISTRIBUTIONS
from tests.dist.single import points

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    kept = tmp_path_factory.mktemp("single") / "results.npz"
    environment = {**os.environ, "JAX_ENABLE_X64": "0"}
    subprocess.run([sys.executable, "-m", "tests.dist.single", kept], cwd=ROOT, env=environment, check=True)
    return np.load(kept)


@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=str)
def test_finite_in_single_precision(case, results):
    at, value = points(case), results[f"{case.name}/log_prob"]
    assert value.dtype == np.float32
    finite = np.isfinite(np.asarray(case.d.log_prob(at)))
    assert np.any(finite)
    assert np.all(np.isfinite(value[finite]))
    assert np.all(results[f"{case.name}/slopes are finite"][finite])
    assert np.all(np.isfinite(results[f"{case.name}/drawn"]))
