"""The loader: from a dataset to batches, on worker threads if wanted.

Workers are threads, not processes: nothing is copied between them, reading files, decompressing and kernels
let go of the interpreter's lock, and nothing needs to be picklable. Each worker is an executor with one
thread. Batch k goes to worker k mod `num_workers`, and a worker does its tasks in order, so that batches come
in the sampler's order and which worker makes which batch never depends on timing.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pullback
from pullback import Generator
from pullback._random import this_thread

from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

if TYPE_CHECKING:
    from concurrent.futures import Future

T_co = TypeVar("T_co", covariant=True)

_END = object()  # what a worker returns whose iterable has come to its end
_FROZEN = ("dataset", "batch_size", "drop_last", "sampler", "batch_sampler", "persistent_workers")


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker a call runs on: `id` of `num_workers`, its `seed`, and its shallow copy of the dataset.

    What is drawn on its thread without a generator of its own comes from one with that seed. Python's `random` and NumPy's
    global generator are shared with all threads.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Dataset[Any]


_this_thread = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """The worker whose thread calls, None outside of workers."""
    return getattr(_this_thread, "worker_info", None)


class DataLoader(Generic[T_co]):
    """Batches of a dataset, with PyTorch's arguments and meaning.

    Args:
        dataset: a `Dataset`, an `IterableDataset`, or anything with `__getitem__` and `__len__`.
        batch_size: samples per batch; None hands on single samples through `default_convert`.
        shuffle: a new random order in each pass.
        sampler: the order of the indices, instead of `shuffle`.
        batch_sampler: the lists of indices, instead of `batch_size`, `shuffle`, `sampler` and `drop_last`.
        num_workers: threads that make batches ahead of time; 0 makes them on the calling thread.
        collate_fn: makes a batch of a list of samples.
        pin_memory, multiprocessing_context, pin_memory_device: accepted; there is nothing to pin and no
        process. drop_last: leaves out a last batch that is not full.
        timeout: seconds to wait for a worker's batch; 0 waits for ever.
        worker_init_fn: called with the worker's number on its thread, before its first batch.
        generator: for the order and the workers' seeds; by default the global one.
        prefetch_factor: batches that each worker makes ahead, 2 by default.
        persistent_workers: keeps the workers, their copies of the dataset included, from one pass to the
        next. in_order: accepted; batches always come in order.

    An exception in a worker is raised by `next`, with the worker's traceback. A worker that exceeds `timeout`
    raises RuntimeError. Raises ValueError for arguments that exclude each other, TypeError and ValueError for
    wrong ones.
    """

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self._iterable = isinstance(dataset, IterableDataset)
        _check_sampling(self._iterable, batch_size, shuffle, sampler, batch_sampler, drop_last)
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(f"DataLoader: generator must be a pullback.Generator, got {type(generator).__name__}")
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers > 0 else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.persistent_workers = persistent_workers
        self.in_order = in_order

        if sampler is None and not self._iterable:
            source: Any = dataset
            sampler = RandomSampler(source, generator=generator) if shuffle else SequentialSampler(source)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        elif batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        batched = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._workers: list[_Worker] = []
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FROZEN and getattr(self, "_initialized", False):
            raise ValueError(f"DataLoader: {name} can't be set after the loader is made")
        super().__setattr__(name, value)

    def __len__(self) -> int:
        """The number of batches. Raises TypeError where the sampler or an iterable dataset has no length."""
        if not self._iterable:
            return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]
        n = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        # Drawn also when nobody asks for it, so that the order of a pass does not depend on num_workers.
        seed = int(pullback.randint(0, 2**62, (), generator=self.generator).item())
        return self._iterate_on_workers(seed) if self.num_workers else self._iterate_here()

    def _tasks(self) -> Iterator[Any]:
        """What `_Fetch` is called with for each batch; without end where only the data know it."""
        if self._iterable:
            return repeat(None)
        return iter(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]

    def _iterate_here(self) -> Iterator[Any]:
        fetch = _Fetch(self, self.dataset)
        for task in self._tasks():
            batch = fetch(task)
            if batch is _END:
                return
            yield batch

    def _iterate_on_workers(self, seed: int) -> Iterator[Any]:
        workers = self._workers or [_Worker(self, i, seed + i) for i in range(self.num_workers)]
        if self.persistent_workers:
            self._workers = workers
        ring, tasks = deque(workers), self._tasks()
        pending: deque[tuple[_Worker, Future[Any]]] = deque()

        def submit(count: int) -> None:
            for task in islice(tasks, count if ring else 0):
                pending.append((ring[0], ring[0].submit(task)))
                ring.rotate(-1)

        hung = False
        try:
            opened = [(worker, worker.open(self)) for worker in workers]
            submit((self.prefetch_factor or 0) * len(workers))
            for worker, future in opened:
                self._wait(worker, future)
            while pending:
                worker, future = pending.popleft()
                batch = self._wait(worker, future)
                if batch is not _END:
                    submit(1)
                    yield batch
                elif worker in ring:
                    ring.remove(worker)
        except _WorkerTimeout as error:
            hung = True
            raise RuntimeError(str(error)) from None
        finally:
            for _, future in pending:
                future.cancel()
            if not self.persistent_workers:
                for worker in workers:
                    worker.stop(wait=not hung)

    def _wait(self, worker: _Worker, future: Future[Any]) -> Any:
        from concurrent.futures import TimeoutError as FutureTimeout

        try:
            return future.result(self.timeout or None)
        except FutureTimeout:
            if future.done():  # it came in this very moment, or the timeout is the dataset's own
                return future.result()
            raise _WorkerTimeout(
                f"DataLoader: worker {worker.id} returned no batch within {self.timeout} seconds"
            ) from None


class _WorkerTimeout(Exception):
    """A worker exceeded `timeout`: its thread can't be joined."""


