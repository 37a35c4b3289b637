"""Own the time of a long run: threads, chunks, progress, Ctrl-C.

A job is something that goes on in small pieces, like a chain or an optimisation. The runner decides who goes
on, when and for how long; what a job computes depends on none of that.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Protocol, Self

from pyrox.progress import Progress

# A chunk lasts about this long: progress moves, Ctrl-C is heard, and the cost of a call (0.2 to 0.4 ms) vanishes.
CHUNK_SECONDS = 0.1
# From one chunk to the next, lest a first transition of few gradients promise too much for those of a thousand.
_GROWTH = 16


class Job(Protocol):
    """Work that goes on in pieces."""

    done: int
    total: int
    max_chunk: int

    def advance(self, n: int) -> None:
        """Go on by ``n`` iterations and count them in ``done``."""
        ...


def available_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Interrupts:
    """Count Ctrl-C instead of raising it anywhere: inside the ``with`` block nothing can be torn apart.

    Acts in the main thread, and where SIGINT has Python's own handler; elsewhere the block is as any other.
    """

    def __init__(self) -> None:
        self.count = 0
        self._depth = 0
        self._former: Any = None

    def __enter__(self) -> Self:
        if _in_main_thread():
            self._depth += 1
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._former = signal.signal(signal.SIGINT, self._note)
        return self

    def raise_if_any(self) -> None:
        """Raise KeyboardInterrupt, at a place that can bear it, if there was a Ctrl-C."""
        if self.count:
            raise KeyboardInterrupt

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1

    def __exit__(self, *exc: object) -> None:
        # A block of another thread may outlast that of the main thread, which alone may set handlers.
        if not _in_main_thread():
            return
        self._depth -= 1
        if self._depth == 0 and self._former is not None:
            signal.signal(signal.SIGINT, self._former)
            self._former = None


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class _Slot:
    """A job, with the length of its next chunk."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.chunk = 1  # the first one may be slow: a transition can take a thousand gradients
        self.busy = False
        self.target = job.done  # where the chunk in progress will end

    def begin(self, goal: int) -> int:
        n = min(self.chunk, self.job.max_chunk, goal - self.job.done)
        self.busy, self.target = True, self.job.done + n
        return n

    def end(self, n: int, seconds: float) -> None:
        self.busy, self.target = False, self.job.done
        fitting = int(CHUNK_SECONDS * n / max(seconds, 1e-9))
        self.chunk = max(1, min(fitting, _GROWTH * n))


class Runner:
    """Advance jobs on threads until all are done or the user interrupts.

    Parameters
    ----------
    jobs
        What to run, each to the same total. The job that is furthest behind always goes on next.
    cores
        Number of threads.
    progress
        Where progress is shown.
    describe
        Gives the words that accompany the progress.

    interrupts
        Where Ctrl-C is counted; None counts it during ``run`` alone.

    Notes
    -----
    After Ctrl-C jobs that lag behind the most advanced one catch up with it (a chunk at most), so that all have come
    equally far, and nothing else begins. A second Ctrl-C lets only the chunks in progress end; a third one does not
    wait for them either.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        cores: int,
        progress: Progress,
        describe: Callable[[], str] | None = None,
        interrupts: Interrupts | None = None,
    ) -> None:
        self._slots = [_Slot(job) for job in jobs]
        self._cores = max(1, min(cores, len(self._slots)))
        self._progress, self._describe = progress, describe or (lambda: "")
        self._interrupts = interrupts or Interrupts()
        self._goal = max((job.total for job in jobs), default=0)
        self._change = threading.Condition()
        self._error: BaseException | None = None
        self._paused = False
        self._working = 0  # threads that have not yet come to their end
        self.interrupted = False

    @property
    def paused(self) -> bool:
        """Whether nothing new begins."""
        return self._paused

    def pause(self) -> None:
        """Let the chunks in progress end, and begin no more until ``go_on``."""
        with self._change:
            self._paused = not self.interrupted

    def go_on(self) -> None:
        """End a pause."""
        with self._change:
            self._paused = False
            self._change.notify_all()

    def run(self) -> bool:
        """Run; tell whether everything was done.

        Raises
        ------
        Exception
            Whatever a job raised, after the chunks of the others have ended.
        """
        # Threads of their own context see no model, handler or setting of the caller by accident.
        self._working = self._cores
        for _ in range(self._cores):
            threading.Thread(target=self._work_to_the_end, name="pyrox", daemon=True).start()
        try:
            with self._interrupts:
                self._watch()
        finally:
            # Whatever ends the watch, no job goes on behind the caller's back.
            with self._change:
                self._goal = 0
            self.go_on()
        self._show()
        if self._error is not None:
            raise self._error
        return not self.interrupted

    def _watch(self) -> None:
        heard = 0  # not the present count: one may have come since the threads began
        while self._working and heard < 3:
            with self._change:
                if self._working:
                    self._change.wait(timeout=0.05)
            while heard < self._interrupts.count:
                heard += 1
                self._interrupt()
            self._show()

    def _show(self) -> None:
        self._progress.update(sum(slot.job.done for slot in self._slots), self._describe)

    def _interrupt(self) -> None:
        with self._change:
            ahead = max(slot.target if slot.busy else slot.job.done for slot in self._slots)
            self._goal = 0 if self.interrupted else min(ahead, self._goal)
            self.interrupted = True
        self.go_on()  # those that lag behind have to catch up

    def _next(self) -> tuple[_Slot, int] | None:
        """Give the idle job that is furthest behind, and the length of its chunk; None if there is no more to do."""
        with self._change:
            self._change.wait_for(lambda: not self._paused)
            waiting = [slot for slot in self._slots if not slot.busy and slot.job.done < self._goal]
            if not waiting or self._error is not None:
                return None
            slot = min(waiting, key=lambda slot: slot.job.done)
            return slot, slot.begin(self._goal)

    def _work_to_the_end(self) -> None:
        try:
            self._work()
        finally:
            with self._change:
                self._working -= 1
                self._change.notify_all()

    def _work(self) -> None:
        while (task := self._next()) is not None:
            slot, n = task
            began = time.perf_counter()
            try:
                slot.job.advance(n)
            except BaseException as error:  # handed to the thread that waits
                self._error = error
                self.go_on()
            with self._change:
                slot.end(n, time.perf_counter() - began)
                self._change.notify_all()
