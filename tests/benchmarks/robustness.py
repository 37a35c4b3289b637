"""Seeded runs in numbers: how many chains get stuck, runs with R-hat above 1.01, and divergences.

run as: python robustness.py [--runs 20] [--adaptations auto stan] [--problems NAME ...] [--out robustness]
    writes OUT.json and OUT.md

Every run has default starts, 4 chains, and the warm-up that the adaptation chooses for itself. A chain counts as stuck
if ``px.diagnose`` says so, or if its log-density lies so far below the other chains' that they have no draw in common
with it, over nine tenths of the run.
"""

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from problems import PROBLEMS

import pyrox as px

SHORT = (
    "eight schools", "logistic 1000 x 24", "varying slopes", "item response", "process 60", "gaussian 1000",
    "horseshoe 200", "volatility 1000", "process 200", "logistic 20000 x 50",
)  # fmt: skip


def stuck_chains(idata, report):
    """Give the chains that stand still, crawl, or never come near the log-density of the others."""
    named = {chain for finding in report if finding.kind == "stuck" for chain in finding.chains}
    lp = idata["sample_stats"]["lp"].values
    lows, highs = lp.min(axis=1), np.quantile(lp, 0.9, axis=1)
    below = {c for c in range(len(lp)) if highs[c] < np.median(np.delete(lows, c))}
    return named | below


def one_run(model, adaptation, seed, draws):
    began = time.perf_counter()
    idata = px.sample(
        draws, tune=None, nuts={"adaptation": adaptation}, random_seed=seed, progressbar=False,
        compute_convergence_checks=False, model=model,
    )  # fmt: skip
    seconds, report = time.perf_counter() - began, px.diagnose(idata)
    rhats = [px.diagnostics.rank_rhat_and_ess(x.values) for x in idata["posterior"].data_vars.values()]
    return {
        "seed": seed,
        "seconds": seconds,
        "stuck": len(stuck_chains(idata, report)),
        "rhat": float(np.nanmax([np.nanmax(rhat) for rhat, _ in rhats])),
        "ess": float(np.nanmin([np.nanmin(ess) for _, ess in rhats])),
        "divergences": int(idata["sample_stats"]["diverging"].sum()),
        "leapfrogs": int(idata["sample_stats"]["n_steps"].sum()),
        "findings": report.to_json(),
    }


def table(results):
    """Write a line for each model and adaptation, and one for all models together."""
    headers = "model", "adaptation", "runs", "chains stuck", "runs R-hat > 1.01", "worst R-hat", "runs with divergences"
    headers += "divergences", "median leapfrogs", "median min ESS"
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    together: dict[str, list] = {}
    for name, rows in results.items():
        for adaptation, runs in ((a, runs) for a, runs in rows.items() if runs):
            lines.append(_line(name, adaptation, runs))
            together.setdefault(adaptation, []).extend(runs)
    return "\n".join(lines + [_line("all", adaptation, runs) for adaptation, runs in together.items()])


def _line(name, adaptation, runs):
    cells = (
        name, adaptation, len(runs), sum(r["stuck"] for r in runs), sum(r["rhat"] > 1.01 for r in runs),
        f"{max(r['rhat'] for r in runs):.3f}", sum(r["divergences"] > 0 for r in runs),
        sum(r["divergences"] for r in runs), f"{statistics.median(r['leapfrogs'] for r in runs):.0f}",
        f"{statistics.median(r['ess'] for r in runs):.0f}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="seeded runs of every model")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--adaptations", nargs="+", default=["auto", "stan"])
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(SHORT))
    parser.add_argument("--out", default="robustness")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    path, results = Path(options.out), {}
    for name in options.problems:
        model = PROBLEMS[name].graph(px)
        results[name] = {adaptation: [] for adaptation in options.adaptations}
        for adaptation in options.adaptations:
            for seed in range(options.runs):
                results[name][adaptation].append(one_run(model, adaptation, seed, options.draws))
            print(_line(name, adaptation, results[name][adaptation]), flush=True)
            path.with_suffix(".json").write_text(json.dumps(results, indent=1))
            path.with_suffix(".md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
