"""Does the suite notice small bugs? Plant them one at a time in a copy of the package, and run the tests nearest to it.

Run it as ``python -m tests.mutations [word ...]`` from the repository root; words choose the bugs whose file or new
text has one of them. It copies what is committed (``git archive HEAD``) to a temporary folder and takes an hour or so;
it is no part of the suite.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# So many of all must be caught.
WANTED = 38
LIMIT_SECONDS = 1500

LAWS = "tests/dist/test_reference.py", "tests/dist/test_laws.py"
MAPS = "tests/dist/test_transforms.py", "tests/dist/test_constraints.py"
KERNELS = "tests/samplers/test_turns.py", "tests/samplers/test_invariance.py", "tests/samplers/test_chain.py"
COUNTER = ("tests/samplers/test_counter.py",)
REDUCTIONS = ("tests/samplers/test_least_squares.py",)
RECIPES = "tests/samplers/test_chain.py", "tests/samplers/test_recipes.py", "tests/test_sample.py"
DENSITIES = "tests/model/test_density.py", "tests/model/test_handlers.py"
FITS = "tests/vi/test_objectives.py", "tests/vi/test_conjugate.py", "tests/vi/test_guides.py", "tests/vi/test_fit.py"
PATHS = "tests/vi/test_descent.py", "tests/vi/test_fit.py"


class Mutation(NamedTuple):
    """A small bug: in a file, some text that stands there once, what takes its place, and the tests nearest to it."""

    path: str
    old: str
    new: str
    tests: tuple[str, ...]


DIST = [
    Mutation("dist/counts.py", "- a * grown\n", "+ a * grown\n", LAWS),
    Mutation("dist/counts.py", "log_gamma_ratio(b, n - value)", "log_gamma_ratio(a, n - value)", LAWS),
    Mutation("dist/positive.py", "(self.concentration + 1) * jnp.log(value) - self.rate / value",
             "(self.concentration - 1) * jnp.log(value) - self.rate / value", LAWS),
    Mutation("dist/positive.py", "-0.5 * z * z - log_value - (", "-0.5 * z * z - (", LAWS),
    Mutation("dist/timeseries.py", "(steps - order) * jnp.log(self.scale)", "steps * jnp.log(self.scale)", LAWS),
    Mutation("dist/timeseries.py", "value[..., order - 1 - i : steps - 1 - i]", "value[..., i : steps - order + i]",
             LAWS),
    Mutation("dist/timeseries.py", "- 0.5 * jnp.log(variance), axis=0)", "- jnp.log(variance), axis=0)", LAWS),
    Mutation("dist/truncated.py", "return jnp.ceil(self.low) - 1, self.high", "return jnp.ceil(self.low), self.high",
             LAWS),
    Mutation("dist/correlations.py", "powers = order - 4 - ", "powers = order - 3 - ", LAWS),
    Mutation("dist/correlations.py", "axis=(-2, -1)) - log_det - rows", "axis=(-2, -1)) + log_det - rows", LAWS),
    Mutation("dist/divergence.py", "ratio * jnp.exp(-apart / p.scale)", "ratio * jnp.exp(-apart / q.scale)",
             ("tests/dist/test_divergence.py",)),
    Mutation("dist/vector_transforms.py", "take_triangle(log_left + before)", "take_triangle(log_left - before)", MAPS),
]  # fmt: skip

MODEL = [
    Mutation("model/sites.py", " = _sum(log_det)\n        return value", " = -_sum(log_det)\n        return value",
             DENSITIES),
    Mutation("model/sites.py", "weighted(msg, log_prob - log_det)", "weighted(msg, log_prob + log_det)",
             ("tests/model/test_interventions.py",)),
    Mutation("model/sites.py", 'jnp.where(msg["mask"], log_prob, 0.0)', 'jnp.where(msg["mask"], 0.0, log_prob)',
             DENSITIES),
    Mutation("model/elimination.py", "return array if table.weight is None else array * self.weights[table.weight]",
             "return array", ("tests/model/test_enumeration.py", "tests/test_marginalization.py")),
    Mutation("model/missing.py", "return _positions(pattern.rows.any(axis=1))",
             "return _positions(pattern.rows.all(axis=1))", ("tests/model/test_missing.py",)),
    Mutation("model/indexing.py", "(flat >= length)", "(flat > length)",
             ("tests/model/test_graph.py", "tests/model/test_properties.py", "tests/model/test_bad_input.py")),
    Mutation("model/handlers.py", 'is None else self.scale_factor * msg["scale"]', "is None else self.scale_factor",
             ("tests/model/test_handlers.py", "tests/model/test_plates.py")),
    Mutation("model/plates.py", "plate.size / plate.subsample_size if", "plate.subsample_size / plate.size if",
             ("tests/model/test_plates.py", "tests/model/test_handlers.py")),
    Mutation("model/program.py", "scale_factor=rows / observed.shape[0]", "scale_factor=observed.shape[0] / rows",
             (*DENSITIES, "tests/vi/test_minibatch.py")),
    Mutation("model/forward.py", "zlib.crc32(name.encode())", "0", ("tests/test_prediction.py",)),
]  # fmt: skip

SAMPLERS = [
    Mutation("samplers/nuts.py", "sub.chosen.log_weight - t.chosen.log_weight)",
             "t.chosen.log_weight - sub.chosen.log_weight)", KERNELS),
    Mutation("samplers/nuts.py", "low + ((k + 1) >> 1), k & 1", "low + (k >> 1), k & 1", KERNELS),
    Mutation("samplers/nuts.py", "(sign * inner(end.momentum, way) <= 0)", "(inner(end.momentum, way) <= 0)", KERNELS),
    Mutation("samplers/nuts.py", "(leaf + 1)) >> 1) + 1", "(leaf + 1)) >> 1)", KERNELS),
    Mutation("samplers/nuts.py", "jnp.exp(-error - log_weight)", "jnp.exp(-error)", KERNELS),
    Mutation("samplers/hmc.py", "= jnp.exp(-jnp.maximum(error, 0.0))", "= jnp.exp(-jnp.abs(error))", KERNELS),
    Mutation("samplers/metrics.py", "self._stretch(noise, self.stretch**-0.5) / self.scale",
             "self._stretch(noise, self.stretch**0.5) / self.scale", KERNELS),
    Mutation("samplers/metrics.py", "DenseMetric(inverse_mass, _stretched(directions, stretch**-0.5) / scale[:, None])",
             "DenseMetric(inverse_mass, _stretched(directions, stretch**-0.5) * scale[:, None])", KERNELS),
    Mutation("samplers/adaptation.py", "mine.center - jnp.sqrt(count)", "mine.center + jnp.sqrt(count)", RECIPES),
    Mutation("samplers/metric_adaptation.py", "(older.squares.draws + tiny) / (older.squares.gradients + tiny)",
             "(older.squares.gradients + tiny) / (older.squares.draws + tiny)", RECIPES),
    Mutation("samplers/metric_adaptation.py", "mine.products.draws / scale - mine.products.gradients * scale",
             "mine.products.draws / scale + mine.products.gradients * scale", RECIPES),
    Mutation("samplers/kernel.py", "_CAREFUL_NUMBER = np.int32(-(2**31))", "_CAREFUL_NUMBER = np.int32(0)", COUNTER),
    Mutation("samplers/metrics.py", "(noise + (self.stretch**-0.5 - 1)", "(noise + (self.stretch**0.5 - 1)", KERNELS),
    Mutation("samplers/passes/linear.py", "left.plus(right.times_fixed(-1.0))", "left.plus(right)", REDUCTIONS),
    Mutation("samplers/passes/linear.py", "self.ways.setdefault((i, *way), len(self.ways))", "i", REDUCTIONS),
    Mutation("samplers/passes/least_squares.py", "later = jnp.where(numbers > j, columns @ unit, 0.0)",
             "later = jnp.where(numbers > j + 1, columns @ unit, 0.0)", REDUCTIONS),
    Mutation("samplers/passes/least_squares.py", "- n * jnp.log(number) - n", "- jnp.log(number) - n", REDUCTIONS),
    Mutation("samplers/counter.py", "_UNIT = 2.0**-24", "_UNIT = 2.0**-23",
             ("tests/samplers/test_counter.py", *KERNELS)),
]  # fmt: skip

VI = [
    Mutation("vi/psis.py", "return (n * k + 5) / (n + 10), scale", "return (n * k + 5) / (n + 5), scale",
             ("tests/vi/test_psis.py", "tests/vi/test_fit.py")),
    Mutation("vi/objectives.py", "- jnp.log(self.num_particles)", "+ jnp.log(self.num_particles)", FITS),
    Mutation("vi/annealed.py", "jnp.sqrt(1 - kept**2) * noise", "(1 - kept) * noise",
             ("tests/vi/test_evidence.py", "tests/vi/test_guides.py", "tests/vi/test_conjugate.py")),
    Mutation("vi/pathfinder.py", "mean=position - newton", "mean=position + newton", PATHS),
    Mutation("vi/lbfgs.py", "rho * jnp.dot(change, r)", "rho * jnp.dot(step, r)", PATHS),
    Mutation("vi/stopping.py", "np.diff(losses[-2 * width :]) ** 2) / 2", "np.diff(losses[-2 * width :]) ** 2)",
             ("tests/vi/test_stopping.py", "tests/vi/test_svi.py", "tests/vi/test_fit.py")),
    Mutation("vi/families.py", "scale[:, None] * directions, scale**2)", "scale[:, None] * directions, scale)",
             ("tests/vi/test_guides.py", "tests/vi/test_conjugate.py", "tests/vi/test_fit.py")),
    Mutation("vi/terms.py", 'return total if site["scale"] is None else total * site["scale"]', "return total",
             (*FITS, "tests/vi/test_minibatch.py")),
]  # fmt: skip

MUTATIONS = [*DIST, *MODEL, *SAMPLERS, *VI]


def copy_head(folder: Path) -> None:
    """Unpack what is committed."""
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    # Tests that start from data beside the repository find them there.
    if (ROOT.parent / "shared").exists():
        (folder.parent / "shared").symlink_to(ROOT.parent / "shared")


def run_tests(folder: Path, tests: tuple[str, ...]) -> tuple[bool, str]:
    """Run tests in the copy; tell whether all passed, and name the first that failed."""
    existing = [t for t in tests if (folder / t).exists()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:randomly", *existing]
    # The copy comes before an installed package; executables are shared between bugs, known by what they compute.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("PYROX_CACHE", str(folder.parent / "executables"))
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"did not end in {LIMIT_SECONDS} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the tests did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0, lines[0].split(" - ")[0].split("::", 1)[-1] if lines else ""


def plant(folder: Path, mutation: Mutation) -> str:
    """Put a bug into the copy; give the file's former text."""
    path = folder / "pyrox" / mutation.path
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.path} has {text.count(mutation.old)} times {mutation.old!r}, not once")
    path.write_text(text.replace(mutation.old, mutation.new))
    return text


