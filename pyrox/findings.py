"""The report on a run: what was run, how its chains and variables fared, and what speaks against it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pyrox import _html as html

_NOTED = ("target_accept", "max_treedepth", "adaptation", "trajectories")  # of the settings


@dataclass(frozen=True)
class Finding:
    """One thing that speaks against a run.

    Attributes
    ----------
    kind
        ``"untuned"``, ``"divergences"``, ``"tree depth"``, ``"stuck"``, ``"disagreement"``, ``"energy"``, ``"rhat"``,
        ``"ess"`` or ``"too little"``.
    message
        What was met.
    remedy
        What would probably help.
    chains, variables
        The chains and the variables concerned, as far as they can be told.

    Examples
    --------
    >>> import warnings
    >>> import pyrox as px
    >>> with px.Model(), warnings.catch_warnings():
    ...     x = px.Normal("x")
    ...     warnings.simplefilter("ignore", px.ConvergenceWarning)
    ...     idata = px.sample(10, tune=10, progressbar=False)
    >>> [finding.kind for finding in px.diagnose(idata)]
    ['too little']
    """

    kind: str
    message: str
    remedy: str = ""
    chains: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


@dataclass(frozen=True)
class Quality:
    """How well one quantity is known.

    Attributes
    ----------
    name
        The variable, with the labels of the element.
    mean, sd
        Of its draws.
    rhat, ess
        Rank-normalised R-hat, and the effective sample size of the bulk, of all chains together.
    """

    name: str
    mean: float
    sd: float
    rhat: float
    ess: float


@dataclass(frozen=True)
class Facts:
    """What was run.

    Attributes
    ----------
    chains, draws
        How many chains, and draws of each.
    divergences
        Of all chains.
    attrs
        Attributes of the results: tuning steps, time, seed, versions.
    settings
        Those of the sampler, as far as they were kept.
    per_chain
        Numbers by chain under a heading each: divergences, step size, gradients for a draw, acceptance.
    """

    chains: int
    draws: int
    divergences: int
    attrs: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    per_chain: Mapping[str, np.ndarray] = field(default_factory=dict)

    def words(self) -> list[str]:
        """Tell the most important, a few words each."""
        words = [f"{self.chains} chain{'s' if self.chains > 1 else ''} of {self.draws} draws"]
        if "tuning_steps" in self.attrs:
            words.append(f"{self.attrs['tuning_steps']} tuning steps")
        if "sampling_time" in self.attrs:
            words.append(f"{float(self.attrs['sampling_time']):.3g} s")
        return [*words, f"{self.divergences} divergence{'' if self.divergences == 1 else 's'}"]

    def noted(self) -> dict[str, Any]:
        """Give the settings and what else was noted, by name."""
        found = {name: self.settings[name] for name in _NOTED if name in self.settings}
        found = {name: "chosen in the warm-up" if value is None else value for name, value in found.items()}
        if "random_seed" in self.attrs:
            found["random_seed"] = self.attrs["random_seed"]
        for name in ("model_hash", "created_at"):
            if name in self.attrs:
                found[name] = self.attrs[name]
        if "inference_library" in self.attrs:
            found["made by"] = " ".join(
                str(self.attrs[n]) for n in ("inference_library", "inference_library_version") if n in self.attrs
            )
        return found


@dataclass(frozen=True, repr=False)
class Report:
    """Everything that speaks against a run, with what was run; its length is that of the findings.

    Attributes
    ----------
    findings
        The findings, the most telling first; empty if nothing speaks against the run.
    facts
        What was run; None where only the findings are known.
    worst
        The quantities that are known least well, by R-hat and by effective sample size.

    Examples
    --------
    >>> from pyrox.diagnostics import Finding, Report
    >>> report = Report((Finding("ess", "Few effective draws.", "Draw more.", variables=("tau",)),))
    >>> print(report)
    1 finding
    - Few effective draws. Draw more.
    >>> Report.from_json(report.to_json()) == report
    True
    """

    findings: tuple[Finding, ...] = ()
    facts: Facts | None = field(default=None, compare=False)
    worst: tuple[Quality, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def _verdict(self) -> str:
        return f"{len(self)} finding{'s' if len(self) > 1 else ''}" if self.findings else "no findings"

    def __str__(self) -> str:
        lines = [self._verdict(), *(f"- {finding}" for finding in self)]
        if self.facts is not None:
            lines.append(", ".join(self.facts.words()))
        if self.worst:
            rhat, ess = max(self.worst, key=lambda q: q.rhat), min(self.worst, key=lambda q: q.ess)
            lines.append(f"R-hat up to {rhat.rhat:.3f} ({rhat.name}), ESS from {ess.ess:.0f} ({ess.name})")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html.section(
            "Report",
            *([_show_finding(f) for f in self] or [html.note("no findings", "good")]),
            html.table(
                ("least certain", "mean", "sd", "R-hat", "ESS"),
                [("", [(html.code(q.name), f"{q.mean:.4g}", f"{q.sd:.3g}", f"{q.rhat:.3f}", f"{q.ess:.0f}")
                       for q in self.worst])],
            ),
            *([] if self.facts is None else _show_facts(self.facts)),
            facts=[self._verdict()] if self.facts is None else self.facts.words(),
        )  # fmt: skip

    def to_json(self) -> str:
        """Write the findings as text, which attributes of stored results can hold."""
        return json.dumps([asdict(finding) for finding in self])

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Read what ``to_json`` wrote."""
        lists = "chains", "variables"
        return cls(tuple(Finding(**{**row, **{n: tuple(row[n]) for n in lists}}) for row in json.loads(text)))


def _show_finding(finding: Finding) -> html.Markup:
    where = [f"chain {chain}" for chain in finding.chains] + [html.code(name) for name in finding.variables]
    beside = html.faint(html.Markup(" · ".join(html.escape(part) for part in where))) if where else ""
    head = html.Markup(f"<strong>{html.escape(finding.kind)}</strong>&ensp;{beside}<br>{html.escape(finding.message)}")
    return html.note(html.Markup(head + (f"<br><em>{html.escape(finding.remedy)}</em>" if finding.remedy else "")))


def _show_facts(facts: Facts) -> list[html.Markup]:
    rows = [(i, *(f"{values[i]:.4g}" for values in facts.per_chain.values())) for i in range(facts.chains)]
    return [
        html.table(("chain", *facts.per_chain), [("", rows if facts.per_chain else [])]),
        html.details("settings", html.table(("", ""), [("", list(facts.noted().items()))])),
    ]
