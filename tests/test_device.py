"""Devices: their names, what is said where there is no GPU, and tensors on the emulated one, where a build has it."""

from __future__ import annotations

import ast
import copy
import functools
import importlib.util
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import _backend, _cuda_state

F = pb.nn.functional
EMULATED = "cuda-emulated"
emulated = pytest.mark.skipif(
    importlib.util.find_spec("pullback._cuda_emulated") is None,
    reason="this build has no emulated kernels: make emulated",
)
no_gpu = pytest.mark.skipif(_cuda_state.cuda_problem() is None, reason="here is a GPU")


def normal(*shape: int, seed: int = 0, dtype: Any = pb.float32) -> pb.Tensor:
    return pb.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape)).to(dtype)


# --- names ------------------------------------------------------------------------------------------------------------


def test_devices_are_one_object_each() -> None:
    assert pb.device("cpu") is pb.device("cpu:0") is pb.device("cpu", 0) is pb.zeros(1).device
    assert pb.device("cuda:1") is pb.device("cuda", 1) is pb.device(1) is pb.device(pb.device("cuda:1"))
    assert pb.device("cuda") != pb.device("cuda:0")
    for d in (pb.device("cpu"), pb.device("cuda"), pb.device("cuda:3")):
        assert pickle.loads(pickle.dumps(d)) is copy.deepcopy(d) is d
    assert str(pb.device("cuda:1")) == "cuda:1" and str(pb.device("cpu")) == "cpu"
    assert (
        repr(pb.device("cuda", 1)) == "device(type='cuda', index=1)" and repr(pb.device("cpu")) == "device(type='cpu')"
    )


@pytest.mark.parametrize("name", ["", "gpu", "cpu:1", "cpu:", "cuda:", "cuda:-1", "cuda:x", "CUDA"])
def test_other_names_raise(name: str) -> None:
    with pytest.raises(RuntimeError, match="device: "):
        pb.device(name)


def test_other_arguments_raise() -> None:
    with pytest.raises(RuntimeError):
        pb.device("cuda:0", 1)
    with pytest.raises(RuntimeError, match="no index -1"):
        pb.device("cuda", -1)
    with pytest.raises(TypeError, match="device: expected a string"):
        pb.device(None)  # type: ignore[arg-type]


@no_gpu
@pytest.mark.parametrize(
    "use",
    [
        lambda: pb.zeros(2, device="cuda"),
        lambda: pb.zeros(2, device="cuda:1"),
        lambda: pb.tensor([1.0], device="cuda"),
        lambda: pb.zeros(2).to("cuda"),
        lambda: pb.zeros(2).cuda(),
        lambda: pb.nn.Linear(2, 2).cuda(),
        lambda: pb.nn.Linear(2, 2, device="cuda"),
        lambda: pb.Generator("cuda"),
        lambda: pb.cuda.current_device(),
        lambda: pb.cuda.get_device_name(),
        lambda: pb.cuda.Stream(),
        lambda: pb.cuda.memory_allocated(),
        lambda: pb.cuda.set_device(0),
    ],
)
def test_a_gpu_that_is_not_there_says_what_is_missing(use: Any) -> None:
    problem = _cuda_state.cuda_problem()
    assert problem is not None
    with pytest.raises(RuntimeError) as error:
        use()
    assert str(error.value) == f"device: {problem}"


def test_properties_of_a_gpu_are_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"name": "A GPU", "major": 9, "minor": 0, "total_memory": 80 << 30, "multi_processor_count": 132}
    kernels = SimpleNamespace(device_properties=lambda index: found)
    monkeypatch.setattr(pb.cuda, "_on", lambda device: SimpleNamespace(kernels=kernels, index=0))
    assert pb.cuda.get_device_properties(0).total_memory == 80 << 30
    assert pb.cuda.get_device_name() == "A GPU" and pb.cuda.get_device_capability() == (9, 0)


