"""Damages a plan's file in many ways: each damaged file runs or is refused. `python plan_mutations.py FILE SEED COUNT`"""

from __future__ import annotations

import copy
import json
import os
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

import pullback as pb

LIMIT = 1 << 26
NUMBERS = [0, 1, -1, 2, 7, 64, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**63), 2**64, 1.5, None, True, "x", [], {}]
REFUSED = (ValueError, TypeError, OSError)
FAILED = (ValueError, TypeError, IndexError, ZeroDivisionError)


def parts(path):
    """The header of a safetensors file and the bytes behind it."""
    raw = Path(path).read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:end]), raw[end:]


def assembled(header, data):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def places(node, found):
    """Every (container, key) of a tree."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        found.append((node, key))
        if isinstance(value, (dict, list)):
            places(value, found)
    return found


def mutate(plan, rng):
    """One or two changes to the description."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        found = places(plan, [])
        numbers = [(c, k) for c, k in found if type(c[k]) is int]
        container, key = rng.choice(numbers if rng.random() < 0.7 else found)
        value, kind = container[key], rng.random()
        if isinstance(value, (int, float)) and kind < 0.9:
            near = [value + 1, value - 1, value * 2, -value]
            container[key] = rng.choice(NUMBERS + 3 * near)
        elif isinstance(value, str) and kind < 0.7:
            strings = [c[k] for c, k in found if isinstance(c[k], str)]
            container[key] = rng.choice([*strings, "", "int64", "bool", "float64", "permutation", "cat", "matmul"])
        elif kind < 0.5 and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif kind < 0.75:
            del container[key]
        else:
            container[key] = copy.deepcopy(rng.choice(found)[0])
    return plan


def damaged(header, data, raw, rng):
    if rng.random() < 0.2:
        changed = bytearray(raw)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed[: rng.choice((len(changed), len(changed), rng.randrange(len(changed))))])
    changed = copy.deepcopy(header)
    plan = json.loads(header["__metadata__"]["plan"])
    changed["__metadata__"]["plan"] = json.dumps(mutate(plan, rng))
    return assembled(changed, data)


def attempt(path, rng):
    """What became of a file; its function takes arrays only."""
    try:
        plan = pb.load_plan(path, max_bytes=LIMIT)
    except REFUSED:
        return "refused"
    args = [np.full(shape, rng.randint(-2, 3), dtype) for dtype, shape in plan.arguments]
    try:
        plan(*args)
    except FAILED:
        return "failed"
    return "ran"


def main(path, seed, count):
    rng = random.Random(seed)
    header, data = parts(path)
    raw = Path(path).read_bytes()
    seen = {"refused": 0, "failed": 0, "ran": 0}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "plan.safetensors")
        for _ in range(count):
            content = damaged(header, data, raw, rng)
            if os.environ.get("PLAN_KEEP"):
                Path(os.environ["PLAN_KEEP"]).write_bytes(content)
            target.write_bytes(content)
            seen[attempt(target, rng)] += 1
    print(json.dumps({**seen, "peak": pb.memory.stats()["peak"]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
