"""Collecting from a loop: the same values whatever the pieces."""

from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyrox.samplers import collect, fori_collect

Walk = namedtuple("Walk", "key x steps")
START = Walk(jax.random.key(0), jnp.zeros(3), jnp.zeros((), int))


def walk(state):
    key, now = jax.random.split(state.key)
    return Walk(key, state.x + jax.random.normal(now, (3,)), state.steps + 1)


def by_hand(lower, upper):
    state, found, body = START, [], jax.jit(walk)
    for i in range(upper):
        state = body(state)
        if i >= lower:
            found.append(state)
    return found


@pytest.mark.parametrize("progbar", [True, False])
@pytest.mark.parametrize("lower", [0, 1, 29])
def test_it_collects_what_the_loop_passes_through(lower, progbar):
    found = fori_collect(lower, 30, walk, START, progbar=progbar)
    expected = by_hand(lower, 30)
    assert type(found) is Walk
    np.testing.assert_array_equal(found.steps, np.arange(lower + 1, 31))
    np.testing.assert_allclose(found.x, np.stack([s.x for s in expected]), rtol=1e-14)
    assert jnp.array_equal(jax.random.key_data(found.key[-1]), jax.random.key_data(expected[-1].key))
    assert START.x.sum() == 0  # the start is the caller's still


def test_pieces_change_nothing(monkeypatch):
    whole = fori_collect(5, 200, walk, START, progbar=False)
    monkeypatch.setattr(collect, "_PIECE_SECONDS", 0.0)
    single = fori_collect(5, 200, walk, START)
    np.testing.assert_array_equal(single.x, whole.x)


def test_transform_and_compiled_use():
    def squares(x):
        return fori_collect(1, 4, lambda v: v + 1, x, transform=lambda v: {"square": v**2, "v": (v,)}, progbar=False)

    np.testing.assert_array_equal(squares(jnp.array(0))["square"], [4, 9, 16])
    mapped = jax.jit(jax.vmap(squares))(jnp.arange(3))
    np.testing.assert_array_equal(mapped["v"][0], [[2, 3, 4], [3, 4, 5], [4, 5, 6]])
    np.testing.assert_array_equal(fori_collect(0, 3, lambda v: v + 1, 0, progbar=False), [1, 2, 3])


class Recorder:
    def __init__(self):
        self.seen, self.closed = [], False

    def update(self, done, describe):
        self.seen.append((done, describe()))

    def close(self):
        self.closed = True


def test_progress(monkeypatch):
    recorder, asked = Recorder(), []
    monkeypatch.setattr(collect, "start_progress", lambda total, title: asked.append((total, title)) or recorder)
    fori_collect(0, 50, walk, START, progbar_desc="walking", diagnostics_fn=lambda s: f"{s.steps} steps")
    assert asked == [(50, "walking")]
    assert recorder.seen[-1] == (50, "50 steps")
    assert all(words == f"{done} steps" for done, words in recorder.seen)
    assert recorder.closed


def test_an_interrupt_ends_it(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(collect, "start_progress", lambda total, title: recorder)

    def interrupt(state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fori_collect(0, 50, walk, START, diagnostics_fn=interrupt)
    assert recorder.closed


def test_what_is_closed_over_may_change():
    size = [1.0]
    first = fori_collect(0, 2, lambda x: x + size[0], 0.0)
    size[0] = 2.0
    second = fori_collect(0, 2, lambda x: x + size[0], 0.0)
    assert (first.tolist(), second.tolist()) == ([1.0, 2.0], [2.0, 4.0])


def test_wrong_input_is_told():
    for lower, upper in ((-1, 3), (3, 3), (4, 3)):
        with pytest.raises(ValueError, match="0 <= lower < upper"):
            fori_collect(lower, upper, walk, START)
    with pytest.raises(TypeError, match="does not know the option 'desc'"):
        fori_collect(0, 3, walk, START, desc="x")
    with pytest.raises(TypeError):
        fori_collect(0, 3, lambda x: jnp.stack([x, x]), jnp.zeros(2), progbar=False)
