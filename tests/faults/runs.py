"""Wrong uses of what runs: px.sample, samplers as objects, approximations, handlers and programs."""

import jax.numpy as jnp
import numpy as np

import pyrox as px
from pyrox import dist, handlers, primitives, samplers, vi
from pyrox.errors import InitializationError, ModelError, NodeError, SamplingError, ShapeError, SupportError
from pyrox.primitives import deterministic, factor, param, plate, sample
from tests.faults.common import KEY, Row, program

RUN = {"draws": 5, "tune": 5, "chains": 1, "quiet": True}


def _sample(name, error, *words, **options):
    return Row(name, lambda m: px.sample(**{**RUN, "model": m, **options}), error, words)


def _program(name, fn, error, *words):
    return Row(name, lambda m: px.sample(**RUN, model=fn), error, words)


def _asks_if():
    if sample("a", dist.Normal(0.0, 1.0)) > 0:
        sample("b", dist.Normal(0.0, 1.0))


def _in_numpy():
    sample("y", dist.Normal(np.exp(sample("a", dist.Normal(0.0, 1.0))), 1.0), obs=1.0)


_SEEN = []


def _ever_new_names():
    _SEEN.append(0)
    sample(f"a{len(_SEEN)}", dist.Normal(0.0, 1.0))


def _impossible(m):
    with m:
        px.Potential("never", -np.inf + 0.0 * m["mu"])
    try:
        px.sample(**RUN, model=m)
    finally:
        del m.named_vars["never"]


def _outside(_):
    with px.Model() as other:
        px.Uniform("y", px.Normal("a") + 50.0, 100.0, observed=[1.0, 90.0])
    return other


def _no_scale(y):
    a = sample("a", dist.Normal(0.0, 1.0))
    sample("y", dist.Normal(0.0, -1.0 - a**2), obs=y)


def _no_scale_in_either_group(_):
    with px.Model() as other:
        z = px.Bernoulli("z", 0.5, shape=2)
        px.Normal("y", z, px.math.log(-px.HalfNormal("a")), observed=[0.0, 1.0])
    return other


def _build():
    with px.Model() as other:
        px.Normal("a")
    return other


def _only_discrete(_):
    with px.Model() as other:
        px.Bernoulli("z", 0.5)
    px.sample(**RUN, model=other)


def _without_end(_):
    with px.Model() as other:
        px.Normal("y", px.Normal("mu") * px.Poisson("k", 2.0), observed=1.0)
    px.sample(**RUN, model=other)


def _large_matrix(_):
    with px.Model() as other:
        px.MvNormal("wide", np.zeros(40), cov=px.HalfNormal("s") * np.eye(40), observed=np.zeros(40))
    px.sample(**RUN, model=other, fused=True)


