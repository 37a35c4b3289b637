"""Carry a run out: to its end, or beside other work, with a handle on it."""

import atexit
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from pyrox import _html as html
from pyrox import diagnostics, results
from pyrox.errors import SamplingError
from pyrox.runner import Interrupts
from pyrox.samplers.run import ChainProgress, progress_of
from pyrox.sampling import SamplingRun

# At the end of the interpreter chains get so long to end their chunk.
_FAREWELL_SECONDS = 30.0


def carry_out(make: Callable[[Interrupts], SamplingRun], *, blocking: bool, quiet: bool) -> Any:
    """Make a run and carry it out.

    Parameters
    ----------
    make
        Makes it, given where Ctrl-C is counted.
    blocking
        True returns the results, False a handle.
    quiet
        Whether to keep findings from being warnings, at the line that called the caller.
    """
    # Inside, Ctrl-C is heard where it does no harm: an exception could hit, and vanish, anywhere inside JAX.
    with Interrupts() as interrupts:
        run = make(interrupts)
        if not blocking:
            return SamplingHandle(run, quiet=quiet)
        run.execute()
        datasets = run.datasets()
        findings = run.findings(datasets)
        idata = results.assemble(datasets)
    if not quiet:
        diagnostics.warn_all(findings, stacklevel=3)
    return idata


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Attributes
    ----------
    status
        ``"compiling"``, ``"running"``, ``"paused"``, ``"finished"``, ``"aborted"`` or ``"failed"``.
    done, total
        Iterations of all chains, warm-up included.
    seconds
        Time since the run began.
    chains
        How far each chain is; empty while compiling.
    """

    status: str
    done: int
    total: int
    seconds: float
    chains: tuple[ChainProgress, ...]

    def __str__(self) -> str:
        divergences = sum(chain.divergences for chain in self.chains)
        share = self.done / self.total
        return f"{self.status}, {share:.0%} after {self.seconds:.1f} s, {divergences} divergences"


class SamplingHandle:
    """A run that goes on in the background, as ``px.sample(..., blocking=False)`` returns it.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.Model():
    ...     x = px.Normal("x", 0.0, 1.0)
    ...     run = px.sample(300, tune=300, random_seed=1, blocking=False, quiet=True)
    >>> idata = run.result()
    >>> run.progress.status
    'finished'
    >>> idata["posterior"]["x"].shape
    (4, 300)
    """

    def __init__(self, run: SamplingRun, *, quiet: bool = False) -> None:
        self._run, self._quiet = run, quiet
        self._began, self._ended = time.monotonic(), None
        self._error: BaseException | None = None
        self._aborted = False
        self._result: Any = None
        self._thread = threading.Thread(target=self._work, name="pyrox-run", daemon=True)
        _running.add(self)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._run.execute()
        except BaseException as error:  # raised where the result is asked for
            self._error = error
        self._ended = time.monotonic()
        _running.discard(self)

    @property
    def progress(self) -> RunProgress:
        """How far the run is, at this moment."""
        run, settings = self._run, self._run.task.settings
        chains = tuple(progress_of(run.jobs))
        return RunProgress(
            status=self._status(),
            done=sum(chain.done for chain in chains),
            total=settings.chains * (settings.tune + settings.draws),
            seconds=(self._ended or time.monotonic()) - self._began,
            chains=chains,
        )

    def _status(self) -> str:
        if self._error is not None and not self._aborted:
            return "failed"
        if self._ended is not None:
            return "finished" if self._run.complete else "aborted"
        if self._run.paused:
            return "paused"
        return "running" if self._run.jobs else "compiling"

    def inspect(self) -> Any:
        """Give the results so far; the chains go on meanwhile.

        Raises
        ------
        SamplingError
            If there are no draws yet.
        """
        if self._ended is not None:
            return self._conclude(warn=not self._quiet)
        return results.assemble(self._run.datasets())

    def pause(self) -> None:
        """Let the chunks in progress end, about a tenth of a second, and begin no more until ``resume``."""
        self._run.pause()

    def resume(self) -> None:
        """Go on after ``pause``."""
        self._run.go_on()

    def abort(self) -> Any:
        """End the run here; give the draws so far, equally many of each chain.

        Raises
        ------
        SamplingError
            If there are no draws yet.
        """
        if self._ended is None:
            self._aborted = True
            self._run.interrupts.count += 1
            self._thread.join()
        return self._conclude(warn=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; Ctrl-C ends the waiting, not the run.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None waits as long as it takes.

        Returns
        -------
        Whether the run has ended.
        """
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self) -> Any:
        """Wait for the end and give the results, as ``px.sample`` does; whatever went wrong is raised here."""
        self.wait()
        return self._conclude(warn=not self._quiet)

    def _conclude(self, *, warn: bool) -> Any:
        if self._result is None:
            if isinstance(self._error, KeyboardInterrupt):
                raise SamplingError("aborted while the model was compiled: there are no draws yet")
            if self._error is not None:
                raise self._error
            datasets = self._run.datasets()
            findings = self._run.findings(datasets)
            self._result = results.assemble(datasets)
            if warn:
                diagnostics.warn_all(findings, stacklevel=3)
        return self._result

    def __repr__(self) -> str:
        return f"<SamplingHandle: {self.progress}>"

    def _repr_html_(self) -> str:
        now = self.progress
        head = ("chain", "phase", "iteration", "divergences", "step size", "gradients/draw")
        rows = [
            (i, "warm-up" if c.warming else "draws", f"{c.done} of {c.total}", c.divergences, f"{c.step_size:.3g}",
             f"{c.n_steps:.3g}")
            for i, c in enumerate(now.chains)
        ]  # fmt: skip
        bar = html.Markup(f'<progress max="{now.total}" value="{now.done}" style="width: 20em"></progress>')
        return html.section("Sampling", bar, html.table(head, [("", rows)]), facts=[str(now)])


_running: WeakSet = WeakSet()


def _end_all() -> None:
    """Stop what still runs: an interpreter must not end under XLA's hands."""
    left = list(_running)
    for handle in left:
        handle._run.interrupts.count += 1
    for handle in left:
        handle.wait(_FAREWELL_SECONDS)


atexit.register(_end_all)
