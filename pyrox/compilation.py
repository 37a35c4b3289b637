"""Explain how a model will be compiled, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from pyrox.samplers.compile import as_kernel, trace_gradient, wants_native
from pyrox.samplers.passes.jaxprs import equations
from pyrox.samplers.passes.least_squares import Reduction
from pyrox.samplers.passes.rewrite import rewrite, unsupported
from pyrox.samplers.passes.rules import SMALL_FACTOR, SMALL_MATMUL
from pyrox.samplers.passes.single import flag_single_precision
from pyrox.target import target_of

_WORDS = {
    "cholesky": f"a Cholesky factorisation of more than {SMALL_FACTOR} rows, or of several matrices at once",
    "triangular_solve": f"a triangular system of more than {SMALL_FACTOR} rows, or several at once",
    "dot_general": f"a product of matrices with more than {SMALL_MATMUL} multiplications",
    "sort": "sorting",
    "top_k": "a selection of the largest",
    "eigh": "an eigendecomposition",
    "svd": "a singular value decomposition",
    "lu": "the solution of a linear system",
    "householder_product": "a QR decomposition",
    "fft": "a Fourier transform",
    "pure_callback": "a call back to Python",
    "io_callback": "a call back to Python",
    "debug_callback": "a call back to Python (jax.debug)",
}


@dataclass(frozen=True)
class CompilationReport:
    """How a model's chains will be compiled.

    Attributes
    ----------
    native
        Whether a whole chain becomes one native kernel.
    obstacles
        What keeps it from that: for each primitive the variables whose terms need it.
    reason
        Why, in a sentence.
    dim
        Length of a position.
    size
        Number of equations of the log-density with its gradient, on which the time of compilation depends.
    reductions
        The normal likelihoods with linear means whose rows are summed up before the run, each as its ``rows`` and the
        ``numbers`` they are summed up to.
    rounded
        Whether products with matrices of 64 kilobytes or more may be made in single precision between the points of a
        trajectory, where the warm-up finds that harmless; energies, and so the draws, have full precision.
    """

    native: bool
    obstacles: Mapping[str, tuple[str, ...]]
    reason: str
    dim: int
    size: int
    reductions: tuple[Reduction, ...] = ()
    rounded: bool = False

    def __str__(self) -> str:
        path = "one native kernel a chain" if self.native else "the ordinary path"
        lines = [f"{path}: {self.reason}"]
        for primitive, names in self.obstacles.items():
            what = _WORDS.get(primitive, f"the primitive {primitive!r}")
            lines.append(f"  {', '.join(names) or 'the model'}: {what}")
        for rows, numbers in self.reductions:
            lines.append(f"  a normal likelihood with a linear mean: {rows} rows are summed up to {numbers} numbers")
        if self.rounded:
            lines.append("  products with matrices: in single precision where no energy is asked for, if harmless")
        return "\n".join([*lines, f"{self.dim} dimensions, {self.size} equations for log-density and gradient"])

    __repr__ = __str__


def explain_compilation(
    model: Any = None, model_args: tuple = (), model_kwargs: Mapping[str, Any] | None = None
) -> CompilationReport:
    """Tell whether the chains of a model run as one native kernel each, and what keeps them from it.

    Nothing is compiled: the decision is read off the traced gradient, as ``px.sample`` does.

    Parameters
    ----------
    model
        A Model, or a function of primitives; None takes the enclosing ``with`` block's model.
    model_args, model_kwargs
        Arguments of a function.

    Returns
    -------
    A report that prints itself.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     mu = px.Normal("mu", 0.0, 1.0)
    ...     y = px.Normal("y", mu, 1.0, observed=[1.0, 2.0])
    ...     print(px.explain_compilation())  # doctest: +ELLIPSIS
    one native kernel a chain: every operation can be part of it
    1 dimensions, ... equations for log-density and gradient
    """
    target = target_of(model, model_args, model_kwargs)
    density, data = target.density, target.data
    position = jnp.zeros(density.dim)
    traced, reductions = trace_gradient(density, position, data)
    traced = as_kernel(traced)
    found = unsupported(traced)
    obstacles = _locate(density, position, data, found) if found else {}
    native = not found and jax.default_backend() == "cpu" and wants_native(None)
    size = sum(1 for _ in equations(traced.jaxpr))
    rounded = native and flag_single_precision(traced) is not None
    return CompilationReport(native, obstacles, _reason(found), density.dim, size, tuple(reductions), rounded)


def _reason(found: list[str]) -> str:
    if jax.default_backend() != "cpu":
        return f"native kernels are for CPUs, and JAX runs on {jax.default_backend()}; see px.set_platform"
    if not wants_native(None):
        return "PYROX_FUSED turns native kernels off"
    if found:
        return "large matrix algebra and some other operations are done by libraries, which a kernel cannot call"
    return "every operation can be part of it"


def _locate(density: Any, position: Any, data: Any, found: list[str]) -> dict[str, tuple[str, ...]]:
    """Name the variables whose terms of the log-density need a primitive."""
    terms = jax.eval_shape(density.site_terms, position, data)
    needs = {}
    for name in terms:
        gradient = jax.value_and_grad(lambda q, d, name=name: jnp.sum(density.site_terms(q, d)[name]))
        needs[name] = set(unsupported(rewrite(jax.make_jaxpr(gradient)(position, data))))
    return {primitive: tuple(name for name in terms if primitive in needs[name]) for primitive in found}
