"""Set up every test: helpers are imported as ``tests.cases``, ``tests.checks`` and ``tests.models``."""

import sys
from pathlib import Path

import jax
import pytest

# The repository root on the path, so that ``tests`` is a package to import from wherever pytest starts.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Helpers hold no doctests, benchmarks are no tests.
collect_ignore = [
    "cases.py", "checks.py", "everyday.py", "fits.py", "kept_models.py", "models.py", "own_functions.py", "benchmarks",
    "programs", "faults",
]  # fmt: skip


def pytest_addoption(parser):
    parser.addoption("--leaks", action="store_true", help="let JAX look for values that outlive their trace")


def pytest_runtest_setup(item):
    if item.get_closest_marker("native") and jax.default_backend() != "cpu":
        pytest.skip("native kernels are for CPUs")


@pytest.fixture(autouse=True)
def _leaks(request):
    if not request.config.getoption("--leaks") or request.node.get_closest_marker("leaks"):
        yield
        return
    with jax.checking_leaks():
        yield
