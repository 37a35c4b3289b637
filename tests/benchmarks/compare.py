"""Run pyrox and its peers side by side: cold in a fresh process each, warm in alternating runs of one process.

run as: python compare.py [--problems NAME ...] [--engines NAME ...] [--repeats 5] [--cold 3] [--peer-repeats 3]
                          [--chains 4] [--out results]
    with numpyro, blackjax, pymc and nutpie installed, and pyrox as well (``pip install .``, not ``-e .``: where Python
    writes no bytecode, a checkout is compiled at every start); writes results.json after every problem, and results.md.

Each engine draws 4 x (1000 + 1000), on the device that JAX takes by itself. ``cold`` is the time from the start of a
process to draws in hand, imports and compilation included and every compile cache off; ``warm`` a later run in the
same process. Effective sample sizes are the smallest bulk ESS over all variables that a problem names; leapfrogs are
those of the kept draws. ``apart`` is the worst difference of a posterior mean from that of the first engine, in
standard errors of both.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

# Every engine compiles anew in a fresh process.
NO_CACHES = {"PYROX_CACHE": "off", "JAX_ENABLE_COMPILATION_CACHE": "false"}
os.environ.update(NO_CACHES)

import numpy as np  # noqa: E402
from engines import CHAINS, DEFAULT, DRAWS, ENGINES, TUNE  # noqa: E402
from problems import PROBLEMS  # noqa: E402

_MARK = "measured:"
_PER_RUN = ("seconds", "cpu", "leapfrogs", "ess")


def _clock():
    return time.perf_counter(), time.process_time()


def timed(run, seed):
    """Run once; give the draws, and wall and CPU seconds with the leapfrogs."""
    wall, cpu = _clock()
    outcome = run(seed)
    now, used = _clock()
    return outcome.draws, {"seconds": now - wall, "cpu": used - cpu, "leapfrogs": outcome.leapfrogs}


def judge(draws):
    """Give the least bulk ESS, and mean with its standard error of every number, by ArviZ."""
    import arviz as az

    flat = np.concatenate([x.reshape(*x.shape[:2], -1) for x in draws.values()], axis=-1)
    data = az.convert_to_dataset({"x": flat})
    least = float(az.ess(data, method="bulk")["x"].min())
    means = flat.mean(axis=(0, 1)), az.mcse(data, method="mean")["x"].values
    return least, [np.asarray(m, float).tolist() for m in means]


def cold(engine, problem, seed, options):
    """Time one engine in a process of its own, with empty caches."""
    with tempfile.TemporaryDirectory() as empty:
        environment = {
            **os.environ, **NO_CACHES, "XDG_CACHE_HOME": empty, "NUMBA_CACHE_DIR": empty,
            "PYTENSOR_FLAGS": f"base_compiledir={empty}", "BENCHMARK_BEGAN": repr(time.time()),
        }  # fmt: skip
        command = [sys.executable, __file__, "--inside", engine, "--problems", problem, "--seed", str(seed)]
        command += ["--draws", str(options.draws), "--tune", str(options.tune), "--chains", str(options.chains)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise RuntimeError(f"{engine} failed on {problem}:\n{done.stderr[-3000:]}")
    return json.loads(lines[0].removeprefix(_MARK))


def _peak_memory(used):
    """Give the most memory of this process in MB; Linux counts that of the parent in with the usage of a child."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return used.ru_maxrss * (1024 if sys.platform != "darwin" else 1) / 1e6


def inside(engine, problem, seed, options):
    """Be that process: everything between its start and draws in hand counts."""
    ENGINES[engine](PROBLEMS[problem], options.draws, options.tune, options.chains)(seed)
    seconds, used = time.time() - float(os.environ["BENCHMARK_BEGAN"]), resource.getrusage(resource.RUSAGE_SELF)
    row = {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "memory": _peak_memory(used)}
    print(_MARK + json.dumps(row), flush=True)


