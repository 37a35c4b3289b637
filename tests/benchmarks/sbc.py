"""Simulation-based calibration of the models of ``tests/sbc_models.py``, with many simulations.

Run it as ``python -m tests.benchmarks.sbc [simulations] [model ...]`` from the repository root. All models together are
called uncalibrated, if they are calibrated, with a chance of one in a hundred.
"""

import sys
import time

import pyrox as px
from tests.sbc_models import DAYS, MODELS, ZEROS, program

LEVEL = 0.01
DRAWS = 100


def check(name: str, simulations: int, level: float) -> px.Calibration:
    """Calibrate one model."""
    options = {"draws": DRAWS, "level": level, "random_seed": 2, "progressbar": False, "target_accept": 0.95}
    if name == program.__name__:
        return px.sbc(program, simulations, model_args=(DAYS, ZEROS[: len(DAYS)]), **options)
    return px.sbc(MODELS[name](), simulations, **options)


def main(arguments: list[str]) -> None:
    """Print a line for each model."""
    simulations = int(arguments[0]) if arguments else 1000
    names = arguments[1:] or [*MODELS, program.__name__]
    print(f"{simulations} simulations, {DRAWS} draws, level {LEVEL} of all models together")
    print(f"{'model':12} {'seconds':>8} {'quantities':>11} {'smallest p':>11}  of (shift, spread in standard errors)")
    for name in names:
        began = time.perf_counter()
        found = check(name, simulations, LEVEL / len(names))
        first, seconds = found.quantities[0], time.perf_counter() - began
        where = f"{first.name} ({first.shift:+.1f}, {first.spread:+.1f})"
        print(f"{name:12} {seconds:8.1f} {len(found.quantities):11d} {first.pvalue:11.2g}  {where}", flush=True)
        for text in [*([] if found.calibrated else [found.verdict]), *found.warnings()]:
            print(f"             {text}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
