"""Files that a reader can take in: short, introduced, tested, found by their name.

Every rule is a function from sources to complaints. Each test applies one to
the repository, and then to a made-up violation that it has to notice.
"""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import PurePosixPath

LONGEST = 500
MEDIAN = 200
INTRODUCTION = range(3, 9)
DUMPING_GROUNDS = {"utils", "util", "helpers", "helper", "common", "misc", "core", "tools", "stuff"}
BESIDE_THE_MIRROR = ("tests/architecture/", "tests/docs/", "tests/learning/")
SOMEBODYS_MACHINE = re.compile(r"(?<![\w.:/])/(?:home|Users|root|work|mnt|media)/\w")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".cfg", ".yml", ".yaml", ".html", ".js", ".css", ""}


def too_long(sources):
    return [
        f"{s.path}: {s.lines} lines, at most {LONGEST - 1}" for s in sources if s.lines >= LONGEST
    ]


def not_introduced(sources):
    return [
        f"{s.path}: opens without a docstring" for s in sources if not ast.get_docstring(s.tree)
    ]


def introduction(source):
    """The opening lines of a file's docstring; a list of rules may follow them."""
    lines = (ast.get_docstring(source.tree) or "").splitlines()
    items = [number for number, line in enumerate(lines) if line.startswith("- ")]
    return lines[: items[0]] if items else lines


def introduced_too_briefly_or_at_length(sources):
    complaints = []
    for source in sources:
        if source.path.endswith(("__init__.py", "__main__.py")):
            continue
        length = len(introduction(source))
        if length not in INTRODUCTION:
            complaints.append(f"{source.path}: {length} lines of introduction, expected 3 to 8")
    return complaints


def dumping_grounds(paths):
    return [
        f"{path}: what is it for? name it after that"
        for path in paths
        if DUMPING_GROUNDS
        & {part.removeprefix("test_") for part in PurePosixPath(path).with_suffix("").parts}
    ]


def mirror_of(path):
    """Where the test of a module lies: maskrl/a/b.py -> tests/a/test_b.py."""
    inside = PurePosixPath(path).relative_to("maskrl")
    return str(PurePosixPath("tests") / inside.parent / f"test_{inside.stem.strip('_')}.py")


def untested(package_paths, test_paths):
    return [
        f"{path}: expected its test at {mirror_of(path)}"
        for path in package_paths
        if not path.endswith("__init__.py") and mirror_of(path) not in test_paths
    ]


def astray(test_paths, package_paths):
    """Test files that name no module: test_b.py or test_b_<aspect>.py beside maskrl/a/b.py."""
    modules = {mirror_of(path).removesuffix(".py") for path in package_paths}
    packages = {str(PurePosixPath(p).parent) for p in modules}
    complaints = []
    for path in test_paths:
        if path.startswith(BESIDE_THE_MIRROR) or not PurePosixPath(path).name.startswith("test_"):
            continue
        stem = path.removesuffix(".py")
        if not any(stem == m or stem.startswith(m + "_") for m in modules):
            folder = str(PurePosixPath(path).parent)
            where = "no module of this name" if folder in packages else f"no package for {folder}"
            complaints.append(f"{path}: {where}")
    return complaints


def machine_paths(named_texts):
    return [
        f"{name}: line {number} names a path of somebody's machine: {line.strip()}"
        for name, text in named_texts
        for number, line in enumerate(text.splitlines(), 1)
        if SOMEBODYS_MACHINE.search(line)
    ]


def test_no_file_is_long(all_sources, make_source):
    assert too_long(all_sources) == []
    assert too_long([make_source("maskrl/a.py", "x = 1\n" * 500)]) != []
    assert too_long([make_source("maskrl/a.py", "x = 1\n" * 499)]) == []


def test_the_median_file_is_short(package_sources):
    lengths = [s.lines for s in package_sources if not s.path.endswith("__init__.py")]
    assert statistics.median(lengths) < MEDIAN


def test_every_file_says_what_it_is_for(all_sources, package_sources, make_source):
    assert not_introduced(all_sources) == []
    assert not_introduced([make_source("maskrl/a.py", "x = 1\n")]) != []
    assert introduced_too_briefly_or_at_length(package_sources) == []
    brief = make_source("maskrl/a.py", '"""Things."""\n')
    lengthy = make_source("maskrl/a.py", '"""Things.\n' + "more\n" * 8 + '"""\n')
    assert len(introduced_too_briefly_or_at_length([brief, lengthy])) == 2


def test_no_dumping_grounds(all_sources):
    assert dumping_grounds(s.path for s in all_sources) == []
    bad = ["maskrl/utils.py", "maskrl/core/a.py", "tests/masks/test_helpers.py"]
    assert len(dumping_grounds(bad)) == 3


def test_every_package_is_a_package(repository):
    folders = {path.parent for path in (repository / "maskrl").rglob("*.py")}
    assert [f for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_every_module_has_a_test_where_one_looks_for_it(package_sources, all_sources):
    modules = [s.path for s in package_sources]
    tests = [s.path for s in all_sources if s.path.startswith("tests/")]
    assert untested(modules, tests) == []
    assert untested(["maskrl/masks/arrays.py"], ["tests/test_arrays.py"]) != []
    assert mirror_of("maskrl/__main__.py") == "tests/test_main.py"


def test_every_test_belongs_to_a_module(package_sources, all_sources):
    modules = [s.path for s in package_sources]
    tests = [s.path for s in all_sources if s.path.startswith("tests/")]
    assert astray(tests, modules) == []
    here = ["maskrl/masks/arrays.py"]
    assert astray(["tests/masks/test_arrays.py", "tests/masks/test_arrays_bits.py"], here) == []
    assert len(astray(["tests/masks/test_lists.py", "tests/nowhere/test_arrays.py"], here)) == 2


def test_no_file_names_somebodys_machine(kept_files, repository):
    texts = [
        (str(path.relative_to(repository)), path.read_text("utf-8"))
        for path in kept_files
        if path.suffix in TEXT_SUFFIXES
    ]
    assert len(texts) > 10
    assert machine_paths(texts) == []
    assert machine_paths([("docs/a.md", "see /" + "home/somebody/maskrl")]) != []