class _Fetch:
    """Makes one batch from one entry of the sampler, or the next one of an iterable."""

    def __init__(self, loader: DataLoader[Any], dataset: Any) -> None:
        self.dataset = dataset
        self.collate = loader.collate_fn
        self.batch_size = loader.batch_size
        self.drop_last = loader.drop_last
        self.batched = loader.batch_size is not None or loader.batch_sampler is not None
        self.samples = iter(dataset) if loader._iterable else None
        self.getbatch = getattr(dataset, "__getbatch__", None) if loader.collate_fn is default_collate else None

    def __call__(self, task: Any) -> Any:
        if self.samples is not None:
            return self._next()
        if not self.batched:
            return self.collate(self.dataset[task])
        if self.getbatch is not None:
            batch = self.getbatch(task)
            if batch is not None:
                return batch
        if hasattr(self.dataset, "__getitems__"):
            return self.collate(self.dataset.__getitems__(task))
        return self.collate([self.dataset[i] for i in task])

    def _next(self) -> Any:
        assert self.samples is not None
        if self.batch_size is None:
            sample: Any = next(self.samples, _END)
            return sample if sample is _END else self.collate(sample)
        samples = list(islice(self.samples, self.batch_size))
        if not samples or (self.drop_last and len(samples) < self.batch_size):
            return _END
        return self.collate(samples)


class _Worker:
    """One thread with its own copy of the dataset."""

    def __init__(self, loader: DataLoader[Any], id: int, seed: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.id = id
        self.info = WorkerInfo(id, loader.num_workers, seed, copy.copy(loader.dataset))
        self.executor = ThreadPoolExecutor(1, thread_name_prefix=f"pullback-loader-{id}")
        self.fetch: _Fetch | None = None
        self.thread = 0

    def open(self, loader: DataLoader[Any]) -> Future[None]:
        """Begins a pass."""
        return self.executor.submit(self._open, loader)

    def submit(self, task: Any) -> Future[Any]:
        """Makes one batch."""
        return self.executor.submit(self._run, task)

    def stop(self, wait: bool) -> None:
        """Drops what has not begun; with `wait`, returns when what has begun is done."""
        # The garbage collector may end an iterator on any thread, a worker's own among them.
        self.executor.shutdown(wait=wait and self.thread != threading.get_ident(), cancel_futures=True)

    def _open(self, loader: DataLoader[Any]) -> None:
        if self.fetch is None:
            self.thread = threading.get_ident()
            _this_thread.worker_info = self.info
            this_thread.generator = Generator().manual_seed(self.info.seed)
            if loader.worker_init_fn is not None:
                loader.worker_init_fn(self.id)
        self.fetch = _Fetch(loader, self.info.dataset)

    def _run(self, task: Any) -> Any:
        assert self.fetch is not None
        return self.fetch(task)


def _check_workers(num_workers: Any, timeout: float, prefetch_factor: Any, persistent_workers: bool) -> None:
    if not isinstance(num_workers, int) or isinstance(num_workers, bool):
        raise TypeError(f"DataLoader: num_workers must be an integer, got {num_workers!r}")
    if num_workers < 0:
        raise ValueError(f"DataLoader: num_workers must not be negative, got {num_workers}")
    if timeout < 0:
        raise ValueError(f"DataLoader: timeout must not be negative, got {timeout}")
    if num_workers == 0:
        if prefetch_factor is not None or persistent_workers or timeout:
            raise ValueError("DataLoader: prefetch_factor, persistent_workers and timeout need num_workers > 0")
    elif prefetch_factor is not None and prefetch_factor < 1:
        raise ValueError(f"DataLoader: prefetch_factor must be at least 1, got {prefetch_factor}")


def _check_sampling(
    iterable: bool,
    batch_size: int | None,
    shuffle: bool | None,
    sampler: Any,
    batch_sampler: Any,
    drop_last: bool,
) -> None:
    if iterable and (shuffle or sampler is not None or batch_sampler is not None):
        raise ValueError("DataLoader: an IterableDataset takes no shuffle, sampler or batch_sampler")
    if sampler is not None and shuffle:
        raise ValueError("DataLoader: sampler and shuffle exclude each other")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
    if batch_size is None and drop_last:
        raise ValueError("DataLoader: drop_last needs a batch_size")
    if batch_size is not None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool):
            raise TypeError(f"DataLoader: batch_size must be a positive integer or None, got {batch_size!r}")
        if batch_size <= 0:
            raise ValueError(f"DataLoader: batch_size must be a positive integer or None, got {batch_size}")