@no_gpu
def test_without_a_gpu_questions_have_answers() -> None:
    assert not pb.cuda.is_available() and pb.cuda.device_count() == 0
    pb.cuda.synchronize()
    pb.cuda.manual_seed(1), pb.cuda.manual_seed_all(1), pb.cuda.empty_cache()
    x = pb.zeros(2)
    assert x.is_cpu and not x.is_cuda and x.cpu() is x and x.to("cpu") is x
    assert x.get_device() == -1 and not pb.cuda.is_bf16_supported() and pb.cuda.get_rng_state_all() == []
    assert pb.cuda.amp.autocast and not hasattr(pb.cuda, "no_such_name")


@pytest.mark.parametrize("move", [lambda: pb.zeros(2).to(1), lambda: pb.nn.Linear(2, 2).to(1)])
def test_a_number_is_a_gpu(move: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def library(type: str) -> Any:
        raise RuntimeError(f"asked for {type}")

    monkeypatch.setattr(_backend, "_library", library)
    with pytest.raises(RuntimeError, match="asked for cuda"):
        move()


def test_a_gpu_that_is_there_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each step asks, as autocast does, must not cost a look at files and at the driver's properties."""
    looks: list[str] = []
    library = SimpleNamespace(kernels=SimpleNamespace(device_count=lambda: 2))
    monkeypatch.setattr(_backend, "cuda_problem", lambda: looks.append("look"))
    monkeypatch.setattr(_backend, "importlib", SimpleNamespace(import_module=lambda name: library))
    monkeypatch.setattr(_backend, "_library", functools.cache(_backend._library.__wrapped__))
    for _ in range(3):
        assert pb.cuda.is_available() and pb.cuda.device_count() == 2
        with pb.autocast("cuda"):
            assert pb.is_autocast_enabled("cuda")
    assert looks == ["look"]


# --- CuPy -------------------------------------------------------------------------------------------------------------


def test_emulated_arrays_look_as_cupy_s() -> None:
    """CuPy's arrays over host memory: what pullback asks them needs no GPU."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    pytest.importorskip("pullback._cuda_emulated", reason="this build has no emulated kernels: make emulated")
    from pullback._emulated import Array, as_strided

    host = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    memory = cupy.cuda.UnownedMemory(host.ctypes.data, host.nbytes, host, 0)
    theirs, ours = cupy.ndarray(host.shape, host.dtype, cupy.cuda.MemoryPointer(memory, 0)), Array(host, 0)
    views = [
        lambda x: x,
        lambda x: x.T,
        lambda x: x.reshape(6, 4),
        lambda x: x.reshape((4, 6))[1:],
        lambda x: x.transpose(2, 0, 1),
        lambda x: x.transpose((1, 0, 2))[..., ::2],
        lambda x: x.swapaxes(0, 2),
        lambda x: x.view(np.dtype("int32")),
        lambda x: x[1],
        lambda x: x[1, 2, 3],
        lambda x: x[None, :, -1, ::-1],
        lambda x: x[0:0],
        lambda x: x[..., 1:3][1],
        lambda x: _cupy_or_ours(x, as_strided, cupy)(x, (2, 2), (48, 8)),
    ]
    names = ("shape", "strides", "dtype", "ndim", "size", "itemsize", "nbytes")
    for i, view in enumerate(views):
        a, b = view(theirs), view(ours)
        for name in names:
            assert getattr(a, name) == getattr(b, name), (i, name)
        assert a.data.ptr == b.data.ptr and a.device.id == b.device.id, i
        assert a.flags.c_contiguous == b.flags.c_contiguous, i
        assert (a.base is theirs, a.base is None) == (b.base is ours, b.base is None), i
    for x in (theirs, ours):
        with pytest.raises(TypeError):
            np.asarray(x)


def _chain(node: ast.AST) -> list[str]:
    """["cuda", "Stream"] of cupy.cuda.Stream and cupy().cuda.Stream; [] of what begins otherwise."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    node = node.func if isinstance(node, ast.Call) else node
    return names if isinstance(node, ast.Name) and node.id == "cupy" else []


@pytest.mark.parametrize("module", ["_cupy.py", "cuda/__init__.py"])
def test_what_is_asked_of_cupy_is_there(module: str) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    tree = ast.parse((Path(pb.__file__).parent / module).read_text())
    chains = [chain for node in ast.walk(tree) if (chain := _chain(node))]
    assert len(chains) > 3
    for chain in chains:
        found = cupy
        for name in chain:
            found = getattr(found, name)
    methods = {
        cupy.cuda.Stream: "done synchronize use wait_event null",
        cupy.cuda.Event: "record done synchronize",
        cupy.cuda.Device: "mem_info synchronize __enter__",
        cupy.cuda.MemoryPool: "used_bytes total_bytes free_all_blocks",
    }
    for owner, names in methods.items():
        assert not [name for name in names.split() if not hasattr(owner, name)], owner


def _cupy_or_ours(x: Any, ours: Any, cupy: Any) -> Any:
    def theirs(array: Any, shape: Any, strides: Any) -> Any:  # pullback._cupy cannot be imported without its kernels
        memory = cupy.cuda.UnownedMemory(array.data.ptr, array.nbytes, array, array.data.device_id)
        return cupy.ndarray(tuple(shape), array.dtype, cupy.cuda.MemoryPointer(memory, 0), tuple(strides))

    return theirs if isinstance(x, cupy.ndarray) else ours


# --- tensors on the emulated device -----------------------------------------------------------------------------------


@emulated
def test_there_and_back() -> None:
    x = normal(3, 4)
    y = x.to(EMULATED)
    assert str(y.device) == "cuda-emulated:0" and y.to(EMULATED) is y and y.to(x.device) is not y
    assert y.cpu().numpy().tobytes() == x.numpy().tobytes() and x.cpu() is x
    assert y.t().cpu().tolist() == x.t().tolist() and y[1:, ::2].tolist() == x[1:, ::2].tolist()
    assert y.to(pb.float64).device is y.device and x.to(y).device is y.device
    assert y.to("cpu", pb.float64).dtype is pb.float64 and y[0, 1].item() == x[0, 1].item()
    assert pb.tensor([1, 2], device=EMULATED).tolist() == [1, 2]
    assert pb.tensor(y).device is y.device and pb.as_tensor(y, device="cpu").device is x.device


@emulated
def test_what_is_made_like_a_tensor_lies_beside_it() -> None:
    y = normal(2, 3).to(EMULATED)
    made = [
        pb.zeros_like(y),
        pb.ones_like(y),
        pb.full_like(y, 2),
        pb.empty_like(y),
        y.new_zeros(2),
        y.new_tensor([1.0]),
    ]
    made += [pb.zeros(2, device=y.device), pb.arange(3, device=y.device), pb.eye(2, device=EMULATED), y + 1, y.clone()]
    made += [pb.linspace(0, 1, 3, device=EMULATED), pb.tril_indices(3, 3, device=EMULATED), y > 0, y.sum(), y[0]]
    assert {m.device for m in made} == {y.device}
    assert pb.linspace(0, 4, 3, dtype=pb.int64, device=EMULATED).tolist() == [0, 2, 4]
    assert pb.zeros_like(y, device="cpu").device is pb.device("cpu")


@emulated
def test_it_never_becomes_a_numpy_array_by_itself() -> None:
    y = normal(2, 3).to(EMULATED)
    with pytest.raises(
        TypeError, match=r"numpy: expected a tensor on the CPU, got one on cuda-emulated:0; use cpu\(\)"
    ):
        y.numpy()
    with pytest.raises(TypeError):
        np.asarray(y)
    assert y.numpy(force=True).shape == (2, 3)
    assert repr(pb.tensor([1.0, 2.0], device=EMULATED)) == "tensor([1., 2.], device='cuda-emulated:0')"
    assert f"{y.sum():.3f}" == f"{y.cpu().sum():.3f}" and bool(y.abs().sum() > 0) and float(y[0, 0]) == y[0, 0].item()


@emulated
def test_copies_keep_device_and_gradient() -> None:
    y = normal(2, 3).to(EMULATED).requires_grad_()
    (y * y).sum().backward()
    for other in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y)):
        assert other.device is y.device and other.requires_grad and other.tolist() == y.tolist()
    assert copy.deepcopy(y).grad.tolist() == y.grad.tolist()
    generator = pb.Generator(EMULATED).manual_seed(7)
    assert pickle.loads(pickle.dumps(generator)).device is y.device
    assert generator.get_state().device is pb.device("cpu") and generator.initial_seed() == 7


