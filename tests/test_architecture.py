"""The code keeps to the design: layers, lengths, imports. Read from the source itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pyrox"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}

MAX_FILE, MAX_BODY = 500, 60

# Every module belongs to the first layer whose prefix it has; it may import layers named with it.
LAYERS = {
    "pyrox.config": "base",
    "pyrox.cache": "base",
    "pyrox.errors": "base",
    "pyrox.garbage": "base",
    "pyrox.likelihoods": "base",
    "pyrox.typing": "base",
    "pyrox._pytree": "base",
    "pyrox._html": "base",
    "pyrox.dist": "dist",
    "pyrox.model": "model",
    "pyrox.samplers": "samplers front",  # its __init__ exports everything
    "pyrox.samplers.adaptation": "samplers",
    "pyrox.samplers.chain": "samplers",
    "pyrox.samplers.collect": "samplers",
    "pyrox.samplers.compile": "samplers",
    "pyrox.samplers.consensus": "samplers",
    "pyrox.samplers.counter": "samplers",
    "pyrox.samplers.directions": "samplers",
    "pyrox.samplers.executables": "samplers",
    "pyrox.samplers.hmc": "samplers",
    "pyrox.samplers.kernel": "samplers",
    "pyrox.samplers.length_adaptation": "samplers",
    "pyrox.samplers.metric_adaptation": "samplers",
    "pyrox.samplers.metrics": "samplers",
    "pyrox.samplers.nuts": "samplers",
    "pyrox.samplers.packing": "samplers",
    "pyrox.samplers.passes": "samplers",
    "pyrox.samplers.positions": "samplers",
    "pyrox.samplers.recipe": "samplers",
    "pyrox.samplers.rounding": "samplers",
    "pyrox.samplers.run": "samplers",
    "pyrox.samplers.saved": "samplers",
    "pyrox.samplers.vectors": "samplers",
    "pyrox.vi": "vi",
    "pyrox.progress": "progress",
    "pyrox.runner": "runner",
    "pyrox.results": "results",
    "pyrox.mixing": "diagnostics",
    "pyrox.screening": "diagnostics",
    "pyrox.separation": "diagnostics",
    "pyrox.uniformity": "diagnostics",
    "pyrox.report": "diagnostics",
    "pyrox.funnels": "diagnostics",
    "pyrox.labelled": "diagnostics",
    "pyrox.findings": "diagnostics",
    "pyrox.diagnostics": "diagnostics",
    "pyrox.target": "target",
    "pyrox.settings": "settings",
    "pyrox.store": "store",
    "pyrox.checkpoint": "checkpoint",
    "pyrox.identity": "identity",
    "pyrox.messages": "progress",
    "pyrox.drawwise": "forecast",
    "pyrox.draws": "forecast",
    "pyrox.plan": "forecast",
    "pyrox.forecast": "forecast",
    "pyrox.sampling": "run",
    "pyrox.launch": "run",
    "pyrox.handle": "run",
    "pyrox.continuation": "inference",
    "pyrox.compilation": "inference",
    "pyrox.inference": "inference",
    "pyrox.simulation": "inference",
    "pyrox.calibration": "inference",
    "pyrox.marginalization": "inference",
    "pyrox.prediction": "inference",
    "pyrox.drawing": "inference",
    "pyrox.elicitation": "model",
    "pyrox.absent": "base",
    "pyrox.plots": "inference",
    "pyrox.pointwise": "inference",
    "pyrox.conversion": "inference",
    "pyrox.approximation": "inference",
    "pyrox.variational": "inference",
    "pyrox.storage": "inference",
    "pyrox.distributions": "model",
    "pyrox.__main__": "main",
    "pyrox": "package",
}
MAY_IMPORT = {
    "base": {"base"},
    "dist": {"base", "dist"},
    "model": {"base", "dist", "model"},
    "samplers": {"base", "samplers", "progress"},
    "samplers front": {"base", "dist", "model", "samplers", "samplers front", "runner", "progress", "diagnostics"},
    "vi": {"base", "dist", "model", "samplers", "vi", "runner", "progress"},
    "progress": {"base"},
    "runner": {"base", "progress"},
    "results": {"base"},
    "diagnostics": {"base", "diagnostics"},
    "target": {"base", "dist", "model", "samplers", "vi"},
    "settings": {"base", "samplers"},
    "store": {"base"},
    "checkpoint": {"base", "samplers", "store"},
    "identity": {"base", "samplers"},
    "run": {
        "base", "model", "samplers", "progress", "runner", "results", "diagnostics", "target",
        "settings", "store", "checkpoint", "identity", "run",
    },
    "forecast": {
        "base", "dist", "model", "samplers", "progress", "runner", "results", "target", "settings", "forecast",
    },
    "inference": {
        "base", "dist", "model", "samplers", "vi", "progress", "runner", "results", "diagnostics", "target",
        "settings", "store", "identity", "run", "forecast", "inference",
    },
    "package": set(LAYERS.values()) - {"main"},
    "main": {"package", "results"},
}
LABELLERS = {"pyrox.results"}


def layer(module):
    return LAYERS[max((p for p in LAYERS if module == p or module.startswith(f"{p}.")), key=len)]


def imports(tree):
    """Every imported module, with the depth of functions around the import."""

    def visit(node, depth):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, depth) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports are absolute"
                named = [f"{child.module}.{alias.name}" for alias in child.names]
                modules = [name for name in named if name in MODULES]
                # Of a package from which only modules are taken, nothing else is used.
                yield from ((name, depth) for name in modules + [child.module] * (len(modules) < len(named)))
            inside = depth + isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from visit(child, inside)

    yield from visit(tree, 0)


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_length(function):
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("module", MODULES)
def test_layers(module):
    own = layer(module)
    for name, _ in imports(TREES[module]):
        if name == "pyrox" or name.startswith("pyrox."):
            # ``from pyrox import x`` names the module x, which is checked by its own entry.
            target = layer(name)
            assert target in MAY_IMPORT[own] or (name == "pyrox" and own != "main"), f"{module} ({own}) imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_own_modules_are_imported_at_the_top(module):
    hidden = [name for name, depth in imports(TREES[module]) if depth and name.split(".")[0] == "pyrox"]
    assert not hidden


@pytest.mark.parametrize("module", MODULES)
def test_only_public_jax(module):
    assert "jax._src" not in MODULES[module].read_text()


@pytest.mark.parametrize("module", MODULES)
def test_labels_stay_at_the_rim(module):
    used = [(n, depth) for n, depth in imports(TREES[module]) if n.split(".")[0] in ("xarray", "arviz", "matplotlib")]
    assert all(depth for _, depth in used), "these cost seconds: import them inside the call that needs them"
    assert not used or module in LABELLERS | {"pyrox.__main__"}


def test_no_cycles():
    graph = {m: {n for n, _ in imports(TREES[m]) if n in MODULES and n != m} for m in MODULES}
    # A package's __init__ gathers what lies inside; importing the package from inside is what makes a cycle.
    done, path = set(), []

    def visit(module):
        assert module not in path, f"cycle: {' -> '.join([*path[path.index(module):], module])}"
        if module in done:
            return
        path.append(module)
        for target in graph[module]:
            if not module.startswith(f"{target}."):
                visit(target)
        path.pop()
        done.add(module)

    for module in MODULES:
        visit(module)


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short(module):
    assert len(MODULES[module].read_text().splitlines()) <= MAX_FILE


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short(module):
    long = {f.name: body_length(f) for f in functions(TREES[module]) if body_length(f) > MAX_BODY}
    assert not long


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_documented(module):
    named = [n for n in TREES[module].body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    undocumented = [n.name for n in named if not n.name.startswith("_") and not ast.get_docstring(n)]
    assert ast.get_docstring(TREES[module])
    assert not undocumented


def test_import_is_light():
    pytest.importorskip("jax")  # the other tests only read the code, and run without it
    heavy = ("arviz", "matplotlib", "xarray", "pandas", "optax")
    code = f"import sys, pyrox; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert out.stdout.strip() == "[]"


def test_import_leaves_the_devices_alone():
    pytest.importorskip("jax")  # the other tests only read the code, and run without it
    code = "import jax, pyrox; pyrox.set_host_device_count(3); print(len(jax.devices()))"
    command = [sys.executable, "-W", "error", "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert out.stdout.strip() == "3"


def test_nothing_outside_the_fixed_layout():
    top = {p.name for p in PACKAGE.parent.iterdir() if not p.name.startswith(".")}
    allowed = {"pyrox", "tests", "notebooks", "setup.cfg", "README.md", "pyproject.toml", "LICENSE", "CHANGELOG.md"}
    assert not {n for n in top - allowed if n.endswith(".py") or (PACKAGE.parent / n / "__init__.py").exists()}
