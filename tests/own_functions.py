"""Functions of a user's, in a module of their own, where files that name them find them."""

import functools

import jax
import jax.numpy as jnp

import pyrox as px


def growth(t, rate):
    return 1 - jnp.exp(-rate * t)


@px.lift
def saturation(x, half):
    return x / (x + half)


@jax.jit
def wave(x):
    return jnp.sin(x), {"cosine": jnp.cos(x)}


def laplace(x, loc, scale):
    return -jnp.abs(x - loc) / scale - jnp.log(2 * scale)


def draw_laplace(key, loc, scale, shape=()):
    return loc + scale * jax.random.laplace(key, shape)


def decay(x, rate):
    return jnp.log(rate) - rate * x


def drift(x, rate):
    return -rate * x, 1.0


def power(x, exponent):
    return x**exponent


square = functools.partial(power, exponent=2.0)