@emulated
def test_transforms_run_on_a_device() -> None:
    x = normal(3, 2).to(EMULATED)
    for transform in (
        pb.func.vmap(lambda a: a.tanh()),
        pb.func.grad(lambda a: a.tanh().sum()),
        pb.func.jacrev(pb.tanh),
    ):
        np.testing.assert_allclose(transform(x).cpu().numpy(), transform(x.cpu()).numpy(), rtol=1e-5)
    with pytest.raises(RuntimeError, match="drew random numbers"):
        pb.func.vmap(lambda a: a + pb.rand(2, device=EMULATED))(x)


@emulated
def test_gradients_cross_devices() -> None:
    x = normal(3, 4).requires_grad_()
    y = x.to(EMULATED)
    (y * y).sum().cpu().backward()
    assert x.grad is not None and x.grad.device is x.device
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy())
    (g,) = pb.autograd.grad((x.to(EMULATED) ** 3).sum(), x, create_graph=True)
    g.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy() + 6 * x.detach().numpy(), rtol=1e-6)


MIXTURES = {
    "add": lambda a, b: a + b,
    "iadd": lambda a, b: a.add_(b),
    "lt": lambda a, b: a < b,
    "matmul": lambda a, b: a @ b,
    "linear": lambda a, b: F.linear(a, b),
    "where": lambda a, b: pb.where(a > 0, a, b),
    "lerp": lambda a, b: pb.lerp(a, b, 0.5),
    "masked_fill": lambda a, b: a.masked_fill(b > 0, 0.0),
    "masked_select": lambda a, b: a.masked_select(b > 0),
    "cat": lambda a, b: pb.cat([a, b]),
    "gather": lambda a, b: a.gather(0, b.long()),
    "index_select": lambda a, b: a.index_select(0, b[0].long()),
    "mse_loss": lambda a, b: F.mse_loss(a, b),
    "cross_entropy": lambda a, b: F.cross_entropy(a, b[0].long()),
    "prelu": lambda a, b: F.prelu(a, b[0]),
    "embedding": lambda a, b: F.embedding(a.long(), b),
    "addmm": lambda a, b: pb.addmm(a, b, a),
}


