"""The examples of README.md run in their order, as a reader would type them."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # without seeds, a run may meet a divergence and say so
def test_the_examples_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for number, block in enumerate(BLOCKS, 1):
        exec(compile(block, f"README.md, example {number}", "exec"), names)
    assert set(names["idata"].posterior["theta"].dims) == {"chain", "draw", "school"}
    assert (tmp_path / "fit.pyrox").exists()
    assert len(BLOCKS) == README.read_text().count("```python") > 0
