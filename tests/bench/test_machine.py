"""The machine is described by what matters for speed, and by no name."""

from __future__ import annotations

import platform

from maskrl.bench.machine import describe_machine, keep_freed_memory, package_version, processor


def test_what_is_told(tmp_path):
    told = describe_machine(3)
    assert told["threads"] == 3 and told["cores"] >= 1
    assert told["python"] == platform.python_version()
    assert told["torch"].startswith("2.") and told["backend"] in ("auto", "reference", "fused")
    name = platform.node()
    assert not name or all(name not in str(value) for value in told.values())


def test_the_processor(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nmodel name\t: Abacus 5000: wood\nmodel name\t: second\n")
    assert processor(path) == "Abacus 5000: wood"
    assert processor(tmp_path / "nothing") == platform.processor() or platform.machine()


def test_packages():
    assert package_version("numpy") is not None
    assert package_version("no-such-package-as-this") is None


def test_the_allocator_is_told_where_there_is_one_to_tell():
    is_gnu = platform.libc_ver()[0] == "glibc"
    assert keep_freed_memory() == is_gnu