@emulated
@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("devices", [("cpu", EMULATED), (EMULATED, "cpu"), (EMULATED, f"{EMULATED}:1")])
def test_two_devices_in_one_op_are_an_error(name: str, devices: tuple[str, str]) -> None:
    a, b = [pb.zeros(3, 3, device=d) for d in devices]
    with pytest.raises(RuntimeError, match=r"^[a-z_]+: expected all tensors on one device, got ") as error:
        MIXTURES[name](a, b)
    told = [part.partition(" on ")[::2] for part in str(error.value).partition("got ")[2].split(", ")]
    assert {device for _, device in told} == {str(a.device), str(b.device)} and all(argument for argument, _ in told)
    assert len({argument for argument, _ in told}) == len(told) > 1


@emulated
def test_numbers_and_indices_on_the_cpu_go_anywhere() -> None:
    x = normal(3, 4).to(EMULATED)
    two = pb.tensor(2.0)
    for y in (x * two, two * x, x * 2, pb.where(x > 0, two, x), x.clamp(max=two), x.masked_fill(x > 0, two)):
        assert y.device is x.device
    assert (x * two).tolist() == (x.cpu() * 2).tolist()
    x[0] = pb.zeros(4)
    x[1:, 1] = two
    assert x.cpu()[0].tolist() == [0, 0, 0, 0] and x.cpu()[2, 1].item() == 2
    index = pb.tensor([2, 0])
    assert x[index].tolist() == x.cpu()[index].tolist() and x[x.cpu() > 0].tolist() == x[x > 0].tolist()
    with pytest.raises(
        RuntimeError, match="getitem: index expects device cpu as the tensor, or cpu, got cuda-emulated:0"
    ):
        x.cpu()[index.to(EMULATED)]


