"""Every example in every docstring runs, and every public function has one."""
import doctest
import importlib
import pkgutil

import pytest

import fastconv


def python_modules():
    names = [fastconv.__name__, *(m.name for m in pkgutil.walk_packages(fastconv.__path__, "fastconv.")
                                  if not m.name.endswith("__main__"))]
    specs = {name: importlib.util.find_spec(name) for name in names}
    return [name for name, spec in specs.items() if spec.origin.endswith(".py")]


@pytest.mark.parametrize("name", python_modules())
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("name", [name for name in fastconv.__all__ if callable(getattr(fastconv, name))
                                  and name not in ("ValidationError", "set_num_threads", "threads")])
def test_public_name_has_an_example(name):
    thing = getattr(fastconv, name)
    assert doctest.DocTestFinder(recurse=False).find(thing, name)[0].examples
