"""Gives every test that asks for an `example` each entry of examples.py in turn.

One that asks for a `batched_example` gets those with at least one batch dimension, and
one that asks for a `traced_example` the first of these for each distribution.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def load_examples():
    """The list in examples.py beside this file."""
    name = "maskrl_distribution_examples"
    if name not in sys.modules:
        path = Path(__file__).with_name("examples.py")
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name].EXAMPLES


def pytest_generate_tests(metafunc):
    def name(example):
        return example.name

    if "example" in metafunc.fixturenames:
        metafunc.parametrize("example", load_examples(), ids=name)
    if "batched_example" in metafunc.fixturenames:
        batched = [example for example in load_examples() if example.build().batch_shape]
        metafunc.parametrize("batched_example", batched, ids=name)
    if "traced_example" in metafunc.fixturenames:
        first = {}
        for example in load_examples():
            distribution = example.build()
            if distribution.batch_shape and example.traced:
                first.setdefault(type(distribution), example)
        metafunc.parametrize("traced_example", list(first.values()), ids=name)