@emulated
def test_changes_in_place_are_seen_through_views() -> None:
    x = normal(3, 4).to(EMULATED).requires_grad_()
    y = x * 2
    z = y.square().sum()
    y[0].mul_(3)
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()
    y = x * 2
    y[:, 1].mul_(3)
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[2, 6, 2, 2]] * 3
    a = pb.zeros(2, 3, device=EMULATED)
    a.t()[0] = a.t()[1] + 1
    assert a.tolist() == [[1, 0, 0]] * 2 and a[1].storage_offset() == 3 and a.expand(4, 2, 3)._array.strides[0] == 0


@emulated
def test_a_gradient_that_nobody_else_holds_is_kept_without_a_copy() -> None:
    kernels: Any = pb.zeros(1, device=EMULATED).device.kernels

    def copies(f: Any) -> int:
        x = normal(3, 4).to(EMULATED).requires_grad_()
        y = f(x)
        before = kernels.launch_counts()
        y.backward(pb.ones_like(y))
        after = kernels.launch_counts()
        assert x.grad is not None and x.grad.device is x.device
        return int(after["copy"] - before["copy"])

    assert copies(lambda x: x.exp()) == 0
    assert copies(lambda x: x + x.detach()) == 1  # the seed is the caller's, who may change it
    assert copies(lambda x: x.t()) == 1  # not row-major
    x = normal(3).to(EMULATED).requires_grad_()
    y = x + x
    seed = pb.ones_like(y)
    y.backward(seed)
    assert x.grad is not None
    x.grad.zero_()
    assert seed.tolist() == [1, 1, 1]


@emulated
def test_errors_that_only_data_can_tell_come_when_somebody_waits() -> None:
    y = pb.tensor([1, 2], device=EMULATED) // pb.tensor([1, 0], device=EMULATED)
    with pytest.raises(ZeroDivisionError, match="floor_divide"):
        y.cpu()
    assert y.sum().device is y.device
    with pytest.raises(IndexError):
        F.cross_entropy(pb.zeros(2, 3, device=EMULATED), pb.tensor([0, 3], device=EMULATED)).item()
    assert pb.ones(2, device=EMULATED).sum().item() == 2


def test_dlpack_of_the_cpu_is_shared() -> None:
    x = normal(3, 4)
    array = np.from_dlpack(x)
    assert np.shares_memory(array, x.numpy()) and x.__dlpack_device__() == (1, 0)
    assert np.shares_memory(pb.from_dlpack(array).numpy(), array)
    with pytest.raises(TypeError, match="from_dlpack: expected an object with __dlpack__"):
        pb.from_dlpack([1.0])


@no_gpu
def test_dlpack_of_a_gpu_needs_one() -> None:
    class Elsewhere:
        kind = 2

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.kind, 0

        def __dlpack__(self, **options: Any) -> Any:
            raise AssertionError("nobody can read it")

    with pytest.raises(RuntimeError, match="device: "):
        pb.from_dlpack(Elsewhere())
    Elsewhere.kind = 10
    with pytest.raises(
        RuntimeError, match="from_dlpack: expected memory of the CPU or of a GPU, got DLPack's device type 10"
    ):
        pb.from_dlpack(Elsewhere())


def test_the_backend_offers_what_it_says() -> None:
    for name in _backend._OFFERS:
        assert hasattr(pb.device("cpu"), name) and f" {name}" in str(pb.device.__doc__), name
