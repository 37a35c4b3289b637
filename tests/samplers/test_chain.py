"""A chain as one function: chunks do not matter, native and ordinary agree, nothing is traced twice."""

from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox.samplers import compile as compiler
from pyrox.samplers import executables
from pyrox.samplers.chain import Phase
from pyrox.samplers.compile import ChainProgram, stack
from pyrox.samplers.executables import _executables
from pyrox.samplers.kernel import Info
from pyrox.samplers.recipe import Recipe

COLUMN = {name: i for i, name in enumerate(Info._fields)}
DIM = 4
SCALES = jnp.array([0.01, 1.0, 10.0, 300.0])


def normal(position, data):
    return -0.5 * jnp.sum(((position - data) / SCALES) ** 2)


def ragged(position, data):
    """A density with a wall, so that transitions diverge."""
    return jnp.where(position[0] > -1, normal(position, data), -jnp.inf)


def key(n):
    return np.array([0, n], np.uint32)


@pytest.fixture(scope="module")
def programs():
    data = jnp.zeros(DIM)
    return {fused: ChainProgram(normal, DIM, data, fused=fused) for fused in (True, False)}


def run(program, chunks, data=None, num_warmup=300, start=1.0, seed=3):
    data = jnp.zeros(DIM) if data is None else data
    chain = program.start(key(seed), np.full(DIM, start), num_warmup, 0.8)
    draws, stats = [], []
    for n in chunks:
        chain, d, s = program.advance(chain, data, n)
        draws.append(d)
        stats.append(s)
    return chain, np.concatenate(draws), np.concatenate(stats)


@pytest.mark.native
def test_it_is_one_native_kernel_where_asked_for(programs):
    assert programs[True].native
    assert not programs[True].obstacles
    assert not programs[False].native


@pytest.mark.parametrize("fused", [True, False])
def test_chunks_do_not_change_a_bit(programs, fused):
    _, whole, whole_stats = run(programs[fused], [600])
    for chunks in ([1] * 600, [37] * 16 + [8], [0, 599, 1]):
        _, draws, stats = run(programs[fused], chunks)
        np.testing.assert_array_equal(draws, whole)
        np.testing.assert_array_equal(stats, whole_stats)


def test_all_ways_to_compile_make_the_same_transitions(programs, monkeypatch):
    monkeypatch.setattr(compiler, "_FEW_NUMBERS", 0)
    monkeypatch.setattr(executables, "_executables", OrderedDict())
    looping = ChainProgram(normal, DIM, jnp.zeros(DIM), fused=False)
    # Later on differences of the last bit have grown.
    _, draws, stats = run(programs[True], [25])
    for program in (programs[False], looping):
        _, others, other_stats = run(program, [25])
        np.testing.assert_allclose(others, draws, rtol=1e-6)
        np.testing.assert_allclose(other_stats, stats, rtol=1e-6, atol=1e-9)


def test_a_stored_state_goes_on_bit_for_bit(programs):
    program = programs[True]
    _, whole, _ = run(program, [400])
    chain, first, _ = run(program, [150])
    stored = jax.tree.map(lambda x: np.frombuffer(np.asarray(x).tobytes(), x.dtype).reshape(x.shape), chain)
    _, second, _ = program.advance(stored, jnp.zeros(DIM), 250)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


@pytest.mark.parametrize("fused", [True, False])
def test_it_learns_scales_and_step_size(programs, fused):
    chain, draws, stats = run(programs[fused], [1000, 1000], num_warmup=500)
    learnt = np.sqrt(np.diag(chain.kernel.metric.inverse_mass))
    np.testing.assert_allclose(learnt / SCALES, 1.0, rtol=0.35)
    assert 0.7 < stats[500:, COLUMN["acceptance_rate"]].mean() < 0.95
    # Once warm, nothing is tuned any more: a step is a whole one, or a quarter of it.
    assert set(stats[500:, COLUMN["step_size"]]) <= {chain.kernel.step_size.item(), chain.kernel.step_size.item() / 4}
    np.testing.assert_allclose(draws[500:].std(0) / SCALES, 1.0, rtol=0.2)


def test_statistics_are_consistent(programs):
    _, draws, stats = run(programs[True], [1000], num_warmup=300)
    column = {name: stats[:, i] for name, i in COLUMN.items()}
    np.testing.assert_allclose(column["lp"], [normal(d, jnp.zeros(DIM)) for d in draws], rtol=1e-10)
    assert np.all(column["n_steps"] <= 2 ** column["tree_depth"] - 1)
    assert np.all((column["acceptance_rate"] >= 0) & (column["acceptance_rate"] <= 1))
    assert np.all(np.abs(column["energy_error"]) <= np.abs(column["max_energy_error"]) + 1e-12)
    # The energy is that of the chosen point: potential plus a positive kinetic part.
    assert np.all(column["energy"] + column["lp"] > 0)


