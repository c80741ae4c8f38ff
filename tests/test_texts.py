"""Every name on the pages about the texts exists: API, files, tests, pictures."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs/errata.md", ROOT / "docs/examples.md", *sorted((ROOT / "docs/texts").glob("*.md"))]
NAMES = [
    pytest.param(name, id=f"{page.stem}:{name}")
    for page in PAGES
    for name in sorted(set(re.findall(r"`([\w./]+(?:::\w+)?)`", page.read_text())))
    if name.startswith("pullback") or "/" in name
]


@cache
def functions(path: Path) -> frozenset[str]:
    """The names of a file's functions."""
    return frozenset(n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef))


def resolve(name: str) -> object:
    """The object of a dotted name: the longest module in it, and attributes from there."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError as error:
            if error.name is None or not ".".join(parts[:n]).startswith(error.name):
                raise
            continue
        for part in parts[n:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize("name", NAMES)
def test_name_exists(name: str) -> None:
    if name.startswith("pullback"):
        if ".estimators" in name:
            pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra sklearn)")
        assert resolve(name) is not None
        return
    path, _, test = name.partition("::")
    assert (ROOT / path).exists()
    if test:
        assert test in functions(ROOT / path)


def test_pages_name_enough_to_be_checked() -> None:
    assert [p.stem for p in PAGES] == ["errata", "examples", "000", "001", "002", "003", "004", "README"]
    for page in PAGES[2:-1]:
        text = page.read_text()
        assert text.count("`pullback.") > 5 and text.count("::test_") > 5, page.name


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_example_is_on_a_page() -> None:
    pages = "".join(p.read_text() for p in PAGES)
    examples = {p.name for p in (ROOT / "examples").glob("[a-z]*.py")}
    assert not [e for e in examples if f"`examples/{e}`" not in pages]
