"""Random tensors against Philox 4x32-10 written in NumPy: which number an element gets is part of the contract.

A generator is seeded by a kernel inside each case, so that a replay starts from the same place.
"""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import VECTOR_SIZES, Case

SEED = 0x1234_5678_9ABC
SHAPES = (*VECTOR_SIZES, (), (3, 5), (2, 0, 3), (63,), (64,), (65,), (511,), (513,), (37, 41), (1, 2049))


def generator(like):
    return pb.Generator(like.device).manual_seed(SEED)


def philox(blocks, seed=SEED, first=0):
    """Words [blocks, 4] of consecutive counters (Salmon et al. 2011, section 4.3)."""
    n = np.arange(first, first + blocks, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c = [n & low, n >> np.uint64(32), np.zeros_like(n), np.zeros_like(n)]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        m0, m1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        hi0, hi1 = m0 >> np.uint64(32), m1 >> np.uint64(32)
        c = [hi1 ^ c[1] ^ np.uint64(k[0]), m1 & low, hi0 ^ c[3] ^ np.uint64(k[1]), m0 & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, 1)


def words(count):
    """The words of `count` elements that take one each: tiles of 16 blocks, word w of block b at 16w + b."""
    tiles = -(-count // 64)
    return philox(16 * tiles).reshape(tiles, 16, 4).transpose(0, 2, 1).reshape(-1)[:count]


def pairs(count):
    """64 bits for each of `count` elements: words 16 apart, the low one first."""
    tiles = -(-count // 32)
    w = words(64 * tiles).reshape(tiles, 2, 2, 16)
    return (w[:, :, 0] | w[:, :, 1] << np.uint64(32)).reshape(-1)[:count]


def below(n, count):
    """⌊n k 2⁻⁶⁴⌋"""
    return np.array([n * int(k) >> 64 for k in pairs(count)], dtype=np.int64)


# Permutations that a block of a GPU can't sort alone; for which buckets of a CPU are cut into buckets.
LONG = ((5000,), (200_000,))

DIGITS = {"float32": 24, "float16": 11, "bfloat16": 8}  # of the numbers below 1 that take one word


def unit(count, dtype):
    if dtype in DIGITS:
        return (words(count) >> np.uint64(32 - DIGITS[dtype])) * 2.0 ** -DIGITS[dtype]
    return (pairs(count) >> np.uint64(11)) * 2.0**-53


def positive(k, dtype):
    """u in (0, 1], with the one rounding that the kernel makes."""
    if dtype in DIGITS:
        u = (k >> np.uint64(1)).astype(np.float32) * np.float32(2**-31) + np.float32(2**-32)
        return u.astype(np.float64)
    return (k >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54


def _numbers(count, dtype):
    """Whole tiles of them."""
    tile = 64 if dtype in DIGITS else 32
    whole = -(-count // tile) * tile
    return words(whole) if dtype in DIGITS else pairs(whole)


def box_muller(count, dtype):
    """z and its radius."""
    bits = 32 if dtype in DIGITS else 64
    k = _numbers(count, dtype).reshape(-1, 2, 16)
    radius = np.sqrt(-2 * np.log(positive(k[:, 0], dtype)))
    angle = 2 * np.pi * (k[:, 1] / 2.0**bits - 0.125)
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:count]
    return z, np.stack([radius, radius], 1).reshape(-1)[:count]


def _of_shape(rng, shape):
    return [np.zeros(shape)]


def _drawn(name, dtype, run, value, scale=None, **options):
    """An op that looks at nothing but the shape and dtype of its input."""
    return Case(
        name=f"{name}[{dtype}]",
        run=run,
        inputs=_of_shape,
        value=lambda x: value(x.size).reshape(x.shape),
        scale=None if scale is None else lambda x: scale(x.size).reshape(x.shape),
        shapes=SHAPES,
        layouts=("contiguous",),
        dtypes=(dtype,),
        **options,
    )


def _floats(dtype):
    return [
        _drawn(
            "rand",
            dtype,
            lambda x: pb.rand_like(x, generator=generator(x)),
            lambda n: unit(n, dtype),
            torch="torch.rand_like(a)",
        ),
        _drawn(
            "uniform_",
            dtype,
            lambda x: x.uniform_(-3, 5, generator=generator(x)),
            lambda n: -3 + 8 * unit(n, dtype),
            lambda n: np.full(n, 8.0),
            torch="a.uniform_(-3, 5)",
        ),
        _drawn(
            "randn",
            dtype,
            lambda x: pb.randn_like(x, generator=generator(x)),
            lambda n: box_muller(n, dtype)[0],
            lambda n: box_muller(n, dtype)[1],
            torch="torch.randn_like(a)",
        ),
        _drawn(
            "normal_",
            dtype,
            lambda x: x.normal_(2, 3, generator=generator(x)),
            lambda n: 2 + 3 * box_muller(n, dtype)[0],
            lambda n: 2 + 3 * box_muller(n, dtype)[1],
            torch="a.normal_(2, 3)",
        ),
        _drawn(
            "exponential_",
            dtype,
            lambda x: x.exponential_(0.5, generator=generator(x)),
            lambda n: -2 * np.log(positive(_numbers(n, dtype)[:n], dtype)),
            torch="a.exponential_(0.5)",
        ),
        _drawn(
            "random_",
            dtype,
            lambda x: x.random_(generator=generator(x)),
            lambda n: below(2 ** DIGITS.get(dtype, 53), n).astype(float),
            torch="a.random_()",
        ),
    ]


def _bits(x):
    state = generator(x).state
    out = x.device.empty(x._array.shape, np.dtype(np.int32))
    x.device.kernels.random_bits(state, out)
    return pb.Tensor._wrap(out)


def _shuffled(n):
    high, low = words(2 * (-(-n // 64) * 64)).astype(np.uint64).reshape(2, -1)[:, :n]
    return np.argsort((high << np.uint64(32) | low).view(np.int64), kind="stable")


def _drawn_rows(w, count, replacement):
    n = w.shape[1]
    u = ((pairs(w.shape[0] * (count if replacement else n)) >> np.uint64(11)) + 0.5) * 2.0**-53
    if not replacement:
        with np.errstate(divide="ignore"):
            keys = -np.log(u.reshape(w.shape)) / w
        return np.argsort(keys, 1, kind="stable")[:, :count]
    sums = np.cumsum(w, 1)
    targets = u.reshape(-1, count) * sums[:, -1:]
    return np.stack([np.searchsorted(s, t, side="right") for s, t in zip(sums, targets)])


def _weights(rng, shape):
    w = rng.random(shape)
    w[:, 1::5] = 0
    return [w]


def _kept(x, p):
    return (words(x.size) >= np.uint64(p * 2**32)).reshape(x.shape)


CASES = [
    *_floats("float32"),
    *_floats("float64"),
    *_floats("float16"),
    *_floats("bfloat16"),
    _drawn("random_bits", "float32", _bits, lambda n: words(n).astype(np.uint32).view(np.int32)),
    *[
        _drawn(
            f"randint[{dtype}]",
            "float32",
            lambda x, dtype=dtype: pb.randint_like(x, -100, 28, dtype=getattr(pb, dtype), generator=generator(x)),
            lambda n: below(128, n) - 100,
            torch=f"torch.randint(-100, 28, a.shape, dtype=torch.{dtype})",
        )
        for dtype in ("int64", "int32", "int16", "int8")
    ],
    *[
        _drawn(
            f"randint[{dtype}, 0 1]",
            "float32",
            lambda x, dtype=dtype: pb.randint_like(x, 2, dtype=getattr(pb, dtype), generator=generator(x)),
            lambda n: below(2, n),
        )
        for dtype in ("uint8", "bool", "float64")
    ],
    *[
        Case(
            name=f"randperm[{dtype}]",
            run=lambda x, dtype=dtype: pb.randperm(
                x.numel(), dtype=getattr(pb, dtype), generator=generator(x), device=x.device
            ),
            inputs=_of_shape,
            value=lambda x: _shuffled(x.size),
            shapes=((0,), (1,), (2,), (7,), (64,), (65,), (1000,), *(LONG if dtype == "int64" else ())),
            layouts=("contiguous",),
            dtypes=("float32",),
            torch="torch.randperm(a.numel())",
        )
        for dtype in ("int64", "int32", "float32", "float64", "float16", "bfloat16")
    ],
    Case(
        name="bernoulli",
        run=lambda p: pb.bernoulli(p, generator=generator(p)),
        inputs=lambda rng, shape: [rng.random(shape)],
        value=lambda p: (words(p.size).reshape(p.shape) < p * 2.0**32).astype(float),
        shapes=SHAPES,
        torch="torch.bernoulli(a)",
    ),
    *[
        Case(
            name=f"multinomial[{'with' if replacement else 'without'} replacement]",
            run=lambda w, replacement=replacement: pb.multinomial(w, 3, replacement, generator=generator(w)),
            inputs=_weights,
            value=lambda w, replacement=replacement: _drawn_rows(w, 3, replacement),
            shapes=((1, 4), (5, 7), (40, 65)),
            torch=f"torch.multinomial(a, 3, {replacement})",
        )
        for replacement in (False, True)
    ],
    *[
        Case(
            name=f"dropout[{p}]",
            run=lambda x, p=p: pb.dropout(x, p, generator=generator(x)),
            inputs=lambda rng, shape: [rng.standard_normal(shape)],
            value=lambda x, p=p: np.where(_kept(x, p), x / (1 - p), 0),
            vjp=lambda dy, x, p=p: (np.where(_kept(x, p), dy / (1 - p), 0),),
            shapes=SHAPES,
            torch=f"torch.nn.functional.dropout(a, {p})",
        )
        for p in (0.1, 0.75)
    ],
]