def test_divergences_are_seen():
    program = ChainProgram(ragged, DIM, jnp.zeros(DIM))
    _, draws, stats = run(program, [600], num_warmup=300)
    assert stats[:, COLUMN["diverging"]].sum() > 0
    assert np.all(draws[:, 0] > -1)


def test_the_depth_of_trajectories_is_limited():
    program = ChainProgram(normal, DIM, jnp.zeros(DIM), recipe=Recipe(max_tree_depth=2))
    _, _, stats = run(program, [300], num_warmup=20)
    assert stats[:, COLUMN["tree_depth"]].max() == 2
    assert stats[:, COLUMN["n_steps"]].max() <= 3
    assert stats[:, COLUMN["reached_max_treedepth"]].any()


def test_a_bad_start_is_told_without_a_transition(programs):
    program = programs[True]
    chain = program.start(key(0), np.full(DIM, np.nan), 10, 0.8)
    chain, _, _ = program.advance(chain, jnp.zeros(DIM), 0)
    assert not np.isfinite(chain.state.log_density)


def test_evaluation_leaves_the_start_where_it_is(programs):
    program = programs[True]
    chain = program.evaluate([program.start(key(0), np.ones(DIM), 10, 0.8)], jnp.zeros(DIM))[0]
    np.testing.assert_array_equal(chain.state.position, np.ones(DIM))
    np.testing.assert_allclose(chain.state.log_density, normal(jnp.ones(DIM), jnp.zeros(DIM)))
    np.testing.assert_allclose(chain.state.gradient, -1 / SCALES**2)
    assert chain.phase == Phase.SEARCH


def test_the_same_structure_is_compiled_once():
    before = set(_executables)
    ChainProgram(lambda q, d: normal(q, d) + 0.25, DIM, jnp.zeros(DIM))
    (new,) = set(_executables) - before
    ChainProgram(lambda q, d: normal(q, d) + 0.25, DIM, jnp.ones(DIM))
    assert set(_executables) - before == {new}


def test_while_xla_works_something_else_is_done_once():
    done = []
    ChainProgram(lambda q, d: normal(q, d) + 0.125, DIM, jnp.zeros(DIM), meanwhile=lambda: done.append(1))
    assert done == [1]
    with pytest.raises(ZeroDivisionError):
        ChainProgram(lambda q, d: normal(q, d) + 0.0625, DIM, jnp.zeros(DIM), meanwhile=lambda: 1 // 0)


@pytest.mark.native
def test_what_the_emitter_refuses_is_compiled_the_ordinary_way(monkeypatch):
    monkeypatch.setattr(compiler, "_NATIVE_OPTIONS", {"xla_no_such_option": "1"})
    program = ChainProgram(lambda q, d: normal(q, d) + 0.03125, DIM, jnp.zeros(DIM))
    assert not program.native
    (obstacle,) = program.obstacles
    assert "xla_no_such_option" in obstacle
    chain = program.evaluate([program.start(key(0), np.ones(DIM), 10, 0.8)], jnp.zeros(DIM))[0]
    np.testing.assert_allclose(chain.state.log_density, normal(jnp.ones(DIM), jnp.zeros(DIM)) + 0.03125)


def test_chains_side_by_side_equal_chains_one_by_one():
    data, num = jnp.zeros(DIM), 3
    one = ChainProgram(normal, DIM, data, fused=False, recipe=Recipe(adaptation="auto", strides=False, mixed=False))
    many = ChainProgram(normal, DIM, data, lanes=num)
    starts = [one.start(key(i), np.full(DIM, 0.5 + i), 100, 0.8) for i in range(num)]
    together, draws, stats = many.advance(stack(many.evaluate(starts, data)), data, 200)
    assert draws.shape == (num, 200, DIM)
    assert stats.shape == (num, 200, len(Info._fields))
    for i, start in enumerate(starts):
        _, alone, _ = one.advance(start, data, 200)
        # Rounding differs between the two programs, and chaos does the rest: the first draws tell.
        np.testing.assert_allclose(draws[i][:5], alone[:5], rtol=1e-6)
    assert np.all(np.isfinite(together.state.log_density))


def test_without_warmup_a_step_size_is_found_all_the_same(programs):
    _, _, stats = run(programs[True], [50], num_warmup=0, start=0.001)
    assert stats[0, COLUMN["step_size"]] > 0
    assert stats[:, COLUMN["acceptance_rate"]].mean() > 0.3
