"""What a PyMC user types works: whole programs, transforms, options, and functions under PyMC's names."""

import inspect
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

import pyrox as px
from pyrox.errors import ModelError
from tests.everyday import FILES, Program

SHARED = Path(__file__).resolve().parents[2] / "shared" / "dialect"
SHORT = {"draws": 20, "tune": 30, "chains": 1, "random_seed": 1, "quiet": True}
tr = px.distributions.transforms


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [path.stem for path in sorted(SHARED.glob("p*.json"))] or ["absent"])
def test_shared_programs_agree_with_pymc(name):
    if name == "absent":
        pytest.skip("the shared programs are not here")
    shared = runpy.run_path(str(SHARED / "run.py"))
    result, _ = shared["evaluate"]("pyrox", SHARED / f"{name}.py")
    reference = shared["json"].loads((SHARED / f"{name}.json").read_text())
    assert not shared["compare"](result, reference)


@pytest.mark.parametrize("name", FILES)
def test_everyday_programs_build_and_sample(name):
    program = Program(name)
    model, names = program.build(px)
    assert np.isfinite(model.compile_logp()(model.initial_point()))
    with model:
        idata = px.sample(**SHORT, **program.sampling)
    for variable in names:
        draws = idata["posterior"][variable]
        assert draws.shape[:2] == (1, 20)
        assert np.all(np.isfinite(draws.values))
        dims = model.named_vars_to_dims.get(variable)
        assert dims is None or draws.dims[2:] == dims


# Transforms: what the values are like

