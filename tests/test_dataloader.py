"""pullback.utils.data.DataLoader, with and without workers."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from typing import Any

import numpy as np
import pytest

import pullback
from pullback.utils.data import (
    DataLoader,
    IterableDataset,
    Subset,
    TensorDataset,
    get_worker_info,
)
from test_data import Count, Squares, pairs, seeded

WORKERS = [0, 1, 3]


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pullback-loader")]


@pytest.mark.parametrize("num_workers", WORKERS)
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [1, 4, 9, 10])
def test_loader_keeps_order(num_workers: int, drop_last: bool, n: int) -> None:
    loader = DataLoader(Squares(n), 3, num_workers=num_workers, drop_last=drop_last)
    batches = [batch.tolist() for batch in loader]
    squares = [i * i for i in range(n)]
    expected = [squares[i : i + 3] for i in range(0, n, 3)]
    if drop_last:
        expected = [batch for batch in expected if len(batch) == 3]
    assert batches == expected and len(loader) == len(batches)
    assert not loader_threads()


def test_order_does_not_depend_on_speed() -> None:
    class Uneven(Squares):
        def __getitem__(self, index: int) -> int:
            time.sleep(0.02 if index % 4 == 0 else 0)
            return index

    assert [int(batch.item()) for batch in DataLoader(Uneven(16), 1, num_workers=3)] == list(range(16))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda d: d,
        lambda d: Subset(d, [7, 1, 9, 4, 0]),
        lambda d: Subset(d, [7, -1, -10]),
        lambda d: Subset(Subset(d, range(10)), [5, 5]),
    ],
)
def test_whole_batches_equal_stacked_samples(wrap: Any) -> None:
    class Slow(TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            return super().__getitem__(index)

    fast, slow = pairs(), Slow(*pairs().tensors)
    assert slow.__getbatch__([0]) is None and fast.__getbatch__([0]) is not None
    for a, b in zip(DataLoader(wrap(fast), 2), DataLoader(wrap(slow), 2), strict=True):
        assert type(a) is type(b) is list
        for s, t in zip(a, b, strict=True):
            assert s.dtype is t.dtype and s.shape == t.shape and s.tolist() == t.tolist()


@pytest.mark.parametrize("indices", [[0, 10], [-11, 0]])
def test_whole_batches_out_of_range(indices: list[int]) -> None:
    with pytest.raises(IndexError):
        list(DataLoader(pairs(), batch_sampler=[indices]))


def test_own_collate_sees_samples() -> None:
    loader = DataLoader(pairs(), 5, collate_fn=lambda samples: [int(y.item()) for _, y in samples])
    assert list(loader) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_getitems_is_used() -> None:
    class Batched(Squares):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [-i for i in indices]

    assert [batch.tolist() for batch in DataLoader(Batched(4), 2)] == [[0, -1], [-2, -3]]


def epochs(num_workers: int, seed: int, **options: Any) -> list[list[int]]:
    loader = DataLoader(Squares(20), 4, shuffle=True, num_workers=num_workers, generator=seeded(seed), **options)
    return [[i for batch in loader for i in batch.tolist()] for _ in range(3)]


def test_shuffle_is_seeded_and_independent_of_workers() -> None:
    expected = epochs(0, seed=1)
    assert expected == epochs(2, seed=1) == epochs(2, seed=1, persistent_workers=True)
    assert epochs(0, seed=2) != expected and expected[0] != expected[1] != expected[2]
    assert all(sorted(epoch) == [i * i for i in range(20)] for epoch in expected)


def test_shuffle_follows_the_global_seed() -> None:
    def order() -> list[int]:
        pullback.manual_seed(7)
        return [batch.item() for batch in DataLoader(Squares(30), shuffle=True)]

    assert order() == order()


def test_batch_size_none_converts_samples() -> None:
    class Arrays(Squares):
        def __getitem__(self, index: int) -> Any:
            return np.full(2, index)

    loader = DataLoader(Arrays(3), batch_size=None)
    assert [sample.tolist() for sample in loader] == [[0, 0], [1, 1], [2, 2]] and len(loader) == 3
    lists = DataLoader(Squares(3), batch_size=None, sampler=[2, 0])
    assert list(lists) == [4, 0]


def test_batch_sampler_decides() -> None:
    loader = DataLoader(Squares(9), batch_sampler=[[8, 1], [2]], num_workers=2)
    assert [batch.tolist() for batch in loader] == [[64, 1], [4]]
    assert len(loader) == 2 and loader.batch_size is None and not loader.drop_last


@pytest.mark.parametrize("num_workers", WORKERS)
@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_iterable(num_workers: int, batch_size: int | None) -> None:
    for _ in range(2):
        batches = list(DataLoader(Count(11), batch_size, num_workers=num_workers))
        if batch_size is not None:
            assert all(len(batch) <= batch_size for batch in batches)
            batches = [i for batch in batches for i in batch.tolist()]
        assert sorted(batches) == list(range(11))
        assert num_workers > 1 or batches == list(range(11))


def test_iterable_drop_last_and_length() -> None:
    class Sized(Count):
        def __len__(self) -> int:
            return self.n

    for drop_last, n in ((False, 4), (True, 3)):
        loader = DataLoader(Sized(11), 3, drop_last=drop_last)
        assert len(loader) == len(list(loader)) == n
    assert len(DataLoader(Sized(11), None)) == 11
    with pytest.raises(TypeError):
        len(DataLoader(Count(11), 3))


def test_empty_datasets() -> None:
    for num_workers in (0, 2):
        assert list(DataLoader(Squares(0), 3, num_workers=num_workers)) == []
        assert list(DataLoader(Count(0), 3, num_workers=num_workers)) == []


@pytest.mark.parametrize("num_workers", WORKERS)
def test_exception_in_the_dataset(num_workers: int) -> None:
    class Broken(Squares):
        def __getitem__(self, index: int) -> int:
            if index == 5:
                raise KeyError("sample five")
            return index

    seen = []
    with pytest.raises(KeyError, match="sample five") as caught:
        for batch in DataLoader(Broken(10), 2, num_workers=num_workers):
            seen.append(batch.tolist())
    assert seen == [[0, 1], [2, 3]]
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].name == "__getitem__" and 'raise KeyError("sample five")' in (frames[-1].line or "")
    assert not loader_threads()


def test_exceptions_while_workers_start() -> None:
    def fail(worker: int) -> None:
        raise RuntimeError(f"no start for {worker}")

    with pytest.raises(RuntimeError, match="no start for 0"):
        list(DataLoader(Squares(4), num_workers=2, worker_init_fn=fail))

    class NoIterator(IterableDataset[int]):
        def __iter__(self) -> Any:
            raise OSError("no such shard")

    with pytest.raises(OSError, match="no such shard"):
        list(DataLoader(NoIterator(), num_workers=2))
    assert not loader_threads()


def test_stopping_early_ends_the_workers() -> None:
    made: list[int] = []

    class Slow(Squares):
        def __getitem__(self, index: int) -> int:
            time.sleep(0.01)
            made.append(index)
            return index

    for _ in DataLoader(Slow(1000), 1, num_workers=2):
        break
    assert not loader_threads() and len(made) < 20


def test_interrupt_ends_the_workers() -> None:
    with pytest.raises(KeyboardInterrupt):
        for _ in DataLoader(Squares(1000), 1, num_workers=2):
            raise KeyboardInterrupt
    assert not loader_threads()


def test_ctrl_c_while_waiting_ends_the_workers() -> None:
    class Slow(Squares):
        def __getitem__(self, index: int) -> int:
            if index == 1:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            return index

    seen = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts without it
    try:
        with pytest.raises(KeyboardInterrupt):
            for batch in DataLoader(Slow(1000), 1, num_workers=2):
                seen.append(batch.item())
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(seen) < 4 and not loader_threads()


def test_workers_prefetch_so_far_and_no_further() -> None:
    made: list[int] = []

    class Noted(Squares):
        def __getitem__(self, index: int) -> int:
            made.append(index)
            return index

    batches = iter(DataLoader(Noted(100), 1, num_workers=2, prefetch_factor=3))
    next(batches)
    deadline = time.monotonic() + 10
    while len(made) < 7 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert sorted(made) == list(range(7))  # the one taken, and 2 · 3 more


def test_timeout() -> None:
    release = threading.Event()

    class Hangs(Squares):
        def __getitem__(self, index: int) -> int:
            if index == 1:
                release.wait()
            return index

    loader = DataLoader(Hangs(4), 1, num_workers=2, timeout=0.05)
    try:
        with pytest.raises(RuntimeError, match=r"worker 1 returned no batch within 0.05 seconds"):
            list(loader)
    finally:
        release.set()
    deadline = time.monotonic() + 10
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not loader_threads()


def test_the_datasets_own_timeout_is_not_the_loaders() -> None:
    class Times(Squares):
        def __getitem__(self, index: int) -> int:
            raise TimeoutError("the disk")

    with pytest.raises(TimeoutError, match="the disk"):
        list(DataLoader(Times(4), num_workers=1, timeout=5))


def test_worker_info() -> None:
    started: list[int] = []

    class Who(Squares):
        def __getitem__(self, index: int) -> Any:
            info = get_worker_info()
            assert info is not None and info.dataset is not dataset and info.num_workers == 2
            return info.id, info.seed

    dataset = Who(6)
    loader = DataLoader(dataset, 1, num_workers=2, worker_init_fn=started.append, generator=seeded())
    ids, seeds = zip(*((batch[0].item(), batch[1].item()) for batch in loader), strict=True)
    assert ids == (0, 1, 0, 1, 0, 1) and seeds[1] == seeds[0] + 1 and sorted(started) == [0, 1]
    assert get_worker_info() is None


def test_random_numbers_of_workers_are_seeded() -> None:
    class Noisy(Squares):
        def __getitem__(self, index: int) -> Any:
            return pullback.rand(2)

    def run() -> tuple[Any, Any]:
        pullback.manual_seed(5)
        batches = []
        for batch in DataLoader(Noisy(12), 3, num_workers=3):
            batches.append(batch.tolist())
            pullback.rand(7)  # the training's own draws are not the workers'
        return batches, pullback.rand(1).item()

    batches, after = run()
    assert (batches, after) == run() and len({str(row) for batch in batches for row in batch}) == 12
    pullback.manual_seed(5)
    list(DataLoader(Squares(12), 3))
    pullback.rand(7), pullback.rand(7), pullback.rand(7), pullback.rand(7)
    assert pullback.rand(1).item() == after


def test_worker_init_fn_may_change_its_copy() -> None:
    class Range(IterableDataset[int]):
        start, end = 0, 10

        def __iter__(self) -> Any:
            return iter(range(self.start, self.end))

    def shard(worker: int) -> None:
        info = get_worker_info()
        assert info is not None
        copy: Any = info.dataset
        copy.start, copy.end = 5 * worker, 5 * worker + 5

    dataset = Range()
    made = [batch.item() for batch in DataLoader(dataset, num_workers=2, worker_init_fn=shard)]
    assert made == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9] and dataset.end == 10


def test_persistent_workers_start_once() -> None:
    started: list[int] = []
    loader = DataLoader(Squares(6), 2, num_workers=2, persistent_workers=True, worker_init_fn=started.append)
    for _ in range(3):
        assert [batch.tolist() for batch in loader] == [[0, 1], [4, 9], [16, 25]]
    for _ in loader:
        break
    assert [batch.tolist() for batch in loader] == [[0, 1], [4, 9], [16, 25]]
    assert sorted(started) == [0, 1] and len(loader_threads()) == 2
    del loader
    deadline = time.monotonic() + 10
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not loader_threads()


def test_persistent_workers_drop_what_nobody_waits_for() -> None:
    made: list[int] = []

    class Slow(Squares):
        def __getitem__(self, index: int) -> int:
            made.append(index)
            time.sleep(0.01)
            return index

    loader = DataLoader(Slow(20), 1, num_workers=1, persistent_workers=True, prefetch_factor=15)
    for _ in loader:
        break
    assert len(list(loader)) == 20
    assert len(made) < 20 + 5  # of the first pass: the one taken, and what was begun by then


def test_accepted_arguments() -> None:
    loader = DataLoader(
        Squares(2),
        1,
        False,
        None,
        None,
        0,
        None,
        True,
        False,
        0,
        None,
        "spawn",
        None,
        pin_memory_device="",
        in_order=False,
    )
    assert [batch.item() for batch in loader] == [0, 1]
    assert DataLoader(Squares(2), num_workers=1).prefetch_factor == 2
    assert DataLoader([10, 20], 2).dataset == [10, 20]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be a positive integer or None, got 0"),
        ({"batch_size": -1}, ValueError, "batch_size"),
        ({"batch_size": 1.5}, TypeError, "batch_size"),
        ({"batch_size": None, "drop_last": True}, ValueError, "drop_last needs a batch_size"),
        ({"num_workers": -1}, ValueError, "num_workers must not be negative, got -1"),
        ({"num_workers": "2"}, TypeError, "num_workers must be an integer"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"timeout": 3}, ValueError, "need num_workers > 0"),
        ({"prefetch_factor": 2}, ValueError, "need num_workers > 0"),
        ({"persistent_workers": True}, ValueError, "need num_workers > 0"),
        ({"prefetch_factor": 0, "num_workers": 1}, ValueError, "prefetch_factor must be at least 1, got 0"),
        ({"shuffle": True, "sampler": [0]}, ValueError, "sampler and shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, ValueError, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "drop_last": True}, ValueError, "batch_sampler excludes"),
        ({"generator": 0}, TypeError, "generator must be a pullback.Generator, got int"),
    ],
)
def test_loader_refuses(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DataLoader(Squares(3), **options)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_iterables_have_no_order(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="IterableDataset takes no"):
        DataLoader(Count(3), **options)


def test_shuffling_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="num_samples must be a positive integer, got 0"):
        DataLoader(Squares(0), shuffle=True)


def test_what_was_used_cannot_be_set() -> None:
    loader = DataLoader(Squares(3))
    with pytest.raises(ValueError, match="batch_size can't be set"):
        loader.batch_size = 2
    loader.num_workers = 0
