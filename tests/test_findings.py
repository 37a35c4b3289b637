"""Reports on runs: what was run, what is least certain, what speaks against it; in text and for notebooks."""

import re

import numpy as np
import pytest

import pyrox as px
from pyrox import _html as html
from pyrox.findings import Facts, Finding, Quality, Report
from pyrox.mixing import rank_rhat_and_ess
from tests.models import eight_schools


@pytest.fixture(scope="module")
def run():
    return px.sample(200, tune=300, model=eight_schools(), random_seed=1, progressbar=False, quiet=True)


def test_a_report_tells_what_was_run(run):
    facts = px.diagnose(run).facts
    assert (facts.chains, facts.draws) == (4, 200)
    assert facts.words()[:2] == ["4 chains of 200 draws", "300 tuning steps"]
    noted = facts.noted()
    assert (noted["adaptation"], noted["random_seed"], noted["made by"]) == ("dense", 1, "pyrox 0.1.0")
    assert noted["target_accept"] == "chosen in the warm-up"
    assert noted["model_hash"] == run["posterior"].attrs["model_hash"]
    stats = run["sample_stats"]
    np.testing.assert_allclose(facts.per_chain["acceptance"], stats["acceptance_rate"].mean("draw"))
    np.testing.assert_array_equal(facts.per_chain["divergences"], stats["diverging"].sum("draw"))
    assert facts.divergences == int(stats["diverging"].sum())


def test_a_report_names_what_is_least_certain(run):
    report = px.diagnose(run)
    found = {name: rank_rhat_and_ess(x.transpose("chain", "draw", ...).values) for name, x in run["posterior"].items()}
    assert max(q.rhat for q in report.worst) == max(float(np.max(rhat)) for rhat, _ in found.values())
    assert min(q.ess for q in report.worst) == min(float(np.min(ess)) for _, ess in found.values())
    mu = next(q for q in report.worst if q.name == "mu")
    values = run["posterior"]["mu"].values
    assert (mu.mean, mu.sd) == (values.mean(), values.std())
    assert re.search(r"R-hat up to \d\.\d{3} \(.+\), ESS from \d+ \(.+\)$", str(report))


def test_a_report_in_a_notebook(run):
    shown = px.diagnose(run)._repr_html_()
    for part in ("4 chains of 200 draws", "300 tuning steps", "least certain", "R-hat", "step size", "target_accept",
                 "<details>"):  # fmt: skip
        assert part in shown, part
    assert shown.count("<tr") == 1 + len(px.diagnose(run).worst) + 1 + 4 + len(px.diagnose(run).facts.noted())


def test_findings_in_a_notebook_are_escaped_and_whole():
    report = Report(
        (Finding("rhat", "a < b", "do & wait", (0, 2), ("x[<i>]",)),),
        Facts(2, 10, 1, {"inference_library": "<lib>"}),
        (Quality("x[<i>]", 0.0, 1.0, 1.5, 3.0),),
    )
    shown = report._repr_html_()
    for part in ("a &lt; b", "do &amp; wait", "chain 0 · chain 2", "x[&lt;i&gt;]", "&lt;lib&gt;", "1 divergence<"):
        assert part in shown, part
    assert "<i>" not in shown
    assert str(report).splitlines() == [
        "1 finding", "- a < b do & wait", "2 chains of 10 draws, 1 divergence",
        "R-hat up to 1.500 (x[<i>]), ESS from 3 (x[<i>])",
    ]  # fmt: skip


def test_reports_of_equal_findings_are_equal(run):
    report = px.diagnose(run)
    assert Report.from_json(report.to_json()) == report
    assert repr(report) == str(report), "a prompt shows the report, not its parts"


def test_an_approximation_in_a_notebook():
    fit = px.fit(500, model=eight_schools(), random_seed=1, progressbar=False)
    shown = fit._repr_html_()
    for part in ("Approximation by advi", "k-hat", "steps", "<polyline", html.escape(fit.verdict)):
        assert part in shown, part
    assert "nan" not in shown


def test_a_curve_of_numbers_that_are_not_all_finite():
    assert html.curve([1.0, np.inf, 2.0, np.nan, 3.0]).count(",") == 3
    assert html.curve([np.nan]) == ""
    assert html.curve([2.0, 2.0]).count(",") == 2
    assert html.curve(np.arange(10_000.0)).count(",") <= 400