SAMPLE = [
    _sample("no draws asked for", ValueError, "draws", "at least 1", "0", draws=0),
    _sample("half a draw", ValueError, "draws", "10.5", draws=10.5),
    _sample("draws by a word", ValueError, "draws", "'100'", draws="100"),
    Row("the model for draws", lambda m: px.sample(m), ValueError, ("draws", "model=")),
    _sample("a negative warm-up", ValueError, "tune", "-5", tune=-5),
    _sample("no chains", ValueError, "chains", "at least 1", chains=0),
    _sample("all cores by a word", ValueError, "cores", "'all'", cores="all"),
    _sample("a word for a seed", TypeError, "random_seed", "'a'", random_seed="a"),
    _sample("seeds for chains", TypeError, "random_seed", "[1, 2]", random_seed=[1, 2]),
    _sample("a bar that is no bar", ValueError, "progressbar", "'yes'", progressbar="yes"),
    _sample("a target of 1", ValueError, "target_accept", "between 0 and 1", "1.0", target_accept=1.0),
    _sample("a target by a word", ValueError, "target_accept", "'high'", target_accept="high"),
    _sample("a tree without depth", ValueError, "max_treedepth", "at least 1", max_treedepth=0),
    _sample("a tree too deep", ValueError, "max_treedepth", "at most 20", "30", max_treedepth=30),
    _sample("an unknown option of nuts", TypeError, "nuts", "target_accept", "'target'", nuts={"target": 0.9}),
    _sample("nuts by a word", TypeError, "nuts", "mapping", "'dense'", nuts="dense"),
    _sample("a target twice", TypeError, "twice", "0.8", "0.9", nuts={"target_accept": 0.9}, target_accept=0.8),
    _sample("an unknown adaptation", ValueError, "'low_rank'", "'full'", adaptation="full"),
    _sample("an unknown init", ValueError, "init", "'pathfinder'", "'mapp'", init="mapp"),
    _sample("an initval of nobody", ModelError, "initvals", "'nu'", "mu, level", initvals={"nu": 0.0}),
    _sample("an initval of what is observed", ModelError, "initvals", "'y'", initvals={"y": 0.0}),
    _sample("a missing initval", SupportError, "'mu'", "nan", initvals={"mu": np.nan}),
    _sample("an initval of another shape", ShapeError, "'mu'", "(2,)", "()", initvals={"mu": [1.0, 2.0]}),
    _sample("an initval by a word", ModelError, "'mu'", "must be numbers", initvals={"mu": "a"}),
    _sample("initvals by a word", ValueError, "initvals", "mapping", initvals="prior"),
    _sample("initvals of two chains for one", ValueError, "initvals", "list of 1", initvals=[{}, {}]),
    _sample("an unknown variable kept", ModelError, "var_names", "'nu'", "mu, level", var_names=["nu"]),
    _sample("a number for var_names", ModelError, "var_names", "met 3", var_names=3),
    _sample("an unknown group", TypeError, "idata_kwargs", "'loglik'", "log_likelihood", idata_kwargs={"loglik": True}),
    _sample("True for idata_kwargs", TypeError, "idata_kwargs", "dict", "True", idata_kwargs=True),
    _sample("another form of results", TypeError, "return_inferencedata", "True", return_inferencedata=False),
    _sample("a step method given", TypeError, "step=", "no-U-turn", step=1),
    _sample("a trace given", TypeError, "trace=", "checkpoint=", trace="x"),
    _sample("NumPyro's name for draws", TypeError, "num_samples=", "draws=", num_samples=10),
    _sample("a misspelt option", TypeError, "chanis=", "chains=?", chanis=2),
    _sample("a number for a store", TypeError, "checkpoint=", "path", checkpoint=3),
    _sample("a store that is there", FileExistsError, "px.resume", "another name", checkpoint="."),
    _sample("blocking by a word", TypeError, "blocking", "'no'", blocking="no"),
    _sample("fused by a word", TypeError, "fused", "'yes'", fused="yes"),
    _sample("a warm-up dropped by a word", TypeError, "discard_tuned_samples", "'no'", discard_tuned_samples="no"),
    _sample("the name of a model", ModelError, "model", "str", model="m"),
    _sample("arguments for a Model", ModelError, "model_args", "px.Data", model_args=(1,)),
    Row("a sample of nothing", lambda m: px.sample(**RUN), ModelError, ("with px.Model()", "model=")),
    Row("a sample of an empty model", lambda m: px.sample(**RUN, model=px.Model()), ModelError, ("no free variables",)),
    Row("an impossible model", _impossible, InitializationError, ("never", "The potential 'never' has", "initvals")),
    Row(
        "values that no start explains",
        lambda m: px.sample(**RUN, model=_outside(m)),
        InitializationError,
        ("'y' has log-density -inf", "1 of 2", "its value must be in the interval", "met 1. at 0"),
    ),
    Row(
        "a scale that is never positive",
        lambda m: px.sample(**RUN, model=_no_scale, model_args=(np.ones(3),)),
        InitializationError,
        ("'y' has log-density nan", "its parameter scale (sigma) must be positive", "met -"),
    ),
    Row(
        "no scale beside what is summed out",
        lambda m: px.sample(**RUN, model=_no_scale_in_either_group(m)),
        InitializationError,
        ("'y' has log-density nan", "its parameter scale (sigma) must be positive", "met nan"),
    ),
    Row("only discrete variables", _only_discrete, ModelError, ("'z'", "discrete", "px.sample_prior_predictive")),
    Row("infinitely many values", _without_end, ModelError, ("'k'", "Poisson", "Truncated")),
    _program("a program that asks if", _asks_if, NodeError, "_asks_if", "jnp.where"),
    _program("a program in NumPy", _in_numpy, NodeError, "_in_numpy", "jax.numpy"),
    _program("a program of ever new names", _ever_new_names, ModelError, "the same in every run"),
    _program("a program that states nothing", lambda: None, ModelError, "no free variables", "let it return that"),
    _program("a builder not called", _build, ModelError, "_build() returns a px.Model", "model=_build(...)"),
    Row(
        "a builder not called, of predictions",
        lambda m: px.sample_prior_predictive(5, model=_build),
        ModelError,
        ("_build() returns a px.Model", "model=_build(...)"),
    ),
    Row("a builder described", lambda m: px.model.describe(_build), ModelError, ("model=_build(...)",)),
    _program("a program without its argument", lambda u: None, TypeError, "'u'"),
]


