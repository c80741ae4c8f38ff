"""`pullback run`: a captured function from a file, on arrays from files."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import pullback
from pullback._trees import flatten
from pullback.io._files import atomic_path


def run(args: argparse.Namespace) -> int:
    """Print what the plan is; or run it, and print its results or write them."""
    plan = pullback.load_plan(args.plan, max_bytes=args.max_bytes)
    if not args.input:
        if args.output:
            raise ValueError("run: --output expects an --input for each argument")
        print(plan.summary())
        return 0
    results: list[Any] = []
    flatten(plan(*[read(path) for path in args.input]), results)
    arrays = [np.asarray(r) for r in results]
    if args.output and len(args.output) != len(arrays):
        raise ValueError(f"run: expected {len(arrays)} times --output, a file for each result, got {len(args.output)}")
    for i, array in enumerate(arrays):
        if args.output:
            write(args.output[i], array)
        else:
            print(f"result {i}: {array.dtype.name} {list(array.shape)}")
            print(np.array2string(array, threshold=20, precision=6))
    return 0


def read(path: str) -> Any:
    """An array from a .npy file; objects in it are refused."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        array = None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"run: {path} is not a .npy file of numbers")
    return array


def write(path: str, array: Any) -> None:
    """The array as a .npy file, whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)