def measure(name, options):
    """Measure all engines on one problem."""
    engines = options.engines
    rows = {engine: {"cold": [], "warm": []} for engine in engines}
    for seed in range(options.cold):
        for engine in engines:
            rows[engine]["cold"].append(cold(engine, name, seed, options))
    asked = PROBLEMS[name], options.draws, options.tune, options.chains
    runs = {engine: ENGINES[engine](*asked) for engine in engines}
    for engine, run in runs.items():  # compiles, and does not count
        rows[engine]["first"] = timed(run, 0)[1]["seconds"]
    for seed in range(1, max(options.repeats, options.peer_repeats) + 1):
        for engine, run in runs.items():
            if seed > (options.repeats if engine.startswith("pyrox") else options.peer_repeats):
                continue
            draws, row = timed(run, seed)
            row["ess"], rows[engine]["means"] = judge(draws)
            rows[engine]["warm"].append(row)
            _say(f"{name}, {engine}: {row['seconds']:.3f} s, ESS {row['ess']:.0f}, {row['leapfrogs']} leapfrogs")
    return {engine: summarise(row, rows[engines[0]]) for engine, row in rows.items()}


def summarise(row, first):
    """Give medians of one engine's runs."""
    warm = {key: statistics.median(run[key] for run in row["warm"]) for key in _PER_RUN}
    medians = {f"cold_{key}": statistics.median(run[key] for run in row["cold"]) for key in row["cold"][0]} if row[
        "cold"
    ] else {}
    return {
        **medians,
        "first_seconds": row["first"],
        **{f"warm_{key}" if key in ("seconds", "cpu") else key: value for key, value in warm.items()},
        "ess_per_second": statistics.median(run["ess"] / run["seconds"] for run in row["warm"]),
        "ess_per_leapfrog": statistics.median(run["ess"] / run["leapfrogs"] for run in row["warm"]),
        "apart": apart(row["means"], first["means"]),
        "runs": {"cold": row["cold"], "warm": row["warm"]},
    }


def apart(mine, others):
    """Give the worst difference of means in standard errors."""
    (mean, error), (other, other_error) = np.asarray(mine), np.asarray(others)
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.abs(mean - other) / np.hypot(error, other_error), initial=0.0))


_COLUMNS = {
    "cold s": ("cold_seconds", ".2f"), "cold CPU s": ("cold_cpu", ".2f"), "MB": ("cold_memory", ".0f"),
    "warm s": ("warm_seconds", ".3f"), "warm CPU s": ("warm_cpu", ".3f"), "leapfrogs": ("leapfrogs", ".0f"),
    "min ESS": ("ess", ".0f"), "ESS/s": ("ess_per_second", ".0f"), "ESS/leapfrog": ("ess_per_leapfrog", ".4f"),
    "apart": ("apart", ".1f"),
}  # fmt: skip
# Ratios of the first engine to the others: how many times better it is.
_RATIOS = {"cold": ("cold_seconds", 1), "ESS/s": ("ess_per_second", -1), "ESS/leapfrog": ("ess_per_leapfrog", -1)}


def table(results):
    """Write the results as a Markdown table, with the ratios that the first engine has to each other one."""
    headers = ["model", "engine", *_COLUMNS, *(f"x {name}" for name in _RATIOS)]
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    for name, rows in results.items():
        ours = next(iter(rows.values()))
        for engine, row in rows.items():
            cells = [format(row[key], style) if key in row else "" for key, style in _COLUMNS.values()]
            ratios = [
                f"{(row[key] / ours[key]) ** sign:.2f}" if key in row and key in ours else "" for key, sign in
                _RATIOS.values()
            ]  # fmt: skip
            lines.append("| " + " | ".join([name, engine, *cells, *ratios]) + " |")
    return "\n".join(lines)


def _say(line):
    print(line, file=sys.stderr, flush=True)


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(DEFAULT))
    parser.add_argument("--repeats", type=int, default=5, help="warm runs of pyrox")
    parser.add_argument("--peer-repeats", type=int, default=3, help="warm runs of every other engine")
    parser.add_argument("--cold", type=int, default=3, help="cold runs of every engine")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--tune", type=int, default=TUNE)
    parser.add_argument("--chains", type=int, default=CHAINS)
    parser.add_argument("--out", default="results", help="where to write: OUT.json, OUT.md")
    parser.add_argument("--inside", choices=list(ENGINES), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = parse()
    warnings.simplefilter("ignore")
    if "numpyro-parallel" in (*options.engines, options.inside):
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={options.chains}"
    if options.inside:
        with contextlib.redirect_stderr(sys.stderr):
            inside(options.inside, options.problems[0], options.seed, options)
        return
    path = Path(options.out)
    stored = path.with_suffix(".json")
    results = json.loads(stored.read_text()) if stored.exists() else {}
    for name in options.problems:
        results[name] = {**results.get(name, {}), **measure(name, options)}
        stored.write_text(json.dumps(results, indent=1))
        path.with_suffix(".md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