def _mcmc(**options):
    return samplers.MCMC(samplers.NUTS(program), 10, 10, progress_bar=False, **options)


SAMPLERS = [
    Row("NUTS of a number", lambda m: samplers.NUTS(3), ModelError, ("NUTS", "px.Model", "met 3")),
    Row("NUTS of nothing", lambda m: samplers.NUTS(), ModelError, ("NUTS", "model", "potential_fn")),
    Row("a model and its energy", lambda m: samplers.HMC(program, lambda z: 0.0), ModelError, ("HMC", "either")),
    Row(
        "a target above 1",
        lambda m: samplers.NUTS(program, target_accept_prob=1.5),
        ValueError,
        ("between 0 and 1", "1.5"),
    ),
    Row(
        "a negative step",
        lambda m: samplers.NUTS(program, step_size=-1.0),
        ValueError,
        ("step_size", "positive", "-1.0"),
    ),
    Row(
        "a negative length",
        lambda m: samplers.HMC(program, trajectory_length=-1.0),
        ValueError,
        ("trajectory_length", "-1"),
    ),
    Row(
        "a start by a number", lambda m: samplers.NUTS(program, init_strategy=3), ModelError, ("init_strategy", "met 3")
    ),
    Row("MCMC of a program", lambda m: samplers.MCMC(program, 10, 10), ModelError, ("MCMC", "NUTS(...)", "program")),
    Row(
        "MCMC without samples", lambda m: samplers.MCMC(samplers.NUTS(program), 1, 0), ValueError, ("num_samples", "0")
    ),
    Row("MCMC without chains", lambda m: _mcmc(num_chains=0), ValueError, ("num_chains", "0")),
    Row("chains on a device", lambda m: _mcmc(chain_method="gpu"), ModelError, ("chain_method", "vectorized", "'gpu'")),
    Row("samples before a run", lambda m: _mcmc().get_samples(), ModelError, ("call run first",)),
    Row("a number for a key", lambda m: _mcmc().run(3), ModelError, ("rng_key", "jax.random.key(0)", "met 3")),
    Row(
        "an unknown field",
        lambda m: _mcmc().run(KEY, extra_fields=["u"]),
        ModelError,
        ("extra_fields", "'u'", "energy"),
    ),
    Row("starts of others", lambda m: _mcmc().run(KEY, init_params={"q": 1.0}), ModelError, ("init_params", "'a'")),
    Row(
        "starts without names",
        lambda m: _mcmc().run(KEY, init_params=jnp.zeros(7)),
        ModelError,
        ("init_params", "dict"),
    ),
    Row("more arguments than the program has", lambda m: _mcmc().run(KEY, 1, 2), TypeError, ("program()", "arguments")),
    Row(
        "a program to initialize that is none",
        lambda m: samplers.initialize_model(KEY, 3),
        ModelError,
        ("px.Model", "3"),
    ),
]


def _fit(name, error, *words, **options):
    return Row(name, lambda m: px.fit(**{"n": 5, "model": m, "progressbar": False, **options}), error, words)


def _steps_too_large(m, n=100, **options):
    px.fit(n, model=m, progressbar=False, random_seed=1, obj_optimizer=px.sgd(learning_rate=1e8), **options)


def _svi(guide, **options):
    return vi.SVI(program, guide, vi.optim.Adam(0.1), options.get("loss", vi.ELBO()))


