"""Kill a checkpointed run at random moments, go on with px.resume, and compare with the run without a break.

run as: python -m tests.crash [--kills 20] [--seed 0]
Every run is a process of its own and is ended by SIGKILL; the one that goes on may be killed as well.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pyrox.store import Store

ROOT = Path(__file__).parent.parent
PROGRAM = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
import pyrox as px
import pyrox.checkpoint
from tests import models

pyrox.checkpoint.COMMIT_SECONDS = 0.2  # so that many moments fall into a commit
folder, draws, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
model = models.logistic(rows=500, columns=20)
with model:
    px.Deterministic("chance", px.math.sigmoid(model["intercept"] + px.math.dot(model["x"], model["beta"])[:40]))
settings = dict(tune=400, chains=4, random_seed=7, discard_tuned_samples=False)
if folder == "memory":
    idata = px.sample(draws, **settings, quiet=True, model=model)
elif Path(folder).exists():
    idata = px.resume(folder, quiet=True, model=model)
else:
    idata = px.sample(draws, **settings, checkpoint=folder, quiet=True, model=model)
digests = {}
for group in ("posterior", "sample_stats", "warmup_posterior", "warmup_sample_stats"):
    for name, values in idata[group].data_vars.items():
        array = np.ascontiguousarray(values.values)
        digests[f"{group}/{name}"] = f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
out.write_text(json.dumps(digests))
"""


def start(folder, draws, out):
    command = [sys.executable, "-c", PROGRAM, str(folder), str(draws), str(out)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(folder, draws, out):
    process = start(folder, draws, out)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(out.read_text())


def look_inside(folder):
    """Open the store as xarray does, and check that what it shows is whole."""
    import xarray as xr

    tree = xr.open_datatree(folder, engine="zarr")
    lengths = {tree[group].sizes["draw"] for group in ("posterior", "sample_stats")}
    assert len(lengths) == 1
    for group in tree.children:
        for name, values in tree[group].data_vars.items():
            assert np.isfinite(values.values).all(), f"{group}/{name}"
    return lengths.pop()


def kill_at(process, folder, moment):
    """Kill so many seconds after the store has appeared; tell whether the run was under way."""
    while not Path(folder).exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    time.sleep(moment)
    under_way = process.poll() is None
    process.kill()
    process.communicate()
    return under_way


def kill_and_resume(kills, draws, seed, tell=print):
    """Give how many runs that were killed had the bits of the one without a break, and how many were killed."""
    rng = np.random.default_rng(seed)
    same = 0
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        expected = finish("memory", draws, temporary / "whole.json")
        whole = finish(temporary / "whole.zarr", draws, temporary / "stored.json")
        assert whole == expected
        seconds = Store.open(temporary / "whole.zarr").record["sampling_time"]
        done = 0
        while done < kills:
            folder, out = temporary / f"{done}.zarr", temporary / f"{done}.json"
            moment = rng.uniform(0, seconds)
            if not kill_at(start(folder, draws, out), folder, moment):
                out.unlink(missing_ok=True)
                shutil.rmtree(folder)
                continue
            kept = look_inside(folder)
            second = rng.uniform() < 0.3 and kill_at(start(folder, draws, out), folder, rng.uniform(2, 6))
            found = finish(folder, draws, out)
            equal = found == expected
            same, done = same + equal, done + 1
            tell(
                f"kill {done}: {moment:.2f} s after the store appeared, {kept} of {draws} draws were committed, "
                f"killed {1 + second} times: {'same bits' if equal else 'DIFFERENT'}"
            )
    return same, done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--draws", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    same, done = kill_and_resume(options.kills, options.draws, options.seed)
    print(f"{same} of {done} give the bits of the run without a break")
