"""Fit eight schools from the command line: ``python -m pyrox``."""

from pathlib import Path

import numpy as np

import pyrox as px
from pyrox.results import load_arviz

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
STANDARD_ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
SCHOOLS = ["Choate", "Deerfield", "Phillips Andover", "Phillips Exeter", "Hotchkiss", "Lawrenceville", "St. Paul's",
           "Mt. Hermon"]  # fmt: skip


def eight_schools() -> px.Model:
    """Build the model: effects of coaching in eight schools, partially pooled (Rubin 1981)."""
    with px.Model(coords={"school": SCHOOLS}) as model:
        mu = px.Normal("mu", 0.0, 5.0)
        tau = px.HalfCauchy("tau", 5.0)
        z = px.Normal("z", 0.0, 1.0, dims="school")
        theta = px.Deterministic("theta", mu + tau * z, dims="school")
        px.Normal("y", theta, STANDARD_ERROR, observed=EFFECT, dims="school")
    return model


def main() -> None:
    """Fit, print the summary, write the results and a picture, and say where they are."""
    print("Eight schools: how much does coaching help, in each school and overall?\n")
    with eight_schools():
        idata = px.sample(random_seed=1, target_accept=0.9)
    az = load_arviz()
    print(f"\n{az.summary(idata, var_names=['mu', 'tau', 'theta']).to_string()}\n")
    results, picture = Path("eight_schools.nc"), Path("eight_schools_trace.png")
    idata.to_netcdf(str(results))
    _draw_trace(az, idata, picture)
    print(f"Draws, statistics and data: {results.resolve()}")
    print(f"Trace plot:                 {picture.resolve()}")


def _draw_trace(az: object, idata: object, picture: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    names = ["mu", "tau", "theta"]
    if hasattr(az, "plot_trace_dist"):  # ArviZ 1.x
        az.plot_trace_dist(idata, var_names=names, backend="matplotlib").savefig(str(picture), dpi=120)
        return
    axes = az.plot_trace(idata, var_names=names, figsize=(11, 7))
    figure = axes.ravel()[0].figure
    figure.tight_layout()
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main()