FITS = [
    _fit("no steps", ValueError, "n is", "at least 1", "0", n=0),
    _fit("an unknown method", ValueError, "advi", "'advii'", method="advii"),
    _fit("a guide for a method", ValueError, "method is one of", "AutoNormal", method=vi.AutoNormal),
    _fit("an optimizer by name", ModelError, "optim", "Adam(0.01)", "'adam'", obj_optimizer="adam"),
    _fit("an optimizer by another word", TypeError, "optimizer=", "obj_optimizer=", optimizer=vi.optim.Adam(0.1)),
    _fit("a misspelt argument of fit", TypeError, "early_stoping=", "early_stopping=?", early_stoping=True),
    _fit("a number for callbacks", TypeError, "callbacks", "functions", "3", callbacks=3),
    _fit("a fit from nobody", ModelError, "initvals", "'nu'", "mu, level", start={"nu": 1.0}),
    _fit("a fit from a list", ModelError, "initvals", "dict", "[1]", start=[1]),
    Row(
        "a fit to values that no start explains",
        lambda m: px.fit(5, model=_outside(m), progressbar=False),
        InitializationError,
        ("'y' has log-density -inf", "its value must be in the interval", "met 1. at 0"),
    ),
    _fit("no draws for a gradient", ValueError, "obj_n_mc", "0", obj_n_mc=0),
    Row("a fit of steps too large", _steps_too_large, SamplingError, ("diverged at about step", "px.adam(", "MAP")),
    Row(
        "a fit of few steps too large",
        lambda m: _steps_too_large(m, 4),
        SamplingError,
        ("diverged at about step 1,", "smaller learning rate"),
    ),
    Row(
        "a fit of many correlations, by steps too large",
        lambda m: _steps_too_large(m, method="fullrank_advi"),
        SamplingError,
        ("diverged at about step", "smaller learning rate"),
    ),
    Row(
        "a fit that shrinks to a point",
        lambda m: px.fit(model=m, progressbar=False, random_seed=1, obj_optimizer=px.adam(learning_rate=100.0)),
        SamplingError,
        ("diverged", "leaves no distribution", "smaller learning rate"),
    ),
    Row(
        "a mode by another method",
        lambda m: px.find_MAP(model=m, method="powell"),
        ValueError,
        ("'L-BFGS-B'", "'powell'"),
    ),
    Row("the mode of nobody", lambda m: px.find_MAP(model=m, vars=["nu"]), ValueError, ("vars", "'nu'", "mu, level")),
    Row("a guide's class", lambda m: _svi(vi.AutoNormal), ModelError, ("guide", "AutoNormal(model)")),
    Row(
        "a guide of a builder",
        lambda m: vi.SVI(_build, vi.AutoNormal(_build), vi.optim.Adam(0.1), vi.ELBO()).run(KEY, 5),
        ModelError,
        ("AutoNormal: _build() returns a px.Model", "model=_build(...)"),
    ),
    Row("an objective's class", lambda m: _svi(vi.AutoNormal(program), loss=vi.ELBO), ModelError, ("loss", "ELBO()")),
    Row("an objective by name", lambda m: _svi(program, loss="elbo"), ModelError, ("loss", "'elbo'")),
    Row("a number for SVI's key", lambda m: _svi(vi.AutoNormal(program)).run(3, 5), ModelError, ("rng_key", "met 3")),
    Row("no steps of SVI", lambda m: _svi(vi.AutoNormal(program)).run(KEY, 0), ValueError, ("num_steps", "0")),
    Row(
        "a guide of nothing", lambda m: _svi(lambda: None).run(KEY, 5), ModelError, ("'a'", "latent variable", "guide")
    ),
    Row("a guide of a number", lambda m: vi.AutoNormal(3), ModelError, ("AutoNormal", "px.Model", "met 3")),
    Row(
        "a guide asked too early",
        lambda m: vi.AutoNormal(program).sample_posterior(KEY, {}, ()),
        ModelError,
        ("svi.init",),
    ),
    Row("a bound of no particles", lambda m: vi.ELBO(num_particles=0), ValueError, ("num_particles", "0")),
    Row("an order by a word", lambda m: vi.RenyiELBO(alpha="a"), ValueError, ("alpha", "'a'")),
    Row("the order of the ELBO", lambda m: vi.RenyiELBO(alpha=1.0), ValueError, ("alpha = 1", "ELBO(num_particles)")),
]


def _seeded(fn):
    return handlers.seed(fn, KEY)()


def _plate_of_another_size():
    with plate("p", 3):
        sample("a", dist.Normal(jnp.zeros(2), 1.0))


def _plate_in_itself():
    with plate("p", 3), plate("p", 3):
        sample("a", dist.Normal(0.0, 1.0))


