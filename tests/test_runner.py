"""The runner: chunks, threads, interrupts and errors, with jobs that only count."""

import signal
import threading
import time

import pytest

from pyrox.progress import NoProgress
from pyrox.runner import Interrupts, Runner


@pytest.fixture(autouse=True)
def _sigint_is_heard():
    # Shells start background jobs with it ignored.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


class Counter:
    """A job that counts, and remembers how it was called."""

    def __init__(self, total=100, seconds=0.0, max_chunk=1000, fails_at=None):
        self.done, self.total, self.max_chunk = 0, total, max_chunk
        self.seconds, self.fails_at = seconds, fails_at
        self.chunks, self.threads = [], set()

    def advance(self, n):
        time.sleep(self.seconds * n)
        if self.fails_at is not None and self.done + n > self.fails_at:
            raise ValueError("out of numbers")
        self.chunks.append(n)
        self.threads.add(threading.get_ident())
        self.done += n


class Shown(NoProgress):
    def __init__(self):
        self.seen = []

    def update(self, done, describe):
        self.seen.append((done, describe()))


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_every_job_is_done(cores):
    jobs = [Counter(total=1000) for _ in range(4)]
    assert Runner(jobs, cores, NoProgress()).run()
    assert [job.done for job in jobs] == [1000] * 4
    assert all(sum(job.chunks) == 1000 for job in jobs)


def test_work_happens_on_several_threads_but_one_job_on_one_at_a_time():
    jobs = [Counter(total=200, seconds=1e-4) for _ in range(4)]
    Runner(jobs, 2, NoProgress()).run()
    assert len(set.union(*(job.threads for job in jobs))) == 2


def test_no_job_is_ever_on_two_threads():
    class Slow(Counter):
        inside = False

        def advance(self, n):
            assert not self.inside, "a second thread has come in"
            self.inside = True
            Counter.advance(self, n)
            time.sleep(2e-4)  # ``done`` is already up to date, the runner has not heard of it
            self.inside = False

    for _ in range(20):
        jobs = [Slow(total=300, max_chunk=7) for _ in range(4)]
        Runner(jobs, 4, NoProgress()).run()
        assert [job.done for job in jobs] == [300] * 4


def test_nothing_goes_on_when_the_watch_breaks():
    class Broken(NoProgress):
        def update(self, done, describe):
            raise RuntimeError("no screen")

    job = Counter(total=10**6, seconds=1e-5)
    with pytest.raises(RuntimeError, match="no screen"):
        Runner([job], 1, Broken()).run()
    time.sleep(0.3)
    stopped = job.done
    time.sleep(0.3)
    assert job.done == stopped < 10**6


def test_chunks_grow_to_a_tenth_of_a_second_and_respect_the_buffer():
    quick, slow = Counter(total=20_000, max_chunk=300), Counter(total=40, seconds=0.02)
    Runner([quick], 1, NoProgress()).run()
    assert max(quick.chunks) == 300
    Runner([slow], 1, NoProgress()).run()
    assert max(slow.chunks[1:]) <= 10


def test_jobs_advance_together():
    jobs = [Counter(total=400, seconds=5e-4) for _ in range(4)]
    behind = []

    class Watch(NoProgress):
        def update(self, done, describe):
            behind.append(max(job.done for job in jobs) - min(job.done for job in jobs))

    Runner(jobs, 1, Watch()).run()
    assert max(behind) <= 2 * max(max(job.chunks) for job in jobs)


def test_an_error_in_a_job_reaches_the_caller():
    jobs = [Counter(total=1000, seconds=1e-4), Counter(total=1000, fails_at=40)]
    with pytest.raises(ValueError, match="out of numbers"):
        Runner(jobs, 2, NoProgress()).run()
    assert jobs[0].done < 1000
    assert not [t for t in threading.enumerate() if t.name.startswith("pyrox")]


def test_progress_ends_with_everything():
    shown = Shown()
    Runner([Counter(total=50), Counter(total=50)], 2, shown, lambda: "words").run()
    assert shown.seen[-1] == (100, "words")


def interrupt_after(seconds):
    timer = threading.Timer(seconds, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    return timer


def test_an_interrupt_leaves_all_jobs_equally_far():
    jobs = [Counter(total=100_000, seconds=1e-3 * (1 + i)) for i in range(3)]
    interrupt_after(0.6)
    began = time.monotonic()
    assert not Runner(jobs, 2, NoProgress()).run()
    assert time.monotonic() - began < 5
    assert len({job.done for job in jobs}) == 1
    assert 0 < jobs[0].done < 100_000


def test_an_interrupt_before_the_watch_is_heard():
    job = Counter(total=100_000, seconds=1e-3)
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        began = time.monotonic()
        assert not Runner([job], 1, NoProgress(), interrupts=interrupts).run()
    assert time.monotonic() - began < 5


def test_a_third_interrupt_waits_for_nothing():
    jobs = [Counter(total=100, seconds=3.0)]
    for delay in (0.3, 0.6, 0.9):
        interrupt_after(delay)
    began = time.monotonic()
    assert not Runner(jobs, 1, NoProgress()).run()
    assert time.monotonic() - began < 2


def test_interrupts_are_counted_and_the_handler_comes_back():
    with Interrupts() as outer:
        with outer:
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert outer.count == 2
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_second_interrupt_stops_at_once():
    jobs = [Counter(total=100_000, seconds=1e-3), Counter(total=100_000, seconds=0.2, max_chunk=1)]
    interrupt_after(1.0)
    interrupt_after(1.3)
    began = time.monotonic()
    assert not Runner(jobs, 2, NoProgress()).run()
    assert time.monotonic() - began < 3
    assert jobs[0].done != jobs[1].done


def paused(jobs, cores=2):
    """Run in the background, pause, and wait for the chunks in progress."""
    runner, outcome = Runner(jobs, cores, NoProgress()), []

    def run():
        try:
            outcome.append(runner.run())
        except ValueError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    runner.pause()
    time.sleep(0.3)
    return runner, thread, outcome


def test_a_pause_ends_with_go_on():
    jobs = [Counter(total=2000, seconds=1e-3), Counter(total=2000, seconds=1e-3)]
    runner, thread, outcome = paused(jobs)
    held = [job.done for job in jobs]
    time.sleep(0.3)
    assert [job.done for job in jobs] == held
    assert runner.paused
    assert max(held) < 2000
    runner.go_on()
    thread.join(10)
    assert outcome == [True]
    assert [job.done for job in jobs] == [2000, 2000]


def test_an_interrupt_ends_a_pause():
    jobs = [Counter(total=10**6, seconds=1e-3), Counter(total=10**6, seconds=1e-3)]
    runner, thread, outcome = paused(jobs)
    runner._interrupts.count += 1
    thread.join(10)
    assert outcome == [False]
    assert jobs[0].done == jobs[1].done
    runner.pause()
    assert not runner.paused


def test_an_error_ends_a_pause():
    jobs = [Counter(total=100, seconds=0.01, max_chunk=1), Counter(total=10, seconds=0.5, max_chunk=1, fails_at=0)]
    _, thread, outcome = paused(jobs)
    thread.join(10)
    assert "out of numbers" in str(outcome[0])


def test_a_block_of_a_thread_that_outlasts_the_main_one_leaves_ctrl_c_alone():
    interrupts, entered, leave, errors = Interrupts(), threading.Event(), threading.Event(), []

    def work():
        try:
            with interrupts:
                entered.set()
                leave.wait()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    with interrupts:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        thread.start()
        entered.wait()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a cell that follows can be interrupted
    leave.set()
    thread.join()
    assert not errors
