"""Progress looks right where it goes: a terminal, a log, nowhere."""

import io
import sys

import nbformat
from nbconvert.preprocessors import ExecutePreprocessor

from pyrox import progress
from pyrox.progress import BarProgress, LogProgress, NoProgress, start_progress


def test_nothing_is_shown_when_not_wanted(capsys):
    bar = start_progress(10, "Sampling", show=False)
    assert isinstance(bar, NoProgress)
    bar.update(5, lambda: "words")
    bar.close()
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_whole_lines(capsys):
    bar = start_progress(100, "Sampling")
    assert isinstance(bar, LogProgress)
    for done in range(101):
        bar.update(done, lambda: "2 divergences")
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, "a short run needs one line"
    assert lines[0].startswith("Sampling: 100/100 (100%) after")
    assert lines[0].endswith("2 divergences")
    assert "\r" not in lines[0]


def test_a_long_run_logs_every_quarter(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    bar = LogProgress(1000, "Sampling")
    for done in range(1001):
        clock[0] += 0.1
        bar.update(done, lambda: "")
    bar.close()
    assert 5 <= len(capsys.readouterr().err.splitlines()) <= 10


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = start_progress(100, "Sampling")
    assert isinstance(bar, BarProgress)
    bar.update(100, lambda: "2 divergences, step size 0.5")
    bar.close()
    assert "100/100" in terminal.getvalue()
    assert "2 divergences, step size 0.5" in terminal.getvalue()


def run_in_notebook(source):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    ExecutePreprocessor(timeout=120, kernel_name="python3").preprocess(notebook)
    return notebook


def test_a_notebook_keeps_one_line_without_widgets():
    notebook = run_in_notebook("""
import time
from pyrox.messages import tell
from pyrox.progress import NotebookProgress, start_progress

tell("what was decided")
bar = start_progress(100, "Sampling")
assert isinstance(bar, NotebookProgress)
for done in range(1, 101):
    bar.update(done, lambda: "2 divergences <none>")
    time.sleep(0.002)
bar.close()
""")
    message, output = notebook.cells[0].outputs
    assert (message.name, message.text) == ("stdout", "what was decided\n"), "only what went wrong is shown in red"
    assert output.output_type == "display_data"
    assert output.data["text/plain"].startswith("Sampling: 100/100 in ")
    assert output.data["text/plain"].endswith(" s, 2 divergences <none>")
    assert "2 divergences &lt;none&gt;" in output.data["text/html"]
    assert "<progress" not in output.data["text/html"], "what has ended is not shown as running"
    assert "widgets" not in notebook.metadata
