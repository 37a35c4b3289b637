"""What a leapfrog of the whole chain costs, beside the bare gradient in a loop, on both paths.

run as: python leapfrog.py [--repeats 7] [PROBLEM ...]
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from problems import PROBLEMS

import pyrox as px
from pyrox.samplers.compile import _NATIVE_OPTIONS, _as_one_kernel, as_kernel, trace_gradient
from pyrox.samplers.executables import Compilation
from pyrox.samplers.kernel import Info
from pyrox.samplers.passes.hoist import Hoisted
from pyrox.samplers.passes.rewrite import rewrite, unsupported
from pyrox.samplers.run import one_thread_each
from pyrox.target import target_of

STEPS = Info._fields.index("n_steps")
SECONDS = 0.3


def gradient_loops(density, data):
    """Compile loops of nothing but gradients, the ordinary way and, where it can be, as one kernel."""
    traced, _ = trace_gradient(density, jnp.zeros(density.dim), data)

    def loop(gradient):
        hoisted = Hoisted(gradient)

        def run(position, data, n):
            leaves = jax.tree.leaves(data)
            prepared = hoisted.prepare(*leaves)

            def step(_, q):
                return q + 1e-6 * jnp.clip(hoisted(prepared, q, *leaves)[1], -1, 1)

            return jax.lax.fori_loop(0, n, step, position)

        return run

    ordinary, kernel = rewrite(traced, {}), as_kernel(traced)
    shapes = jnp.zeros(density.dim), data, jnp.int32(1)
    begun = [Compilation(loop(ordinary), *shapes)]
    if not unsupported(kernel):
        begun.append(Compilation(_as_one_kernel(loop(kernel)), *shapes, options=_NATIVE_OPTIONS))
    return [compilation.result() for compilation in begun]


def per_call(executable, position, data, n):
    began = time.perf_counter()
    jax.block_until_ready(executable(position, data, np.int32(n)))
    return (time.perf_counter() - began) / n * 1e6


def measure(name, repeats):
    target = target_of(PROBLEMS[name].graph(px))
    program, loops = target.chain_program(target.data), gradient_loops(target.density, target.data)
    with one_thread_each(program):  # as in a run
        return program.native, *timings(target.density, target.data, program, loops, repeats)


def timings(density, data, program, loops, repeats):
    start = density.initial_position(jax.random.key(0), data)
    n = max(10, int(SECONDS / per_call(loops[0], start, data, 100) * 1e6))
    rows = []
    for repeat in range(repeats):
        row = [per_call(loop, start, data, n) for loop in (*loops, loops[0])[:2]]
        chain = program.start(np.array([0, repeat], np.uint32), start, 1000, 0.8)
        seconds, steps = 0.0, 0.0
        for _ in range(2000 // min(program.buffer, 1000)):
            began = time.perf_counter()
            chain, _, stats = program.advance(chain, data, min(program.buffer, 1000))
            seconds, steps = seconds + time.perf_counter() - began, steps + stats[:, STEPS].sum()
        rows.append([*row, seconds / steps * 1e6])
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(f"{'microseconds':20s}{'native':>8s}{'gradient':>10s}{'as kernel':>10s}{'leapfrog':>10s}{'ratio':>7s}")
    for name in options.problems or PROBLEMS:
        native, ordinary, kernel, chain = measure(name, options.repeats)
        bare = min(ordinary, kernel)
        print(f"{name:20s}{native!s:>8s}{ordinary:10.2f}{kernel:10.2f}{chain:10.2f}{chain / bare:7.2f}", flush=True)


if __name__ == "__main__":
    main()
