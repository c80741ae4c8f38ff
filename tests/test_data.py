"""pullback.utils.data: datasets, samplers and collation."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, namedtuple
from typing import Any

import numpy as np
import pytest

import pullback
from pullback.utils.data import (
    BatchSampler,
    ConcatDataset,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    get_worker_info,
    random_split,
)


def seeded(seed: int = 0) -> pullback.Generator:
    return pullback.Generator().manual_seed(seed)


class Squares(Dataset[int]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.n:
            raise IndexError(index)
        return index * index


class Count(IterableDataset[int]):
    """0 ... n - 1, each worker its share."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Any:
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, self.n, step))


def pairs(n: int = 10) -> TensorDataset:
    x = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    return TensorDataset(pullback.from_numpy(x), pullback.from_numpy(np.arange(n)))


# --- datasets -----------------------------------------------------------------------------------


def test_tensor_dataset() -> None:
    dataset = pairs()
    assert len(dataset) == 10
    x, y = dataset[4]
    assert x.tolist() == [12, 13, 14] and y.item() == 4
    x, y = dataset[2:4]
    assert x.shape == (2, 3) and y.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TensorDataset(), ValueError, "at least one tensor"),
        (lambda: TensorDataset(pullback.zeros(2), pullback.zeros(3)), ValueError, r"\[2, 3\]"),
        (lambda: TensorDataset(np.zeros(2)), TypeError, r"tensors\[0\] must be a Tensor, got ndarray"),
        (lambda: TensorDataset(pullback.tensor(1.0)), ValueError, "no dimension to index"),
        (lambda: ConcatDataset([]), ValueError, "at least one dataset"),
        (lambda: ConcatDataset([Count(3)]), TypeError, "IterableDataset"),
        (lambda: Squares(3) + Count(3), TypeError, r"datasets\[1\] is an IterableDataset"),
        (lambda: Dataset()[0], NotImplementedError, "__getitem__"),
        (lambda: iter(IterableDataset()), NotImplementedError, "__iter__"),
    ],
)
def test_datasets_refuse(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_concat_dataset() -> None:
    dataset = Squares(2) + Squares(0) + Squares(3)
    assert len(dataset) == 5
    assert [dataset[i] for i in range(5)] == [0, 1, 0, 1, 4]
    assert [dataset[i] for i in range(-5, 0)] == [0, 1, 0, 1, 4]
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 5"):
            dataset[index]


def test_subset_of_subset() -> None:
    subset = Subset(Subset(Squares(10), [9, 7, 5, 3]), [0, 2])
    assert len(subset) == 2 and [subset[0], subset[1]] == [81, 25]
    assert subset.__getitems__([1, 0]) == [25, 81]
    x, y = Subset(pairs(), [4, 5, 6])[[2, 0]]
    assert y.tolist() == [6, 4] and x.shape == (2, 3)
    with pytest.raises(IndexError):
        subset[2]


# --- random_split -------------------------------------------------------------------------------


def members(subsets: list[Subset[Any]]) -> list[list[int]]:
    return [list(subset.indices) for subset in subsets]


@pytest.mark.parametrize(
    ("n", "lengths", "sizes"),
    [
        (10, [7, 3], [7, 3]),
        (10, [10, 0], [10, 0]),
        (10, [0.7, 0.3], [7, 3]),
        (11, [0.5, 0.5], [6, 5]),
        (10, [1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
        (7, [0.1] * 10, [1] * 7 + [0] * 3),
        (5, [0.1, 0.2, 0.7], [1, 1, 3]),
        (0, [0.5, 0.5], [0, 0]),
    ],
)
def test_random_split_sizes(n: int, lengths: list[float], sizes: list[int]) -> None:
    parts = members(random_split(Squares(n), lengths, seeded()))
    assert [len(part) for part in parts] == sizes
    assert sorted(sum(parts, [])) == list(range(n))


def test_random_split_is_seeded() -> None:
    one, two, other = (members(random_split(Squares(100), [50, 50], seeded(s))) for s in (1, 1, 2))
    assert one == two != other
    pullback.manual_seed(3)
    first = members(random_split(Squares(100), [50, 50]))
    pullback.manual_seed(3)
    assert members(random_split(Squares(100), [50, 50])) == first
    assert members(random_split(Squares(100), [50, 50])) != first


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([7, 4], "lengths sum to 11, the dataset has 10 samples"),
        ([], "lengths sum to 0"),
        ([0.5, 0.4], "fractions that sum to 1"),
        ([1.5, -0.5], r"fraction 0 must be in \[0, 1\], got 1.5"),
        ([12, -2], "must be sizes"),
    ],
)
def test_random_split_refuses(lengths: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_split(Squares(10), lengths)


# --- samplers -----------------------------------------------------------------------------------


def test_sequential_sampler() -> None:
    sampler = SequentialSampler(Squares(4))
    assert list(sampler) == [0, 1, 2, 3] and len(sampler) == 4


def test_random_sampler_permutes_anew() -> None:
    sampler = RandomSampler(Squares(50), generator=seeded())
    first, second = list(sampler), list(sampler)
    assert len(sampler) == 50 and sorted(first) == sorted(second) == list(range(50)) and first != second
    assert list(RandomSampler(Squares(50), generator=seeded())) == first
    assert all(type(index) is int for index in first)


def test_random_sampler_num_samples() -> None:
    assert len(list(RandomSampler(Squares(10), num_samples=4))) == 4
    many = list(RandomSampler(Squares(10), num_samples=25))
    assert len(many) == 25 and sorted(many[:10]) == sorted(many[10:20]) == list(range(10))
    drawn = list(RandomSampler(Squares(10), replacement=True, num_samples=200, generator=seeded()))
    assert len(drawn) == 200 and set(drawn) == set(range(10))


def test_subset_random_sampler() -> None:
    sampler = SubsetRandomSampler([3, 1, 4, 15, 9], seeded())
    assert len(sampler) == 5 and sorted(sampler) == [1, 3, 4, 9, 15]


def test_weighted_sampler_with_replacement() -> None:
    weights, n = [0.0, 1.0, 3.0, 0.0], 4000
    counts = Counter(WeightedRandomSampler(weights, n, generator=seeded()))
    assert set(counts) == {1, 2} and counts.total() == n
    # a binomial(n, 3/4): five standard deviations
    assert abs(counts[2] - 0.75 * n) < 5 * (n * 0.75 * 0.25) ** 0.5


def test_weighted_sampler_without_replacement() -> None:
    weights = [0.0, 1.0, 2.0, 4.0]
    firsts = Counter[int]()
    generator = seeded()
    for _ in range(700):
        drawn = list(WeightedRandomSampler(weights, 3, replacement=False, generator=generator))
        assert sorted(drawn) == [1, 2, 3]
        firsts[drawn[0]] += 1
    for index in (1, 2, 3):
        p = weights[index] / 7
        assert abs(firsts[index] - 700 * p) < 5 * (700 * p * (1 - p)) ** 0.5


def test_batch_sampler() -> None:
    assert list(BatchSampler(range(5), 2, drop_last=False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    for n in range(6):
        for drop_last in (False, True):
            sampler = BatchSampler(SequentialSampler(Squares(n)), 2, drop_last)
            assert len(sampler) == len(list(sampler))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandomSampler(Squares(0)), ValueError, "num_samples must be a positive integer, got 0"),
        (lambda: RandomSampler(Squares(3), num_samples=0), ValueError, "num_samples"),
        (lambda: RandomSampler(Squares(3), num_samples=2.5), TypeError, "num_samples"),
        (lambda: RandomSampler(Squares(3), replacement=1), TypeError, "replacement"),
        (
            lambda: BatchSampler(range(3), 0, False),
            ValueError,
            "batch_size must be a positive integer, got 0",
        ),
        (lambda: BatchSampler(range(3), True, False), TypeError, "batch_size"),
        (lambda: BatchSampler(range(3), 2, 1), TypeError, "drop_last"),
        (lambda: WeightedRandomSampler([1, -1], 1), ValueError, "not negative"),
        (lambda: WeightedRandomSampler([1, 1], 1, replacement="no"), TypeError, "replacement"),
        (lambda: WeightedRandomSampler([1, float("nan")], 1), ValueError, "finite"),
        (lambda: WeightedRandomSampler([0, 0], 1), ValueError, "not all zero"),
        (lambda: WeightedRandomSampler([[1]], 1), ValueError, r"one dimension, got shape \[1, 1\]"),
        (lambda: WeightedRandomSampler([1, 0], 2, replacement=False), ValueError, "exceeds the 1 positive"),
        (lambda: iter(Sampler()), NotImplementedError, "__iter__"),
    ],
)
def test_samplers_refuse(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# --- collation ----------------------------------------------------------------------------------

Point = namedtuple("Point", ["x", "y"])


def test_collate_numbers() -> None:
    for batch, dtype in [([1, 2], "int64"), ([1.5, 2.0], "float64"), ([True, False], "bool")]:
        made = default_collate(batch)
        assert made.tolist() == batch and made.dtype.name == dtype
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([np.float32(1), np.float32(2)]).dtype.name == "float32"


def test_collate_arrays_and_tensors() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for batch in (list(x), [pullback.from_numpy(row) for row in x]):
        made = default_collate(batch)
        assert isinstance(made, pullback.Tensor) and made.tolist() == x.tolist()
        assert made.dtype.name == "float32"
    assert default_collate([pullback.tensor(1), pullback.tensor(2)]).shape == (2,)


def test_collate_nested() -> None:
    sample = {"a": (1, [2.0, "s"]), "b": Point(np.zeros(2), 4)}
    made = default_collate([sample, sample, sample])
    assert list(made) == ["a", "b"]
    assert made["a"][0].tolist() == [1, 1, 1] and isinstance(made["a"], list)
    assert made["a"][1][0].tolist() == [2.0] * 3 and made["a"][1][1] == ["s"] * 3
    assert isinstance(made["b"], Point) and made["b"].x.shape == (3, 2) and made["b"].y.tolist() == [4] * 3
    assert isinstance(default_collate([OrderedDict(a=1)]), OrderedDict)


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([], ValueError, "empty"),
        ([object()], TypeError, "got object"),
        ([None, None], TypeError, "got NoneType"),
        ([np.array(["a"])], TypeError, "dtype <U1"),
        ([np.zeros(2), np.zeros(3)], ValueError, r"sample 1 has shape \[3\], sample 0 has \[2\]"),
        ([pullback.zeros(2), pullback.zeros(2), pullback.zeros(3)], ValueError, r"sample 2 has shape \[3\]"),
        ([(1, 2), (1,)], ValueError, "sample 1 has length 1"),
        ([{"a": 1}, {"b": 1}], ValueError, "sample 1 has keys"),
    ],
)
def test_collate_refuses(batch: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        default_collate(batch)


def test_convert() -> None:
    made = default_convert({"a": np.zeros(2), "b": (np.float32(1), "s"), "c": Point(1, None)})
    assert made["a"].shape == (2,) and made["b"][0].item() == 1 and made["b"][1] == "s"
    assert made["c"] == Point(1, None)
    assert default_convert((np.zeros(1), "s"))[1] == "s" and default_convert(range(2)) == [0, 1]


def test_containers_that_cannot_be_rebuilt_become_plain() -> None:
    made = default_collate([defaultdict(list, a=1), defaultdict(list, a=2)])
    assert type(made) is dict and made["a"].tolist() == [1, 2]
    made = default_collate([range(2), range(2)])
    assert type(made) is list and [column.tolist() for column in made] == [[0, 0], [1, 1]]
