"""px.save and px.load: whole models and their results come back the same, in a process that knows nothing of them."""

import datetime
import io
import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px
from pyrox import dist, results, storage
from pyrox.errors import ModelError
from pyrox.model.fingerprint import fingerprint
from pyrox.model.serialize import from_plain, to_plain
from tests import models
from tests import own_functions as own
from tests.kept_models import MODELS, growth_curves, numbers
from tests.model.test_statements import CASES

ROOT = Path(__file__).parent.parent


IMPROPER = ("Flat", "HalfFlat", "ICAR")


def catalogue(names):
    """A model with one variable of each statement, free or observed as its kind allows."""
    with px.Model() as model:
        px.Normal("free", 0.0, 1.0)
        for name in names:
            want, ways = CASES[name]
            args, kwargs = ((), dict(ways[0])) if isinstance(ways[0], dict) else (ways[0], {})
            if name == "EulerMaruyama":
                args, kwargs = (0.1, own.drift, (0.3,), px.Normal.dist(0.0, 1.0)), {"shape": (5,)}
            if name == "CustomDist":
                args = ()
                kwargs = {"params": (0.5, 2.0), "logp": own.laplace, "random": own.draw_laplace}
            if want.is_discrete or name in ("DiracDelta", "Censored", "HurdleGamma", "HurdleLogNormal"):
                kwargs["observed"] = np.asarray(want.sample(jax.random.key(0)))
            getattr(px, name)(name, *args, **kwargs)
    return model


