"""Names that users of PyMC may look for and not find, and what serves instead."""

_STEPS = (
    "there are no step methods: px.sample draws every variable with the no-U-turn sampler and sums discrete ones out; "
    "samplers as objects are in px.samplers"
)
_STEP_METHODS = (
    "BinaryGibbsMetropolis", "BinaryMetropolis", "CategoricalGibbsMetropolis", "CompoundStep", "DEMetropolis",
    "DEMetropolisZ", "HamiltonianMC", "Metropolis", "NUTS", "Slice",
)  # fmt: skip
ADVICE = {
    **dict.fromkeys(_STEP_METHODS, _STEPS),
    **dict.fromkeys(("ConstantData", "MutableData"), "px.Data, which px.set_data can replace"),
    **dict.fromkeys(("Bound", "BoundedNormal"), "px.Truncated and px.TruncatedNormal draw between bounds"),
    "DensityDist": "px.CustomDist takes a log-density of yours, logp=",
    "KroneckerNormal": "write its covariance with px.math.kron, and px.MvNormal",
    "Simulator": "there are no simulators without a likelihood; px.lift takes one with gradients into a model",
    "compile": "model.compile_fn, model.compile_logp and model.compile_dlogp compile a model, with JAX",
    "gp": "there is no library of kernels: px.MvNormal with a covariance of yours is a Gaussian process, and "
    "px.predict draws it at new labels",
    "ode": "px.lift takes a solver written in JAX, like one of diffrax, into a model",
    "plate": "dims= or shape= of a variable; in functions of primitives, px.primitives.plate",
    "sample_ppc": "px.sample_posterior_predictive",
    "sample_smc": "there is no sequential Monte Carlo: px.sample, or px.fit for an approximation",
}