TRANSFORMS = {
    "ordered": (lambda: px.Normal("x", shape=3, transform=tr.ordered), lambda x: np.diff(x) > 0),
    "ordered and positive": (
        lambda: px.HalfNormal("x", shape=3, transform=tr.ordered),
        lambda x: (np.diff(x) > 0) & (x[..., :1] > 0),
    ),
    "log": (lambda: px.Normal("x", transform=tr.log), lambda x: x > 0),
    "log_exp_m1": (lambda: px.HalfNormal("x", default_transform=tr.log_exp_m1), lambda x: x > 0),
    "logodds": (lambda: px.Normal("x", transform=tr.logodds), lambda x: (x > 0) & (x < 1)),
    "interval": (lambda: px.Normal("x", transform=tr.Interval(-1, 2)), lambda x: (x > -1) & (x < 2)),
    "half-line": (lambda: px.Normal("x", transform=tr.Interval(lower=3)), lambda x: x > 3),
    "other half-line": (lambda: px.Normal("x", transform=tr.Interval(upper=-1, lower=-np.inf)), lambda x: x < -1),
    "circular": (lambda: px.VonMises("x", 3.0, 2.0, transform=tr.circular), lambda x: np.abs(x) <= np.pi),
    "simplex": (lambda: px.Dirichlet("x", np.ones(3), transform=tr.simplex), lambda x: np.isclose(x.sum(-1), 1)),
    "sum_to_1": (lambda: px.Normal("x", shape=3, transform=tr.sum_to_1), lambda x: np.isclose(x.sum(-1), 1)),
    "zero sum": (
        lambda: px.Normal("x", shape=3, transform=tr.ZeroSumTransform([-1])), lambda x: np.abs(x.sum(-1)) < 1e-9
    ),
    "chain": (lambda: px.Normal("x", transform=tr.Chain([tr.log, tr.logodds])), lambda x: (x > 1) & (x < np.e)),
    "on top of another": (
        lambda: px.HalfNormal("x", shape=2, default_transform=tr.log_exp_m1, transform=tr.ordered),
        lambda x: (np.diff(x) > 0) & (x[..., :1] > 0),
    ),
    "packed factor": (
        lambda: px.LKJCholeskyCov(
            "x", n=2, eta=1.0, sd_dist=px.HalfNormal.dist(1.0), compute_corr=False, transform=tr.CholeskyCovPacked(2)
        ),
        lambda x: x[..., [0, 2]] > 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TRANSFORMS)
def test_transforms_under_pymcs_names(case):
    state, holds = TRANSFORMS[case]
    with px.Model() as model:
        state()
    draws = px.sample(model=model, **SHORT)["posterior"]["x"].values
    assert np.all(holds(draws))


def test_ordered_variables_have_the_density_of_order_statistics():
    with px.Model():
        px.HalfNormal("x", shape=3, transform=tr.ordered)
        draws = px.sample(2000, tune=500, chains=4, random_seed=3, quiet=True)["posterior"]["x"].values
    sorted_draws = np.sort(np.abs(np.random.default_rng(0).normal(size=(400_000, 3))), axis=-1).mean(axis=0)
    # About 4,000 effective draws of deviation 0.4: 0.04 are six standard errors.
    np.testing.assert_allclose(draws.mean(axis=(0, 1)), sorted_draws, atol=0.04)


WRONG_TRANSFORMS = {
    "no bounds": (lambda: tr.Interval(), "needs a bound"),
    "reversed": (lambda: tr.Interval(2, 1), "lower must be less than upper; met 2.0 and 1.0"),
    "function": (lambda: tr.Interval(lambda *_: (0, 1)), "px.Truncated"),
    "axes": (lambda: tr.ZeroSumTransform([0]), r"takes the last axes, \[-1\] or \[-2, -1\]; met \[0\]"),
    "default": (lambda: px.Normal("x", default_transform="log"), "default_transform is one of px.dist.transforms"),
}


@pytest.mark.parametrize("case", WRONG_TRANSFORMS)
def test_wrong_transforms_are_told(case):
    call, words = WRONG_TRANSFORMS[case]
    with pytest.raises(ModelError, match=words), px.Model():
        call()


def test_distributions_are_where_pymc_keeps_them():
    assert px.distributions.Normal is px.Normal
    assert px.Lognormal is px.LogNormal
    with pytest.raises(AttributeError, match=r"px\.distributions has no 'normal'"):
        px.distributions.normal


# Arguments of statements

SIGNATURES = {
    "Deterministic": ["name", "var", "model", "dims"],
    "Potential": ["name", "var", "model", "dims"],
    "Data": ["name", "value", "dims", "coords", "infer_dims_and_coords", "model"],
    "set_data": ["new_data", "model", "coords"],
    "find_constrained_prior": [
        "distribution", "lower", "upper", "init_guess", "mass", "fixed_params", "mass_below_lower"
    ],
    "Minibatch": ["variable", "variables", "batch_size"],
    "draw": ["vars", "draws", "random_seed"],
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_stand_where_pymc_has_them(name):
    assert list(inspect.signature(getattr(px, name)).parameters) == SIGNATURES[name]


def test_statements_for_a_model_given():
    with px.Model() as model:
        x = px.Normal("x")
    px.Deterministic("twice", 2 * x, model)
    px.Potential("penalty", -(x**2), model=model)
    px.Data("d", [1.0], model=model)
    assert list(model.named_vars) == ["x", "twice", "penalty", "d"]
    with model, pytest.raises(ModelError, match=r"write dims='row'; the third argument is a model"):
        px.Deterministic("other", 2 * x, "row")


def test_dims_and_labels_of_a_table():
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=pd.Index(["p", "q"], name="row"))
    with px.Model() as model:
        x = px.Data("x", table.rename_axis(columns="column"), infer_dims_and_coords=True)
        y = px.Data("y", table["a"], infer_dims_and_coords=True)
        px.Data("z", table.rename_axis(columns="column").stack().unstack().to_xarray().to_dataarray("column").T,
                infer_dims_and_coords=True)  # fmt: skip
        assert (x.dims, y.dims) == (("row", "column"), ("row",))
        assert model.coords == {"row": ("p", "q"), "column": ("a", "b")}
        assert model["z"].dims == ("row", "column")
        with pytest.raises(ModelError, match=r"axis 1 has no name to take for a dim: df.rename_axis\(...\), or dims="):
            px.Data("w", table, infer_dims_and_coords=True)
        with pytest.raises(ModelError, match="needs a pandas or xarray object"):
            px.Data("w", [1.0], infer_dims_and_coords=True)


def test_size_is_for_unnamed_distributions():
    assert px.draw(px.Normal.dist(0.0, 1.0, size=4)).shape == (4,)
    assert px.draw(px.Dirichlet.dist([1.0, 1.0, 1.0], size=4)).shape == (4, 3)
    with px.Model():
        mu = px.Normal("mu")
        px.CustomDist("y", mu, dist=lambda mu, size: px.Normal.dist(mu, 1.0, size=size), observed=[1.0, 2.0])
        with pytest.raises(ModelError, match=r"Normal 'x': write shape=.*size= is for Normal.dist"):
            px.Normal("x", size=3)


def test_total_size_by_axis():
    with px.Model() as model:
        px.Normal("x")
        px.Normal("y", 0.0, 1.0, observed=np.zeros((2, 3)), total_size=[20, None])
        px.Normal("z", 0.0, 1.0, observed=np.zeros((2, 3)), total_size=(20, ...))
    terms = model.point_logps(round_vals=8)
    assert np.isclose(terms["y"], -60 * np.log(2 * np.pi) / 2)
    assert terms["y"] == terms["z"]


# Options of px.sample

ACCEPTED = [
    {"init": "auto"},
    {"progressbar": "combined"},
    {"step": None, "trace": None, "callback": None, "mp_ctx": None, "blas_cores": "auto", "keep_warning_stat": False},
    {"nuts_sampler": "pymc", "nuts_sampler_kwargs": None, "n_init": 200_000, "jitter_max_retries": 10},
    {"compile_kwargs": {}, "return_inferencedata": True, "backend": "jax", "cores": 1},
]


@pytest.mark.parametrize("options", ACCEPTED)
def test_defaults_of_pymc_ask_for_nothing(options):
    with px.Model() as model:
        px.Normal("x")
    expected = px.sample(model=model, **SHORT)["posterior"]["x"]
    np.testing.assert_array_equal(px.sample(model=model, **SHORT, **options)["posterior"]["x"], expected)


def test_init_may_name_the_adaptation():
    with px.Model() as model:
        px.Normal("x", shape=2)
    inits = {"dense": ("adapt_full", "jitter+adapt_full"), "diag": ("jitter+adapt_diag", "adapt_diag_grad")}
    for adaptation, names in inits.items():
        named = px.sample(model=model, adaptation=adaptation, **SHORT)["posterior"]["x"]
        for init in names:
            np.testing.assert_array_equal(px.sample(model=model, init=init, **SHORT)["posterior"]["x"], named)
    dense = px.sample(model=model, adaptation="dense", **SHORT)["posterior"]["x"]
    given = px.sample(model=model, init="adapt_full", nuts={"adaptation": "diag"}, **SHORT)["posterior"]["x"]
    assert not np.array_equal(given, dense)


REFUSED = {
    "sampler": ({"nuts_sampler": "numpyro"}, TypeError, "nuts_sampler=: leave it out: there is one"),
    "context": ({"mp_ctx": "spawn"}, TypeError, "chains run on threads"),
    "warnings": ({"keep_warning_stat": True}, TypeError, "findings are warnings"),
    "init": ({"init": "advi_map"}, ValueError, 'not \'advi_map\'; init="pathfinder" starts near the mode'),
    "bar": ({"progressbar": "loud"}, ValueError, "progressbar is True, False, or one of 'combined'.*met 'loud'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_place_is_told(case):
    options, error, words = REFUSED[case]
    with px.Model() as model:
        px.Normal("x")
    with pytest.raises(error, match=words):
        px.sample(model=model, **SHORT, **options)


# Functions

MATH = """
abs and_ arccos arccosh arcsin arcsinh arctan arctanh as_tensor batched_diag block_diagonal broadcast_to cartesian ceil
clip concatenate constant cos cosh cumprod cumsum diff dot eq erf erfc erfcinv erfinv exp expand_packed_triangular
flat_outer flatten flatten_list floor full full_like ge gt invlogit invprobit kron_diag kron_dot kron_solve_lower
kron_solve_upper kronecker le log log1mexp log1pexp log_softmax logaddexp logdet logdiffexp logit logsumexp lt matmul
max maximum mean min minimum neq ones ones_like or_ probit prod round sgn sigmoid sin sinh softmax sqr sqrt stack sum
switch tan tanh where zeros zeros_like
"""


@pytest.mark.parametrize("name", MATH.split())
def test_math_has_pymcs_names(name):
    assert callable(getattr(px.math, name))


def test_math_of_kronecker_products():
    rng = np.random.default_rng(2)
    a, b, v = rng.normal(size=(2, 2)), rng.normal(size=(3, 3)), rng.normal(size=(6, 2))
    lower = [np.tril(m) + 3 * np.eye(len(m)) for m in (a, b)]
    upper = [m.T for m in lower]
    np.testing.assert_allclose(px.math.kron_dot([a, b], v), np.kron(a, b) @ v)
    np.testing.assert_allclose(px.math.kron_dot([a, b], v[:, 0]), np.kron(a, b) @ v[:, 0])
    np.testing.assert_allclose(px.math.kron_solve_lower(lower, v), np.linalg.solve(np.kron(*lower), v))
    np.testing.assert_allclose(px.math.kron_solve_upper(upper, v), np.linalg.solve(np.kron(*upper), v))
    np.testing.assert_allclose(px.math.kron_diag(np.diag(a), np.diag(b)), np.diag(np.kron(a, b)))
    np.testing.assert_allclose(px.math.batched_diag(v)[4], np.diag(v[4]))
    np.testing.assert_allclose(px.math.batched_diag(np.stack([a, a])), [np.diag(a)] * 2)
    np.testing.assert_allclose(px.math.erfcinv(0.3), special.erfcinv(0.3))
    assert px.math.flatten_list([a, b]).shape == (13,)
    assert px.math.cartesian([1, 2], [[3, 4]]).tolist() == [[1, 3, 4], [2, 3, 4]]


def test_packed_triangles():
    packed = np.arange(1.0, 7.0)
    lower = [[1, 0, 0], [2, 3, 0], [4, 5, 6]]
    np.testing.assert_array_equal(px.expand_packed_triangular(3, packed), lower)
    upper = px.expand_packed_triangular(3, packed, lower=False)
    np.testing.assert_array_equal(upper, [[1, 2, 3], [0, 4, 5], [0, 0, 6]])
    np.testing.assert_array_equal(px.expand_packed_triangular(3, packed, diagonal_only=True), [1, 3, 6])
    with px.Model():
        x = px.Normal("x", shape=6)
        assert px.expand_packed_triangular(3, x).shape == (3, 3)
        np.testing.assert_array_equal(px.expand_packed_triangular(3, x).eval({"x": packed}), lower)


def test_functions_at_the_top():
    with px.Model():
        x = px.Normal("x")
        y = px.invlogit(x) + px.logit(0.5) + px.logsumexp(x) + px.logaddexp(x, x) + px.invprobit(x) + px.probit(0.5)
    assert np.isclose(y.eval({"x": 0.0}), 0.5 + np.log(2.0) + 0.5)


def test_arvizs_functions_come_when_they_are_asked_for():
    code = (
        "import sys, pyrox as px; assert 'plot_trace' in dir(px); assert 'arviz' not in sys.modules; px.summary; "
        "assert 'arviz' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with px.Model():
        px.Normal("x", shape=2)
        idata = px.sample(**SHORT)
    assert list(px.summary(idata).index) == ["x[0]", "x[1]"]
    assert px.stats.summary is px.summary is px.plots.summary
    assert callable(px.plot_trace)
    with pytest.raises(AttributeError, match="'pyrox' has no attribute 'plot_nothing'"):
        px.plot_nothing
    with pytest.raises(AttributeError, match=r"no attribute 'Norml': did you mean px\.Normal\?"):
        px.Norml


# Priors from what is known

PRIORS = [
    (px.Gamma, {"alpha": 1.0, "beta": 10.0}, {}, 0.1, 0.4, None),
    (px.Beta, {"alpha": 2.0, "beta": 2.0}, {}, 0.1, 0.3, 0.01),
    (px.StudentT, {"mu": 5.0, "sigma": 2.0}, {"nu": 7.0}, 0.0, 1.0, None),
    (px.LogNormal, {"mu": 0.0, "sigma": 1.0}, {}, 1.0, 10.0, None),
]


@pytest.mark.parametrize("case", PRIORS, ids=lambda case: case[0].__name__)
def test_constrained_priors_have_the_mass(case):
    kind, guess, fixed, lower, upper, below = case
    found = px.find_constrained_prior(kind, lower, upper, guess, mass=0.9, fixed_params=fixed, mass_below_lower=below)
    assert found.keys() == guess.keys()
    ends = [np.exp(float(px.logcdf(kind.dist(**found, **fixed), x).eval())) for x in (lower, upper)]
    wanted = 0.05 if below is None else below
    np.testing.assert_allclose(ends, [wanted, wanted + 0.9], atol=2e-3)


def test_constrained_priors_of_one_parameter():
    found = px.find_constrained_prior(px.Exponential, 0.0, 3.0, {"lam": 1.0}, mass=0.9, mass_below_lower=0.0)
    np.testing.assert_allclose(found["lam"], -np.log(0.1) / 3)
    with pytest.raises(ModelError, match=r"no Exponential with mass 0\.9 between 1\.0 and 1\.1 was found"):
        px.find_constrained_prior(px.Exponential, 1.0, 1.1, {"lam": 1.0}, mass=0.9)
    with pytest.raises(ModelError, match="lower < upper"):
        px.find_constrained_prior(px.Exponential, 2.0, 1.0, {"lam": 1.0})
    with pytest.raises(ModelError, match="takes a statement"):
        px.find_constrained_prior("Gamma", 1.0, 2.0, {"alpha": 1.0})
    with pytest.raises(ModelError, match="no parameter 'scle'"):
        px.find_constrained_prior(px.Exponential, 1.0, 2.0, {"scle": 1.0})


def test_misspelt_parameters_and_options_are_told_their_names():
    with px.Model(coords={"shop": ["north", "south"]}):
        with pytest.raises(ModelError, match="did you mean sigma="):
            px.Normal("a", 0, sgima=1)
        with pytest.raises(ModelError, match="did you mean dims="):
            px.Normal("a", 0, 1, dim="shop")
    with pytest.raises(ModelError, match=r"scale$"):
        px.Normal.dist(0, dim="shop")
    with px.Model(), pytest.raises(ModelError, match="does not take 'mu' alone"):
        px.Gamma("a", mu=1)
