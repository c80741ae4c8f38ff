"""Random numbers: the published vectors, the distributions, generators, and what is the same everywhere."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import pullback as pb
from harness import instruction_set, threads
from pullback import _cpu
from pullback._backend import cpu

N = 400_000


def bits(count: int, seed: int = 0, offset: int = 0) -> np.ndarray:
    out = cpu.empty((count,), np.dtype(np.int32))
    cpu.kernels.random_bits(np.array([seed, offset]), out)
    return out.view(np.uint32)


def test_published_vector() -> None:
    """kat_vectors of Random123: philox4x32-10 of counter 0 and key 0. Words of a block lie 16 apart."""
    assert [hex(v) for v in bits(64)[::16]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def test_the_counter_and_the_key_are_64_bits_wide() -> None:
    assert (bits(64, offset=2**32)[1::16] == bits(64, offset=2**32 + 1)[::16]).all()
    assert (bits(64, offset=2**32) != bits(64)).all()
    assert (bits(64, seed=2**32) != bits(64)).all()
    assert (bits(64, seed=-1) != bits(64, seed=2**32 - 1)).all()


def test_a_call_moves_the_stream_on_by_whole_tiles() -> None:
    g = pb.Generator().manual_seed(5)
    pb.rand(65, generator=g)
    assert g.state[1] == 32
    first = pb.rand(64, generator=g)
    pb.rand(0, generator=g)
    assert g.state[1] == 48
    g.manual_seed(5)
    assert not np.isin(first.numpy(), pb.rand(128, generator=g).numpy()).any()
    pb.rand(33, dtype=pb.float64, generator=g)
    assert g.state[1] == 64  # two words an element


DRAWS = {
    "rand": lambda g: pb.rand(100_003, generator=g),
    "rand64": lambda g: pb.rand(100_003, dtype=pb.float64, generator=g),
    "uniform_": lambda g: pb.empty(317, 211).t().uniform_(-1, 7, generator=g),
    "randint": lambda g: pb.randint(-5, 1000, (100_003,), generator=g),
    "randperm": lambda g: pb.randperm(50_021, generator=g),
    "bernoulli": lambda g: pb.bernoulli(pb.full((100_003,), 0.3), generator=g),
    "multinomial": lambda g: pb.multinomial(pb.arange(1, 101.0).expand(300, 100), 20, generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_same_bits_on_every_instruction_set_and_number_of_threads(name: str) -> None:
    results = set()
    for isa in _cpu.isas():
        for n in (1, 3):
            with instruction_set(isa), threads(n):
                results.add(DRAWS[name](pb.Generator().manual_seed(11)).numpy().tobytes())
    assert len(results) == 1


def test_normal_numbers_agree_on_every_instruction_set() -> None:
    """Up to the rounding of logarithm and cosine."""
    drawn = []
    for isa in _cpu.isas():
        with instruction_set(isa):
            drawn.append(pb.randn(100_003, generator=pb.Generator().manual_seed(11)).numpy())
    for other in drawn[1:]:
        np.testing.assert_allclose(other, drawn[0], rtol=0, atol=4 * np.finfo(np.float32).eps * 6)


# --- distributions: bounds at five standard deviations of the statistic, for a fixed seed ------------------------------


def moments(x: np.ndarray) -> list[float]:
    x = x.astype(np.float64)
    return [float((x**k).mean()) for k in (1, 2, 3, 4)]


@pytest.mark.parametrize("dtype", [pb.float32, pb.float64])
def test_normal_moments(dtype) -> None:
    z = pb.randn(N, dtype=dtype, generator=pb.Generator().manual_seed(1)).numpy()
    for got, want, variance in zip(moments(z), (0, 1, 0, 3), (1, 2, 15, 96), strict=True):
        assert abs(got - want) < 5 * np.sqrt(variance / N)
    for lag in (1, 16, 32, 64):  # neighbours, words of a block, pairs, tiles
        assert abs((z[lag:] * z[:-lag]).mean()) < 5 / np.sqrt(N)
    tail = 2 * 2.8665157187919391e-07  # P(|z| > 5)
    assert (np.abs(z) > 5).sum() <= N * tail + 5 * np.sqrt(N * tail)


@pytest.mark.parametrize("dtype", [pb.float32, pb.float64])
def test_uniform_moments_and_bounds(dtype) -> None:
    u = pb.rand(N, dtype=dtype, generator=pb.Generator().manual_seed(2)).numpy()
    assert u.min() >= 0 and u.max() < 1
    for k, got in enumerate(moments(u), 1):
        assert abs(got - 1 / (k + 1)) < 5 * np.sqrt((1 / (2 * k + 1) - 1 / (k + 1) ** 2) / N)
    chi_square(np.histogram(u, 100, (0, 1))[0], np.full(100, 0.01))
    chi_square(np.histogram(u * 1024 % 1, 64, (0, 1))[0], np.full(64, 1 / 64))  # the lower bits


def chi_square(counts: np.ndarray, p: np.ndarray) -> None:
    """Σ (n_i − N p_i)² / N p_i is within five standard deviations of its mean, the degrees of freedom."""
    expected = counts.sum() * p
    statistic = ((counts - expected) ** 2 / expected).sum()
    freedom = len(p) - 1
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


def test_a_narrow_interval_excludes_its_end() -> None:
    y = pb.empty(N).uniform_(1, 1 + 2**-22, generator=pb.Generator().manual_seed(3)).numpy()
    assert y.min() >= 1 and y.max() < 1 + 2**-22
    assert (pb.empty(5).uniform_(2, 2) == 2).all()


@pytest.mark.parametrize(("dtype", "bits"), [(pb.float16, 11), (pb.bfloat16, 8)], ids=["float16", "bfloat16"])
def test_uniform_numbers_of_halves(dtype, bits: int) -> None:
    """Those of float32 with fewer bits, so that none is rounded up to 1; all that there are come, each as often."""
    u = pb.rand(N, dtype=dtype, generator=pb.Generator().manual_seed(2)).float().numpy()
    wide = pb.rand(N, generator=pb.Generator().manual_seed(2)).numpy()
    np.testing.assert_array_equal(u, np.floor(wide * 2**bits) / 2**bits)
    chi_square(np.unique(u, return_counts=True)[1], np.full(2**bits, 2.0**-bits))
    y = pb.empty(N, dtype=dtype).uniform_(1, 1.0625, generator=pb.Generator().manual_seed(3)).float().numpy()
    assert y.min() == 1 and y.max() < 1.0625


@pytest.mark.parametrize(("dtype", "most"), [(pb.float16, 2**11), (pb.bfloat16, 2**8)], ids=["float16", "bfloat16"])
def test_random_covers_the_integers_of_halves(dtype, most: int) -> None:
    y = pb.empty(N, dtype=dtype).random_().float()
    assert (y == y.trunc()).all() and y.max() == most - 1


def test_exponential() -> None:
    y = pb.empty(N).exponential_(2, generator=pb.Generator().manual_seed(4)).numpy()
    assert y.min() >= 0 and abs(y.mean() - 0.5) < 5 * 0.5 / np.sqrt(N)
    edges = -np.log1p(-np.arange(20) / 20) / 2
    chi_square(np.histogram(y, [*edges, np.inf])[0], np.full(20, 0.05))


def test_log_normal() -> None:
    z = pb.empty(N, dtype=pb.float64).log_normal_(0.5, 2, generator=pb.Generator().manual_seed(4)).log().numpy()
    assert abs(z.mean() - 0.5) < 5 * 2 / np.sqrt(N) and abs(z.std() - 2) < 5 * 2 / np.sqrt(2 * N)


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_integers(n: int) -> None:
    y = pb.randint(n, (N,), generator=pb.Generator().manual_seed(5)).numpy()
    chi_square(np.bincount(y, minlength=n), np.full(n, 1 / n))


def test_integers_of_all_64_bits() -> None:
    y = pb.randint(-(2**63), 2**63 - 1, (N,), generator=pb.Generator().manual_seed(6)).numpy()
    chi_square(np.bincount((y >> 60) + 8, minlength=16), np.full(16, 1 / 16))


def test_random_covers_what_the_dtype_holds() -> None:
    assert pb.empty(N, dtype=pb.uint8).random_().max() == 255
    assert pb.empty(N, dtype=pb.bool).random_().float().mean().item() == pytest.approx(0.5, abs=0.01)
    y = pb.empty(N).random_()
    assert (y == y.trunc()).all() and 2**23 < y.max() <= 2**24
    y = pb.empty(100).random_(3, 5)
    assert set(y.tolist()) == {3.0, 4.0}
    assert set(pb.empty(100).random_(2).tolist()) == {0.0, 1.0}


def test_permutations() -> None:
    """Each of the 24 orders of four elements is as probable."""
    g = pb.Generator().manual_seed(7)
    orders = np.stack([pb.randperm(4, generator=g).numpy() for _ in range(12_000)])
    chi_square(np.unique(orders @ [64, 16, 4, 1], return_counts=True)[1], np.full(24, 1 / 24))
    assert sorted(pb.randperm(1000).tolist()) == list(range(1000))
    assert pb.randperm(0).shape == (0,)


def test_permutations_are_in_the_order_of_whole_keys() -> None:
    """Also where the halves of keys agree that are compared first, and the other ones alone decide."""
    high, low = bits(2 * N, seed=14).reshape(2, N).astype(np.uint64)
    order = np.argsort((high << np.uint64(32) | low).view(np.int64), kind="stable")
    np.testing.assert_array_equal(pb.randperm(N, generator=pb.Generator().manual_seed(14)).numpy(), order)
    decided = (high[order][1:] == high[order][:-1]) & (order[1:] < order[:-1])
    assert decided.sum() > 3  # half of N² 2⁻³³ = 18.6 pairs


def test_multinomial() -> None:
    w = np.array([1.0, 0.0, 2.0, 3.0, 4.0])
    p = w / w.sum()
    g = pb.Generator().manual_seed(8)
    y = pb.multinomial(pb.tensor(w), N, True, generator=g).numpy()
    assert (y != 1).all()
    chi_square(np.bincount(y)[[0, 2, 3, 4]], p[[0, 2, 3, 4]])
    rows = pb.multinomial(pb.tensor(np.tile(w, (20_000, 1))), 2, generator=g).numpy()
    assert (rows[:, 0] != rows[:, 1]).all()
    first = np.bincount(rows[:, 0], minlength=5)
    chi_square(first[[0, 2, 3, 4]], p[[0, 2, 3, 4]])
    second = np.array([sum(p[i] * p[j] / (1 - p[i]) for i in range(5) if i != j) for j in range(5)])
    chi_square(np.bincount(rows[:, 1], minlength=5)[[0, 2, 3, 4]], second[[0, 2, 3, 4]])


def test_bernoulli_and_its_ends() -> None:
    g = pb.Generator().manual_seed(9)
    assert (pb.bernoulli(pb.zeros(N), generator=g) == 0).all()
    assert (pb.bernoulli(pb.ones(N), generator=g) == 1).all()
    assert pb.empty(N).bernoulli_(0.2, generator=g).mean().item() == pytest.approx(0.2, abs=5 * 0.4 / N**0.5)
    y = pb.empty(3, N, dtype=pb.bool).bernoulli_(pb.tensor([[0.0], [0.5], [1.0]]), generator=g).float().mean(1)
    np.testing.assert_allclose(y.numpy(), [0, 0.5, 1], atol=5 * 0.5 / N**0.5)


# --- dropout ----------------------------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_its_gradient_has_the_mask() -> None:
    x = pb.ones(N, requires_grad=True)
    y = pb.dropout(x, 0.3, generator=pb.Generator().manual_seed(10))
    y.sum().backward()
    assert set(np.unique(y.detach().numpy())) == {np.float32(0), np.float32(1 / 0.7)}
    assert y.mean().item() == pytest.approx(1, abs=5 * (0.3 / 0.7) ** 0.5 / N**0.5)
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_at_its_ends() -> None:
    x = pb.randn(1000)
    assert pb.dropout(x, 0.0) is x and pb.dropout(x, 0.9, training=False) is x
    assert (pb.dropout(pb.full((1000,), float("inf")), 1.0) == 0).all()


def test_dropout_in_place() -> None:
    x = pb.ones(1000)
    y = pb.dropout(x, 0.5, inplace=True)
    assert y is x and set(x.tolist()) == {0.0, 2.0}
    leaf = pb.ones(1000, requires_grad=True)
    z = leaf * 3
    pb.dropout(z, 0.5, inplace=True).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), z.detach().numpy())


# --- generators -------------------------------------------------------------------------------------------------------


def test_seeds_start_streams() -> None:
    for seed in (0, 1, -1, 2**63, 2**64 - 1, -(2**63)):
        g = pb.Generator().manual_seed(seed)
        assert g.initial_seed() == seed % 2**64
        first = pb.rand(5, generator=g).tolist()
        assert pb.rand(5, generator=g).tolist() != first
        assert pb.rand(5, generator=g.manual_seed(seed)).tolist() == first
    assert (
        pb.rand(5, generator=pb.Generator().manual_seed(-1)).tolist()
        == pb.rand(5, generator=pb.Generator().manual_seed(2**64 - 1)).tolist()
    )
    assert pb.Generator().seed() != pb.Generator().seed()
    for wrong in (2**64, -(2**63) - 1):
        with pytest.raises(RuntimeError, match="64 bits"):
            pb.manual_seed(wrong)
    with pytest.raises(TypeError, match="seed expects an int"):
        pb.manual_seed(1.5)


def test_states_are_kept_and_restored() -> None:
    g = pb.Generator().manual_seed(3)
    pb.rand(100, generator=g)
    state = g.get_state()
    assert state.dtype is pb.uint8 and state.shape == (16,)
    copies = [copy.deepcopy(g), pickle.loads(pickle.dumps(g))]
    expected = pb.rand(7, generator=g).tolist()
    assert all(pb.rand(7, generator=c).tolist() == expected for c in copies)
    g.set_state(state)
    assert pb.rand(7, generator=g).tolist() == expected
    with pytest.raises(RuntimeError, match="uint8"):
        g.set_state(pb.zeros(16))
    with pytest.raises(TypeError):
        g.set_state(b"0" * 16)


def test_the_default_generator() -> None:
    assert pb.manual_seed(4) is pb.default_generator and pb.initial_seed() == 4
    state = pb.get_rng_state()
    with pb.fork_rng():
        inside = pb.randn(3).tolist()
    assert pb.randn(3).tolist() == inside
    pb.set_rng_state(state)
    assert pb.randn(3).tolist() == inside
    assert pb.seed() == pb.initial_seed()
    pb.manual_seed(0)


def test_threads_share_a_generator_without_repeating_it() -> None:
    g = pb.Generator().manual_seed(12)
    drawn: list[np.ndarray] = []

    def draw() -> None:
        drawn.extend([pb.rand(64, dtype=pb.float64, generator=g).numpy() for _ in range(200)])

    workers = [threading.Thread(target=draw) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert len(np.unique(np.concatenate(drawn))) == 4 * 200 * 64
    assert g.state[1] == 4 * 200 * 32


def test_what_is_drawn_in_place_is_a_constant_of_the_tape() -> None:
    x = pb.ones(3, requires_grad=True)
    y = x * 2
    y.normal_()
    (y * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    with pytest.raises(RuntimeError, match="leaf"):
        x.uniform_()
    with pb.no_grad():
        x.uniform_()
    with pytest.raises(RuntimeError, match="share memory"):
        pb.zeros(1).expand(3).normal_()


def test_normal_of_tensors() -> None:
    mean = pb.arange(4.0).reshape(4, 1).expand(4, N // 4)
    y = pb.normal(mean, pb.tensor(0.5), generator=pb.Generator().manual_seed(13))
    np.testing.assert_allclose(y.mean(1).numpy(), np.arange(4), atol=5 * 0.5 / (N / 4) ** 0.5)
    assert pb.normal(1.0, 2.0, (3, 4)).shape == (3, 4)
    assert pb.normal(0.0, pb.ones(5)).shape == (5,)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: pb.rand(-1), RuntimeError, "rand: size expects"),
        (lambda: pb.rand(2, dtype=pb.int64), RuntimeError, "floating-point"),
        (lambda: pb.rand(2, generator=7), TypeError, "generator expects a Generator"),
        (lambda: pb.randint(5, 5, (2,)), RuntimeError, "low expects less than high"),
        (lambda: pb.randint(0, 300, (2,), dtype=pb.uint8), RuntimeError, "numbers that pullback.uint8 holds"),
        (lambda: pb.randint(5), TypeError, "size is missing"),
        (lambda: pb.randperm(1000, dtype=pb.int8), RuntimeError, "holds"),
        (lambda: pb.bernoulli(pb.tensor([0.5, 1.5])), ValueError, "bernoulli"),
        (lambda: pb.bernoulli(pb.tensor([float("nan")])), ValueError, "bernoulli"),
        (lambda: pb.multinomial(pb.tensor([0.0, 1.0]), 2), ValueError, "multinomial"),
        (lambda: pb.multinomial(pb.tensor([1.0, -1.0]), 1), ValueError, "multinomial"),
        (lambda: pb.multinomial(pb.tensor([1.0, 1.0]), 3), RuntimeError, "num_samples expects"),
        (lambda: pb.multinomial(pb.ones(2, 2, 2), 1), RuntimeError, "input expects shape"),
        (lambda: pb.dropout(pb.ones(2), -0.1), ValueError, "p expects a probability"),
        (lambda: pb.dropout(pb.ones(2, dtype=pb.int64)), RuntimeError, "floating-point"),
        (lambda: pb.empty(2).normal_(0, -1), RuntimeError, "std expects"),
        (lambda: pb.empty(2).uniform_(1, 0), RuntimeError, "from expects"),
        (lambda: pb.empty(2).exponential_(0), RuntimeError, "lambd expects"),
        (lambda: pb.normal(0.0, 1.0), RuntimeError, "size is needed"),
    ],
)
def test_errors(call, kind, message) -> None:
    with pytest.raises(kind, match=message):
        call()