def in_fresh_process(folder):
    command = [sys.executable, "-m", "tests.kept_models", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_statement_and_five_models_predict_the_same_in_a_fresh_process(tmp_path):
    known = {"proper": catalogue(n for n in CASES if n not in IMPROPER), "improper": catalogue(IMPROPER)}
    known |= {name: make() for name, make in MODELS.items()}
    for name, model in known.items():
        px.save(model, None, tmp_path / name)
    found = in_fresh_process(tmp_path)
    assert set(found) == set(known)
    for name, model in known.items():
        assert found[name] == json.loads(json.dumps(numbers(model, predictive=name in MODELS))), name


@pytest.fixture(scope="module")
def fitted():
    model = growth_curves()
    return model, px.sample(100, tune=200, chains=2, model=model, random_seed=1, progressbar=False, quiet=True)


def test_results_come_back_with_all_groups(fitted, tmp_path):
    model, idata = fitted
    px.save(model, idata, tmp_path / "fit.pyrox")
    saved = px.load(tmp_path / "fit.pyrox")
    assert type(saved.idata) is type(idata)
    before, after = results.groups_of(idata), results.groups_of(saved.idata)
    assert list(before) == list(after)
    for name, data in before.items():
        assert data.identical(after[name]), name
        assert {n: x.dtype for n, x in data.variables.items()} == {n: x.dtype for n, x in after[name].variables.items()}
    report = px.diagnose(saved.idata)
    assert report.facts.draws == 100


def test_what_is_loaded_goes_on(fitted, tmp_path):
    model, idata = fitted
    px.save(model, idata, tmp_path / "fit.pyrox")
    again, loaded = px.load(tmp_path / "fit.pyrox")
    pairs = (model, idata), (again, loaded)
    longer, anew = (px.continue_sampling(i, 20, model=m, progressbar=False, quiet=True) for m, i in pairs)
    np.testing.assert_array_equal(*(i["posterior"]["curves::rate"].values for i in (longer, anew)))
    ahead = [px.sample_posterior_predictive(i, model=m, random_seed=2, progressbar=False) for m, i in pairs]
    drawn, same = (x["posterior_predictive"]["curves::y"].values for x in ahead)
    np.testing.assert_array_equal(drawn, same)
    px.set_data({"t": [1.0, 2.0], "plot_of_day": [0, 1]}, again, coords={"day": ["x", "y"]})
    assert again["curves::mean"].shape == (2,)


def test_models_that_were_changed_or_derived():
    with px.Model() as model:
        mu, s = px.Normal("mu", 0.0, 1.0), px.HalfNormal("s", 1.0)
        theta = px.Normal("theta", mu, s, shape=3, noncentered=True)
        px.Normal("y", theta, 1.0, observed=[1.0, np.nan, 3.0])
    again = from_plain(*as_file(model))
    assert fingerprint(again) == fingerprint(model)
    assert numbers(again) == numbers(model)
    again.origins = frozenset({"a", "b"})
    assert from_plain(*as_file(again)).origins == {"a", "b"}


def test_a_long_expression():
    with px.Model() as model:
        x = px.Normal("x", 0.0, 1.0)
        total = x
        for i in range(2000):
            total = total + i
        px.Deterministic("total", total)
    again = from_plain(*as_file(model))
    assert float(again["total"].eval({"x": 1.0})) == 1.0 + 2000 * 1999 / 2


def as_file(model):
    plain, arrays = to_plain(model)
    return json.loads(json.dumps(plain, allow_nan=False)), [np.array(a) for a in arrays]


def kinds_of_leaves(x):
    """Expressions whose arguments are of many kinds."""
    key = jax.random.key(5)
    return {
        "types": px.math.round(x).astype(int) + x.astype(jnp.float32) + x.astype(np.float64) + x.astype("int32"),
        "dtype": px.lift(jnp.astype)(x, np.dtype("int16")),
        "slices": x[::-1][1:, None][..., 0],
        "arrays": x * np.arange(3) + jnp.ones(3),
        "keywords": np.einsum("i,i->", x, x) + px.math.logsumexp(x, axis=0, keepdims=True),
        "infinite": px.math.clip(x, -np.inf, np.nan) + px.math.clip(x, 0.5, float("inf")),
        "key": px.lift(own.draw_laplace)(key, x, 1.0, shape=(3,)),
        "complex": px.math.real(x * (1 + 2j)),
        "numbers inside": px.math.stack([x, x, 2 * x])[1],
        "mask": x[np.array([True, False, True])],
    }


def test_expressions_of_all_kinds():
    with px.Model() as model:
        x = px.Normal("x", 0.0, 1.0, shape=3)
        for name, value in kinds_of_leaves(x).items():
            px.Deterministic(name, value)
    again = from_plain(*as_file(model))
    point = {"x": [0.3, -1.2, 2.0]}
    for name in kinds_of_leaves(x):
        assert again[name].dtype == model[name].dtype
        np.testing.assert_array_equal(again[name].eval(point), model[name].eval(point), name)


LABELS = {
    "dates": [datetime.date(2020, 1, 1), datetime.date(2020, 5, 1)],
    "moments": [datetime.datetime(2020, 1, 1, 12), datetime.datetime(2020, 1, 2, 12)],
    "stamps": np.array(["2020-01-01T01", "2020-01-02"], dtype="datetime64[h]"),
    "mixed": ["a", 1],
    "floats": [0.5, float("inf")],
    "words": np.array(["ä", "b"]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_all_kinds(kind, tmp_path):
    with px.Model(coords={"d": LABELS[kind]}) as model:
        px.Normal("x", 0.0, 1.0, dims="d")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xarray's, of labels that its later versions will treat otherwise
        idata = px.sample_prior_predictive(5, model=model, random_seed=1)
        px.save(model, idata, tmp_path / "file")
        again, loaded = px.load(tmp_path / "file")
    assert again.coords == model.coords
    assert [type(x) for x in again.coords["d"]] == [type(x) for x in model.coords["d"]]
    assert loaded["prior"].identical(idata["prior"]) or kind == "mixed"
    assert loaded["prior"]["d"].values.tolist() == idata["prior"]["d"].values.tolist()


# What cannot be kept


def local():
    def inside(x):
        return x + 1

    return inside


NAMELESS = {"is a lambda": lambda x: x + 1, "inside another function": local()}


@pytest.mark.parametrize(("word", "function"), NAMELESS.items())
def test_functions_without_a_place_are_named_with_the_remedy(word, function, tmp_path):
    with px.Model() as model:
        px.Normal("x", 0.0, 1.0)
        px.Deterministic("bent", px.lift(function)(model["x"]) * 2)
    with pytest.raises(ModelError, match=f"^bent: the function .*{word}.*module of its own"):
        px.save(model, None, tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_functions_of_a_notebook_are_refused(tmp_path):
    code = (
        "import pyrox as px\n"
        "def bend(x): return x + 1\n"
        "with px.Model() as model:\n"
        "    px.Deterministic('bent', px.lift(bend)(px.Normal('x', 0.0, 1.0)))\n"
        f"px.save(model, None, {str(tmp_path / 'file')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "ModelError: bent: the function bend lives in the notebook or script" in done.stderr


def test_other_things_that_cannot_be_kept(tmp_path):
    with px.Model() as outer:
        x = px.Normal("x", 0.0, 1.0)
        with px.Model("inner") as inner:
            px.Normal("y", x, 1.0)
    with pytest.raises(ModelError, match="outermost"):
        px.save(inner, None, tmp_path / "file")
    with pytest.raises(ModelError, match=r"keeps a px\.Model; met function: .* its own source"):
        px.save(models.schools_function, None, tmp_path / "file")
    with pytest.raises(ModelError, match="InferenceData or a DataTree"):
        px.save(outer, {"x": 1.0}, tmp_path / "file")
    with pytest.raises(IsADirectoryError, match="name of a file"):
        px.save(outer, None, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere', make it first"):
        px.save(outer, None, tmp_path / "nowhere" / "file")


def test_results_of_another_model_are_refused(fitted, tmp_path):
    _, idata = fitted
    other = growth_curves()
    with other:
        px.Normal("late", 0.0, 1.0)
    with pytest.raises(ModelError, match=r"posterior .* another model .*what differs: 'curves::late'"):
        px.save(other, idata, tmp_path / "file")
    other.origins = frozenset({idata["posterior"].attrs["model_hash"]})
    px.save(other, idata, tmp_path / "file")
    assert px.load(tmp_path / "file").model.origins == other.origins


# Files that are not as they should be


@pytest.fixture
def file(tmp_path):
    px.save(growth_curves(), None, tmp_path / "file")
    return tmp_path / "file"


def edit(path, name, change):
    """Write a member of the archive anew."""
    with zipfile.ZipFile(path) as old:
        members = {n: old.read(n) for n in old.namelist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(path, "w") as new:
        for n, content in members.items():
            new.writestr(n, content)


def edit_json(path, name, change):
    def edited(content):
        plain = json.loads(content)
        change(plain)
        return json.dumps(plain)

    edit(path, name, edited)


def test_a_later_format_is_refused(file):
    edit_json(file, "pyrox.json", lambda about: about.update(format=99, pyrox="9.0"))
    with pytest.raises(ModelError, match=r"written by pyrox 9\.0 in format 99.*install"):
        px.load(file)


def test_another_precision_is_refused(file):
    edit_json(file, "pyrox.json", lambda about: about.update(precision="float32"))
    with pytest.raises(ModelError, match=r"px\.set_precision\('float32'\)"):
        px.load(file)


def test_a_changed_model_is_refused(file):
    def change(plain):
        node = next(n for n in plain["nodes"] if n["kind"] == "random variable" and n["name"] == "curves::shift")
        node["dims"] = {"tuple": ["day"]}

    edit_json(file, "model.json", change)
    with pytest.raises(ModelError, match="not the one that was saved"):
        px.load(file)


def test_damaged_and_foreign_files(file, tmp_path):
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="no whole file"):
        px.load(file)
    file.write_bytes(b"something else")
    with pytest.raises(ModelError, match="no whole file"):
        px.load(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(ModelError, match=r"none that px\.save wrote"):
        px.load(file)
    with pytest.raises(FileNotFoundError):
        px.load(tmp_path / "nothing")


def test_no_array_is_read_by_pickle(file):
    packed = io.BytesIO()
    np.save(packed, np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    edit(file, "model/0.npy", lambda _: packed.getvalue())
    with pytest.raises(ModelError, match="allow_pickle"):
        px.load(file)


@pytest.mark.parametrize(
    "place",
    ["os:system", "subprocess:run", "builtins:exec", "pickle:loads", "numpy:load", "jax.numpy:load", "scipy.io:loadmat",
     "jax:pure_callback", "pyrox.model.naming:import_function", "pyrox.storage:load", "numpy:savetxt"],
)  # fmt: skip
def test_nothing_but_functions_of_arrays_is_imported(file, place):
    def change(plain):
        for node in plain["nodes"]:
            if "own_functions:growth" in json.dumps(node.get("fn", "")):
                node["fn"] = {"function": place}

    edit_json(file, "model.json", change)
    with pytest.raises(ModelError, match="no function of arrays"):
        px.load(file)


def test_classes_outside_of_models_are_refused(file):
    def change(plain):
        plain["nodes"][0] = {"kind": "pyrox.model.graph:Model"}

    edit_json(file, "model.json", change)
    with pytest.raises(ModelError, match="nothing that a model is made of"):
        px.load(file)


def test_the_modules_that_may_be_imported_can_be_told(file):
    with pytest.raises(ModelError, match=r"would import 'tests\.own_functions'.*modules=\['tests\.own_functions'\]"):
        px.load(file, modules=[])
    assert "curves::mean" in px.load(file, modules=["tests"]).model
    assert "curves::mean" in px.load(file, modules=["tests.own_functions"]).model
    edit(file, "model.json", lambda content: content.replace(b"tests.own_functions", b"tests.gone_functions"))
    with pytest.raises(ModelError, match=r"the model uses tests\.gone_functions:.*cannot be imported"):
        px.load(file)


def test_loading_calls_none_of_the_functions(monkeypatch):
    def refuse(*args):
        raise RuntimeError("called")

    kept = as_file(growth_curves())
    monkeypatch.setattr(own, "growth", refuse)
    again = from_plain(*kept)
    with pytest.raises(RuntimeError, match="called"):
        again["curves::mean"].eval()


# Nothing is lost


def test_a_failure_while_writing_leaves_the_former_file(file, monkeypatch):
    former, count = file.read_bytes(), iter(range(3))

    def fail(*args, **kwargs):
        if next(count, None) is None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "_write_array", fail)
    with pytest.raises(OSError, match="No space"):
        px.save(growth_curves(), None, file)
    assert file.read_bytes() == former
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_a_crash_while_writing_leaves_the_former_file(file):
    code = (
        "import os, itertools, pyrox as px; from pyrox import storage; from tests.kept_models import growth_curves\n"
        "count, write = itertools.count(), storage._write_array\n"
        "storage._write_array = lambda *a: os._exit(9) if next(count) == 5 else write(*a)\n"
        f"px.save(growth_curves(), None, {str(file)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 9
    assert px.load(file).model.name == "curves"
    (left,) = (path for path in file.parent.iterdir() if path != file)
    os.utime(left, (0, 0))
    px.save(models.eight_schools(), None, file)
    assert "theta" in px.load(os.fspath(file)).model
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_a_file_needs_nothing_beyond_numpy_to_be_read(fitted, tmp_path):
    model, idata = fitted
    px.save(model, idata, tmp_path / "fit.pyrox")
    with zipfile.ZipFile(tmp_path / "fit.pyrox") as archive:
        groups = json.loads(archive.read("results.json"))
        group = next(g for g in groups if g["name"] == "posterior")
        number = group["first"] + group["variables"]["curves::rate"]["array"]
        with archive.open(f"results/{number}.npy") as stream:
            rate = np.lib.format.read_array(stream, allow_pickle=False)
    np.testing.assert_array_equal(rate, idata["posterior"]["curves::rate"].values)


def test_distributions_themselves_are_kept():
    given = dist.MultivariateNormal(jnp.zeros(2), covariance_matrix=np.array([[2.0, 0.5], [0.5, 1.0]]))
    with px.Model() as model:
        px.RandomWalk("walk", given, given, steps=2)
    again = from_plain(*as_file(model))
    assert numbers(again) == numbers(model)
