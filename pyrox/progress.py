"""Show how far a run has come: a bar in a notebook or terminal, plain lines in a log."""

import sys
import time
from collections.abc import Callable
from typing import Protocol

from pyrox._html import escape, in_notebook

# A log gets a line at these shares of the work, not more often than every few seconds, or when it was silent for long.
_LOG_SHARE = 0.25
_LOG_PAUSE = 5.0
_LOG_SILENCE = 30.0
_REFRESH_SECONDS = 0.1
# A forecast of the time to go is shown when there is something to base it on.
_FORESEE_AFTER = 1.0


class Progress(Protocol):
    """Something that shows progress."""

    def update(self, done: int, describe: Callable[[], str]) -> None:
        """Show that ``done`` iterations are finished; ``describe`` words what goes with them."""
        ...

    def close(self) -> None:
        """Leave the last state standing."""
        ...


class NoProgress:
    """Show nothing."""

    def update(self, done: int, describe: Callable[[], str]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class NotebookProgress:
    """A line of HTML below a cell: it needs no widgets, and stays readable where the notebook is saved."""

    def __init__(self, total: int, title: str) -> None:
        from IPython.display import display

        self._total, self._title = total, title
        self._began = self._shown = time.monotonic()
        self._last: tuple[int, Callable[[], str]] = 0, lambda: ""
        self._handle = display(self._page(), raw=True, display_id=True)

    def update(self, done: int, describe: Callable[[], str]) -> None:
        """Move the bar, at most ten times a second."""
        self._last = done, describe
        if time.monotonic() - self._shown >= _REFRESH_SECONDS:
            self._show()

    def close(self) -> None:
        """Leave the last state standing, as text."""
        self._show(ended=True)

    def _show(self, *, ended: bool = False) -> None:
        self._shown = time.monotonic()
        if self._handle is not None:
            self._handle.update(self._page(ended=ended), raw=True)

    def _page(self, *, ended: bool = False) -> dict[str, str]:
        done, describe = self._last
        seconds = time.monotonic() - self._began
        times = f"{seconds:.1f} s"
        if not ended and 0 < done < self._total and seconds > _FORESEE_AFTER:
            times += f", {seconds * (self._total - done) / done:.0f} s to go"
        words = ", ".join(filter(None, [f"{done}/{self._total} in {times}", describe()]))
        bar = "" if ended and done >= self._total else _bar(done, self._total)
        page = f'<div style="font-size: 0.9em;">{bar}<strong>{escape(self._title)}</strong>&ensp;{escape(words)}</div>'
        return {"text/plain": f"{self._title}: {words}", "text/html": page}


def _bar(done: int, total: int) -> str:
    return f'<progress value="{done}" max="{max(total, 1)}" style="vertical-align: middle;"></progress>&ensp;'


class BarProgress:
    """A tqdm bar in a terminal."""

    def __init__(self, total: int, title: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, desc=title, unit="it", mininterval=_REFRESH_SECONDS, dynamic_ncols=True)
        self._shown = 0.0

    def update(self, done: int, describe: Callable[[], str]) -> None:
        """Move the bar, at most ten times a second."""
        now = time.monotonic()
        if done < self._bar.total and now - self._shown < _REFRESH_SECONDS:
            return
        self._shown = now
        self._bar.set_postfix_str(describe(), refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Leave the bar standing."""
        self._bar.refresh()
        self._bar.close()


class LogProgress:
    """A few plain lines on standard error."""

    def __init__(self, total: int, title: str) -> None:
        self._total, self._title = total, title
        self._began = self._spoke = time.monotonic()
        self._share = 0.0
        self._last: tuple[int, Callable[[], str]] | None = None

    def update(self, done: int, describe: Callable[[], str]) -> None:
        """Write a line when a good part of the work or of a minute has passed."""
        self._last = done, describe
        silent, share = time.monotonic() - self._spoke, done / max(self._total, 1)
        if silent > (_LOG_PAUSE if share >= self._share + _LOG_SHARE else _LOG_SILENCE):
            self._speak(done, describe)

    def close(self) -> None:
        """Write the last line."""
        if self._last is not None:
            self._speak(*self._last)

    def _speak(self, done: int, describe: Callable[[], str]) -> None:
        self._spoke, self._share = time.monotonic(), done / max(self._total, 1)
        parts = [f"{done}/{self._total} ({self._share:.0%}) after {self._spoke - self._began:.1f} s", describe()]
        print(f"{self._title}: {', '.join(filter(None, parts))}", file=sys.stderr, flush=True)


def start_progress(total: int, title: str, *, show: bool = True) -> Progress:
    """Begin to show progress in the way that suits where the output goes.

    Parameters
    ----------
    total
        Iterations to be done.
    title
        What is running.
    show
        False shows nothing.
    """
    if not show:
        return NoProgress()
    if in_notebook():
        return NotebookProgress(total, title)
    if sys.stderr.isatty():
        return BarProgress(total, title)
    return LogProgress(total, title)