def main(words: list[str]) -> int:
    """Plant bugs one after the other and tell which were caught."""
    chosen = [m for m in MUTATIONS if not words or any(w in m.path or w in m.new for w in words)]
    missed = []
    with tempfile.TemporaryDirectory(prefix="pyrox-mutations-") as name:
        folder = Path(name) / "main"
        folder.mkdir()
        copy_head(folder)
        for mutation in chosen:  # all must be there, before an hour is spent
            (folder / "pyrox" / mutation.path).write_text(plant(folder, mutation))
        for i, mutation in enumerate(chosen):
            began, former = time.perf_counter(), plant(folder, mutation)
            try:
                passed, first = run_tests(folder, mutation.tests)
            finally:
                (folder / "pyrox" / mutation.path).write_text(former)
            missed += [mutation] if passed else []
            seconds, told = time.perf_counter() - began, "MISSED" if passed else f"caught by {first}"
            what = f"{mutation.path}: {mutation.new.strip()[:60]!r}"
            print(f"{i + 1:2}/{len(chosen)} {seconds:5.0f} s  {what}: {told}", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} caught")
    for mutation in missed:
        print(f"missed: {mutation.path}: {mutation.old.strip()!r} -> {mutation.new.strip()!r}")
    return int(len(missed) > len(MUTATIONS) - WANTED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
