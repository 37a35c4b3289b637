"""The reference: every public name says what it is, what it takes and how it is used, in an example that runs."""

import ast
import builtins
import configparser
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import pyrox as px
from pyrox.model.variables import DistributionStatement

PLACES = (
    "pyrox", "pyrox.dist", "pyrox.dist.constraints", "pyrox.dist.transforms", "pyrox.dist.flows", "pyrox.samplers",
    "pyrox.vi", "pyrox.vi.callbacks", "pyrox.vi.optim", "pyrox.handlers", "pyrox.primitives", "pyrox.distributions",
    "pyrox.dist.value_transforms", "pyrox.diagnostics", "pyrox.model",
)  # fmt: skip
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS  # as in setup.cfg
# What every distribution and every handler takes, told once in Distribution and in Messenger; and the keywords that
# functions take to refuse them with advice.
SHARED = {"validate_args", "fn", "unknown"}


def _is_ours(value):
    return (getattr(inspect.unwrap(value), "__module__", None) or "").startswith("pyrox")


def _public():
    """Give all public objects by their full names, each under the first of its names."""
    named = {}
    for place in PLACES:
        module = importlib.import_module(place)
        named |= {f"{place}.{name}": getattr(module, name) for name in module.__all__}
    named |= {f"pyrox.math.{name}": f for name in dir(px.math) if _is_ours(f := getattr(px.math, name))}
    seen, public = set(), {}
    for name, value in named.items():
        if isinstance(value, ModuleType | dict) or id(value) in seen:
            continue
        seen.add(id(value))
        public[name] = value
    return public


PUBLIC = _public()


def _document(value):
    """Give the docstring that is an object's own: not that of a base class, nor what a dataclass writes by itself."""
    own = value if not isinstance(value, type) else value.__dict__
    doc = own.get("__doc__") if isinstance(value, type) else value.__doc__
    written_by_itself = isinstance(value, type) and (doc or "").startswith(f"{value.__name__}(")
    return "" if doc is None or written_by_itself else inspect.cleandoc(doc)


def _section(doc, *titles):
    found = re.search(rf"^(?:{'|'.join(titles)})\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _described(doc):
    """Give the names that the sections of parameters describe."""
    heads = re.findall(r"^(\S.*)$", _section(doc, "Parameters", "Attributes"), re.MULTILINE)
    return {name.strip().lstrip("*") for head in heads for name in head.split(" : ")[0].split(",")}


def _parameters(value):
    """Give the names of what an object is called or made with."""
    if not isinstance(value, type) and not inspect.isroutine(value) and not hasattr(value, "__signature__"):
        return []  # a constraint, a transform: it has been made
    try:
        signature = inspect.signature(value)
    except ValueError:
        return []  # an exception
    return [name for name in signature.parameters if name not in SHARED and not name.startswith("_")]


@pytest.mark.parametrize("name", PUBLIC)
def test_first_line_says_what_it_is(name):
    first, *rest = _document(PUBLIC[name]).split("\n")
    assert first.endswith("."), f"{name} starts with {first!r}"
    assert first[0].isupper(), f"{name} starts with {first!r}"
    assert not rest or not rest[0], f"{name}: the first sentence does not fit its line"
    if inspect.isroutine(PUBLIC[name]):
        word = first.split()[0].rstrip(",:;")
        assert not re.fullmatch(r"A|An|The|This|\w*[^s]s|\w+ing", word), f"{name} starts with {first!r}: say what to do"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_is_described(name):
    missing = [p for p in _parameters(PUBLIC[name]) if p not in _described(_document(PUBLIC[name]))]
    assert not missing, f"{name} does not describe {', '.join(missing)}"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_has_an_example(name):
    assert doctest.DocTestParser().get_examples(_document(PUBLIC[name])), f"{name} has no example"


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_can_be_copied(name):
    # Whoever reads an example in a notebook has nothing but the example.
    examples = doctest.DocTestParser().get_examples(_document(PUBLIC[name]))
    tree = ast.parse("".join(e.source for e in examples))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    made = {n.id for n in names if not isinstance(n.ctx, ast.Load)} | {"__name__"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            made.add(node.name)
    missing = {n.id for n in names} - made - set(dir(builtins))
    assert not missing, f"the example of {name} does not say what {', '.join(sorted(missing))} is"


def _collected():
    """Give the docstrings whose examples ``pytest --doctest-modules`` runs."""
    docs = set()
    for info in pkgutil.walk_packages(px.__path__, "pyrox."):
        if not info.name.endswith("__main__"):
            module = importlib.import_module(info.name)
            docs |= {inspect.cleandoc(test.docstring) for test in doctest.DocTestFinder().find(module) if test.examples}
    return docs


COLLECTED = _collected()
# Docstrings that are written when they are read, which no module contains.
WRITTEN = {name: value for name, value in PUBLIC.items() if _document(value) not in COLLECTED}


def test_only_statements_write_their_docstrings():
    assert {name: s for name, s in PUBLIC.items() if isinstance(s, DistributionStatement)} == WRITTEN


@pytest.mark.parametrize("name", WRITTEN)
def test_examples_run(name):
    said = []
    test = doctest.DocTestParser().get_doctest(_document(WRITTEN[name]), {}, name, None, None)
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=said.append)
    assert not said, "".join(said)


def test_doctests_of_modules_belong_to_the_suite():
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parent.parent / "setup.cfg")
    pytest_settings = settings["tool:pytest"]
    assert "--doctest-modules" in pytest_settings["addopts"]
    assert "pyrox" in pytest_settings["testpaths"].split()


@pytest.mark.parametrize("name", dir(px.math))
def test_forwarded_functions_say_what_they_are(name):
    assert (getattr(px.math, name).__doc__ or "").strip(), f"px.math.{name} says nothing"
