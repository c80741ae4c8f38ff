"""Trees: tuples, lists and dictionaries, nested, with anything else as leaves. PyTorch's pytrees, as far as transforms need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


def leaves(tree: Any) -> list[Any]:
    """The leaves from left to right; a dictionary's in the order of its keys."""
    if isinstance(tree, (tuple, list)):
        return [leaf for below in tree for leaf in leaves(below)]
    if isinstance(tree, dict):
        return [leaf for below in tree.values() for leaf in leaves(below)]
    return [tree]


def rebuild(tree: Any, new: Iterable[Any]) -> Any:
    """The same tree with other leaves."""
    return _rebuild(tree, iter(new))


def _rebuild(tree: Any, new: Iterator[Any]) -> Any:
    if isinstance(tree, dict):
        return type(tree)(zip(tree, [_rebuild(below, new) for below in tree.values()]))
    if isinstance(tree, (tuple, list)):
        below = [_rebuild(b, new) for b in tree]
        return type(tree)(*below) if hasattr(tree, "_fields") else type(tree)(below)
    return next(new)


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `function` of every leaf in its place."""
    return rebuild(tree, [function(leaf) for leaf in leaves(tree)])


def is_leaf(tree: Any) -> bool:
    """Whether it is no tuple, list or dictionary."""
    return not isinstance(tree, (tuple, list, dict))


def spread(value: Any, tree: Any, fits: Callable[[Any], bool]) -> list[Any] | None:
    """One value for each leaf of `tree`, from a tree of values that may end earlier: a value there counts for all leaves
    below. None where the structures differ or a value does not fit."""
    if fits(value):
        return [value] * len(leaves(tree))
    if is_leaf(value) or is_leaf(tree) or len(value) != len(tree):
        return None
    if isinstance(value, dict) != isinstance(tree, dict) or (isinstance(value, dict) and value.keys() != tree.keys()):
        return None
    pairs = [(value[k], tree[k]) for k in tree] if isinstance(tree, dict) else list(zip(value, tree))
    spread_pairs = [spread(v, t, fits) for v, t in pairs]
    return None if any(s is None for s in spread_pairs) else [leaf for s in spread_pairs if s for leaf in s]
