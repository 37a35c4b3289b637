"""The same random programs in pyrox and in NumPyro: same sites, same shapes, same densities."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from pyrox import handlers
from pyrox.model import log_density
from tests.model.programs import PYROX, RandomProgram, some_value

numpyro = pytest.importorskip("numpyro")

PEER = SimpleNamespace(
    sample=numpyro.sample,
    plate=numpyro.plate,
    deterministic=numpyro.deterministic,
    factor=numpyro.factor,
    dist=numpyro.distributions,
    scale=lambda value: numpyro.handlers.scale(scale=value),
    mask=lambda value: numpyro.handlers.mask(mask=value),
)
PROGRAMS = 300
# Every program is compiled once and run once: what counts is the time to compile.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def both(program, seed):
    """Log-densities and records of one program at the same values in both libraries."""
    choose = some_value(np.random.default_rng(seed))
    given = handlers.substitute(handlers.substitute(program, substitute_fn=choose), program.indices)
    first = handlers.trace(given).get_trace(PYROX)
    # What the observed sites get in a first run becomes the data; the free ones keep their values.
    program.observed = {name: first[name]["value"] for name in program.observed}
    free = {n: s["value"] for n, s in first.items() if s["type"] == "sample" and n not in program.observed}
    params = {**free, **program.indices}
    ours = log_density(program, (PYROX,), {}, params)
    theirs = numpyro.infer.util.log_density(program, (PEER,), {}, params)
    return ours, theirs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_same_sites_shapes_and_density(seed):
    program, records = RandomProgram(seed), []

    def compare():
        (ours, record), (theirs, peer) = both(program, seed)
        for each in (record, peer):
            # NumPyro keeps an empty observation at a factor.
            shown = {n: np.shape(s["value"]) for n, s in each.items() if not n.startswith("f")}
            records.append((list(each), shown))
        return ours, theirs

    ours, theirs = jax.jit(compare, compiler_options=QUICKLY)()
    assert records[0] == records[1]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_free_draws_have_the_same_shapes():
    # A whole run without any given value, so that broadcasting alone decides.
    for seed in range(5):
        program = RandomProgram(seed)
        ours = handlers.trace(handlers.seed(program, 0)).get_trace(PYROX)
        peer = numpyro.handlers.trace(numpyro.handlers.seed(program, jax.random.PRNGKey(0))).get_trace(PEER)
        shapes = {n: np.shape(s["value"]) for n, s in ours.items() if s["type"] == "sample"}
        assert shapes == {n: np.shape(peer[n]["value"]) for n in shapes}