def _subsample_of_more():
    with plate("p", 3, subsample_size=5):
        sample("a", dist.Normal(0.0, 1.0))


def _plate_in_a_model(m):
    with m, plate("p", 3):
        px.Normal("a")


HANDLERS = [
    Row("a sample without a seed", lambda m: handlers.trace(program).get_trace(), ModelError, ("'a'", "handlers.seed")),
    Row("a seed without a key", lambda m: handlers.seed(program), ValueError, ("rng_seed", "key")),
    Row("a seed by a word", lambda m: handlers.seed(program, "a")(), ValueError, ("rng_seed", "'a'")),
    Row("a handler around a number", lambda m: handlers.seed(3, KEY)(), ModelError, ("seed", "px.Model", "met 3")),
    Row("a trace of a number", lambda m: handlers.trace(3).get_trace(), ModelError, ("trace", "met 3")),
    Row("nothing to condition on", lambda m: handlers.condition(program), ValueError, ("condition", "param_map")),
    Row("nothing to replay", lambda m: handlers.replay(program), ValueError, ("replay", "guide_trace")),
    Row("values replayed", lambda m: handlers.replay(program, {"a": 1.0}), ModelError, ("'a'", "substitute")),
    Row("a negative weight", lambda m: handlers.scale(program, -1.0), ValueError, ("scale_factor", "-1.0")),
    Row("nothing to mask", lambda m: handlers.mask(program), ValueError, ("mask", "True")),
    Row("no prefix", lambda m: handlers.scope(program), ModelError, ("prefix", "''")),
    Row("no prior to lift to", lambda m: handlers.lift(program), ValueError, ("prior",)),
    Row(
        "a reparam of what is not transformed",
        lambda m: _seeded(handlers.reparam(program, config={"a": handlers.TransformReparam()})),
        ModelError,
        ("'a'", "Normal", "not a transformed"),
    ),
    Row("a number for a distribution", lambda m: _seeded(lambda: sample("a", 3.0)), ModelError, ("'a'", "met 3.0")),
    Row(
        "a distribution's class",
        lambda m: _seeded(lambda: sample("a", dist.Normal)),
        ModelError,
        ("'a'", "Normal(...)"),
    ),
    Row("an observed word", lambda m: _seeded(lambda: sample("a", dist.Normal(), obs="u")), ModelError, ("'a'", "'u'")),
    Row("a number for a name", lambda m: _seeded(lambda: sample(3, dist.Normal())), ModelError, ("name", "met 3")),
    Row(
        "a plate of another size", lambda m: _seeded(_plate_of_another_size), ShapeError, ("a:", "(2,)", "'p'", "(3,)")
    ),
    Row("a plate in itself", lambda m: _seeded(_plate_in_itself), ModelError, ("'p'", "inside itself")),
    Row("a subsample of more than all", lambda m: _seeded(_subsample_of_more), ShapeError, ("'p'", "3", "5")),
    Row("a plate of a word", lambda m: _seeded(lambda: plate("p", "u").__enter__()), ShapeError, ("'p'", "'u'")),
    Row("a plate in a model", _plate_in_a_model, ModelError, ("'p'", "dims=")),
    Row("a parameter without value", lambda m: _seeded(lambda: param("u")), ModelError, ("'u'", "start from")),
    Row(
        "a parameter outside",
        lambda m: _seeded(lambda: param("u", -1.0, constraint=dist.constraints.positive)),
        SupportError,
        ("'u'", "positive", "-1.0"),
    ),
    Row(
        "a constraint by name",
        lambda m: _seeded(lambda: param("u", 1.0, constraint="positive")),
        ModelError,
        ("'u'", "px.dist.constraints"),
    ),
    Row("a term of the density by a word", lambda m: _seeded(lambda: factor("u", "v")), ModelError, ("'u'", "'v'")),
    Row("a named None", lambda m: _seeded(lambda: deterministic("u", None)), ModelError, ("'u'", "None", "return")),
    Row(
        "two sites of one name",
        lambda m: px.model.LogDensity.build(lambda: (program(), program())),
        ModelError,
        ("'a'", "two statements"),
    ),
    Row("primitives without a distribution", lambda m: _seeded(lambda: primitives.sample("a")), TypeError, ("'fn'",)),
]

AREAS = {"sample": SAMPLE, "samplers": SAMPLERS, "fits": FITS, "handlers": HANDLERS}
