"""Mixed precision: which types ops compute in under `autocast`, and that it nests, keeps to its thread and goes on the tape."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import _autocast, nn
from test_device import EMULATED, emulated, no_gpu

F = nn.functional
each_device = pytest.mark.parametrize("device", ["cpu", pytest.param(EMULATED, marks=emulated)])
NARROW = {"cpu": pb.bfloat16, EMULATED: pb.float16}

# What an op on tensors of float32 (`wide`) and of the narrow type (`half`) gives under autocast: the narrow type, float32,
# float64, or an error; on the CPU as PyTorch 2.13 says, on a GPU as its lists do.
OPS = [
    # on the CPU narrow, on a GPU narrow
    ("F.linear(wide(3, 4), wide(2, 4), wide(2))", "n", "n"),
    ("F.linear(half(3, 4), wide(2, 4), wide(2))", "n", "n"),
    ("wide(3, 4) @ wide(4, 2)", "n", "n"),
    ("wide(4) @ wide(4)", "n", "n"),
    ("T.matmul(wide(2, 3, 4), wide(4))", "n", "n"),
    ("T.mm(wide(3, 4), wide(4, 2))", "n", "n"),
    ("T.bmm(wide(2, 3, 4), wide(2, 4, 2))", "n", "n"),
    ("T.addmm(wide(3, 2), wide(3, 4), wide(4, 2))", "n", "n"),
    ("T.addbmm(wide(3, 2), wide(2, 3, 4), wide(2, 4, 2))", "n", "n"),
    ("T.baddbmm(wide(2, 3, 2), wide(2, 3, 4), wide(2, 4, 2))", "n", "n"),
    ('T.einsum("ij,jk->ik", wide(3, 4), wide(4, 2))', "n", "n"),
    ("T.chain_matmul(wide(3, 4), wide(4, 2))", "n", "n"),
    ("F.prelu(wide(3, 4), wide(1))", "n", "n"),
    ("half(3).mean()", "n", "n"),
    ("half(3).var()", "n", "n"),
    ("half(3).std()", "n", "n"),
    ("T.nansum(half(3))", "n", "n"),
    ("T.nanmean(half(3))", "n", "n"),
    ("half(3).median()", "n", "n"),
    ("T.cat([half(3), half(3)])", "n", "n"),
    ("T.addcmul(half(3), half(3), half(3))", "n", "n"),
    ("T.addcdiv(half(3), half(3), half(3))", "n", "n"),
    ("T.atan2(half(3), half(3))", "n", "n"),
    ("F.relu(half(3))", "n", "n"),
    ("F.gelu(half(3))", "n", "n"),
    ("F.silu(half(3))", "n", "n"),
    ("F.logsigmoid(half(3))", "n", "n"),
    ("T.sigmoid(half(3))", "n", "n"),
    ("T.tanh(half(3))", "n", "n"),
    ("T.sqrt(half(3))", "n", "n"),
    ('F.pad(half(1, 3, 3), (1, 1), mode="circular")', "n", "n"),
    ("F.pad(half(1, 3, 3), (1, 1))", "n", "n"),
    ("T.scatter_add(half(3), 0, index, half(3))", "n", "n"),
    ("T.index_put(half(3), (index,), half(3))", "n", "n"),
    ("F.dropout(half(3))", "n", "n"),
    ("T.maximum(half(3), half(3))", "n", "n"),
    ("T.lerp(half(3), half(3), 0.5)", "n", "n"),
    ("T.hypot(half(3), half(3))", "n", "n"),
    ("T.softmax(half(3), 0, dtype=narrow)", "n", "n"),
    ("half(3).clamp(0, 1)", "n", "n"),
    # on the CPU float32, on a GPU narrow
    ("T.mv(wide(3, 4), wide(4))", "f", "n"),
    ("T.addmv(wide(3), wide(3, 4), wide(4))", "f", "n"),
    ("T.addr(wide(3, 4), wide(3), wide(4))", "f", "n"),
    ('T.einsum("ij,ij->ij", wide(3, 4), wide(3, 4))', "f", "n"),
    ('T.einsum("ij->i", wide(3, 4))', "f", "n"),
    ("T.quantile(half(3), 0.5)", "f", "n"),
    ("T.nanquantile(half(3), 0.5)", "f", "n"),
    ('F.pad(half(1, 3, 3), (1, 1), mode="reflect")', "f", "n"),
    ('F.pad(half(1, 3, 3), (1, 1), mode="replicate")', "f", "n"),
    # on the CPU float32, on a GPU float32
    ("T.dot(wide(4), wide(4))", "f", "f"),
    ("T.vdot(wide(4), wide(4))", "f", "f"),
    ("T.outer(wide(3), wide(4))", "f", "f"),
    ("T.inner(wide(3), wide(3))", "f", "f"),
    ("F.bilinear(wide(3, 4), wide(3, 5), wide(2, 4, 5))", "f", "f"),
    ("half(3).prod()", "f", "f"),
    ("half(3, 2).prod(1)", "f", "f"),
    ("T.trace(half(3, 3))", "f", "f"),
    ("T.cat([half(3), wide(3)])", "f", "f"),
    ("T.stack([half(3), wide(3)])", "f", "f"),
    ("T.index_copy(half(3), 0, index, wide(3))", "f", "f"),
    ("T.where(index > 0, half(3), wide(3))", "f", "f"),
    ("half(3) + wide(3)", "f", "f"),
    ("F.mse_loss(half(3), half(3))", "f", "f"),
    ("F.l1_loss(half(3), wide(3))", "f", "f"),
    ("F.smooth_l1_loss(half(3), half(3))", "f", "f"),
    ("F.huber_loss(half(3), half(3))", "f", "f"),
    ("F.kl_div(half(3), half(3))", "f", "f"),
    ("F.binary_cross_entropy_with_logits(half(3), half(3))", "f", "f"),
    ("F.cross_entropy(half(3, 4), index)", "f", "f"),
    ("F.cross_entropy(half(3, 4), half(3, 4))", "f", "f"),
    ("F.cross_entropy(half(3, 4), index, weight=wide(4))", "f", "f"),
    ("F.nll_loss(half(3, 4), index)", "f", "f"),
    ("F.poisson_nll_loss(half(3), half(3))", "f", "f"),
    ("F.hinge_embedding_loss(half(3), half(3))", "f", "f"),
    ("F.margin_ranking_loss(half(3), half(3), half(3))", "f", "f"),
    ("F.soft_margin_loss(half(3), half(3))", "f", "f"),
    ("F.triplet_margin_loss(half(3, 2), half(3, 2), half(3, 2))", "f", "f"),
    ("F.cosine_embedding_loss(half(3, 2), half(3, 2), wide(3))", "f", "f"),
    ("F.embedding(index, wide(3, 2))", "f", "f"),
    ("wide(3, 2).addmm_(wide(3, 4), wide(4, 2))", "f", "f"),
    ("T.atan2(wide(3), wide(3))", "f", "f"),
    # on the CPU narrow, on a GPU float32
    ("T.tensordot(wide(3, 4), wide(4, 2), 1)", "n", "f"),
    ("T.inner(wide(3, 4), wide(2, 4))", "n", "f"),
    ("T.exp(half(3)) ", "n", "f"),
    ("T.expm1(half(3))", "n", "f"),
    ("T.log(half(3))", "n", "f"),
    ("half(3) ** 3", "n", "f"),
    ("half(3) ** 2", "n", "f"),
    ("2 ** half(3)", "n", "f"),
    ("1 / half(3)", "n", "f"),
    ("T.softmax(half(3), 0)", "n", "f"),
    ("T.log_softmax(half(3), 0)", "n", "f"),
    ("F.softmax(half(3), 0)", "n", "f"),
    ("half(3).sum()", "n", "f"),
    ("T.cumsum(half(3), 0)", "n", "f"),
    ("T.cumprod(half(3), 0)", "n", "f"),
    ("T.norm(half(3))", "n", "f"),
    ("T.linalg.vector_norm(half(3))", "n", "f"),
    ("T.logsumexp(half(3), 0)", "n", "f"),
    ("F.gaussian_nll_loss(half(3), half(3), half(3))", "n", "f"),
    ("F.cosine_similarity(half(3, 2), half(3, 2))", "n", "f"),
    ("F.pairwise_distance(half(3, 2), half(3, 2))", "n", "f"),
    ("F.normalize(half(3, 2))", "n", "f"),
    ("F.softplus(half(3))", "n", "f"),
    ("T.rsqrt(half(3))", "n", "f"),
    ("T.reciprocal(half(3))", "n", "f"),
    ("T.square(half(3))", "n", "f"),
    ("F.softmin(half(3), 0)", "n", "f"),
    ("F.gumbel_softmax(half(3), dim=0)", "n", "f"),
    ("T.tan(half(3))", "n", "f"),
    # on the CPU float32, on a GPU refused
    ("F.binary_cross_entropy(half(3), half(3))", "f", "-"),
    # on the CPU float64, on a GPU float64
    ("T.mm(wide(3, 4).double(), wide(4, 2).double())", "d", "d"),
    ("T.float_power(half(3), 2)", "d", "d"),
    ("half(3).sum(dtype=T.float64)", "d", "d"),
]


def result_type(library: Any, text: str, device: str, narrow: Any) -> str:
    def wide(*shape: int) -> Any:
        return library.full(shape, 0.5, device=device)

    names = {
        "T": library,
        "F": library.nn.functional,
        "wide": wide,
        "half": lambda *shape: wide(*shape).to(narrow),
        "index": library.tensor([0, 1, 0], device=device),
        "narrow": narrow,
    }
    with library.autocast(device, dtype=narrow):
        found = eval(text, names).dtype
    return {narrow: "n", library.float32: "f", library.float64: "d"}[found]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text, cpu, gpu", OPS, ids=[text for text, *_ in OPS])
@each_device
def test_ops_compute_in_the_types_of_the_lists(device: str, text: str, cpu: str, gpu: str) -> None:
    expected = cpu if device == "cpu" else gpu
    if expected == "-":
        with pytest.raises(RuntimeError, match="binary_cross_entropy_with_logits"):
            result_type(pb, text, device, NARROW[device])
        return
    assert result_type(pb, text, device, NARROW[device]) == expected


@pytest.mark.filterwarnings("ignore")
def test_pytorch_computes_in_these_types() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
    for text, cpu, _ in OPS:
        assert result_type(torch, text, "cpu", torch.bfloat16) == cpu, text


def test_every_listed_op_is_there_and_knows_of_it() -> None:
    """`pad_edges` is the inner part of `pad`."""
    for name in {name for table in _autocast._POLICIES.values() for name in table} - {"pad_edges"}:
        op = getattr(pb, name, None) or getattr(F, name, None) or getattr(pb.Tensor, name)
        policy = op.__reduce__ and repr(op)
        assert policy == f"<op {name}>", name
        method = getattr(pb.Tensor, name, op)
        assert repr(method) == f"<op {name}>", name


def linear_inputs(device: str) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    x, w, b = [pb.from_numpy(rng.standard_normal(s).astype("f4")).to(device) for s in ((5, 8), (3, 8), (3,))]
    return x, nn.Parameter(w), nn.Parameter(b)


@each_device
def test_a_linear_map_is_the_one_of_rounded_operands_and_its_gradients_come_back_in_float32(device: str) -> None:
    x, w, b = linear_inputs(device)
    with pb.autocast(device):
        y = F.linear(x, w, b)
    y.sum().backward()
    narrow = [t.detach().to(NARROW[device]).requires_grad_() for t in (x, w, b)]
    same = F.linear(*narrow)
    same.sum().backward()
    assert pb.equal(y, same) and y.dtype is NARROW[device]
    for leaf, other in zip((w, b), narrow[1:]):
        assert leaf.grad is not None and leaf.grad.dtype is pb.float32
        assert pb.equal(leaf.grad, other.grad.float())


def test_operators_methods_and_short_ways_go_the_same_way() -> None:
    a, b = pb.rand(4, 4), pb.rand(4, 4)
    plain = a @ b
    with pb.autocast("cpu"):
        products = [a @ b, a.matmul(b), pb.matmul(a, b), pb.matmul(input=a, other=b), a.mm(b), a.__rmatmul__(b).t()]
        assert [y.dtype for y in products] == [pb.bfloat16] * 6
        assert (a + b).dtype is pb.float32 and a.sum().dtype is pb.float32
    assert pb.equal(a @ b, plain)


def test_ops_in_place_compute_in_their_own_type() -> None:
    a, b = pb.rand(4, 4), pb.rand(4, 4)
    expected = pb.addmm(a, a, b)
    with pb.autocast("cpu"):
        assert pb.equal(a.clone().addmm_(a, b), expected)


def test_blocks_nest_and_leave_what_they_found() -> None:
    a = pb.rand(4, 4)

    def kind() -> Any:
        return (a @ a).dtype

    assert (pb.is_autocast_enabled("cpu"), pb.is_autocast_enabled()) == (False, False)
    with pb.autocast("cpu", dtype=pb.float16):
        assert kind() is pb.float16 and pb.get_autocast_dtype("cpu") is pb.float16
        with pb.autocast("cpu", enabled=False):
            assert kind() is pb.float32 and not pb.is_autocast_enabled("cpu")
            with pb.autocast("cpu"):  # the type that was chosen last
                assert kind() is pb.float16
        with pytest.raises(ZeroDivisionError), pb.autocast("cpu", dtype=pb.bfloat16, cache_enabled=False):
            assert not pb.is_autocast_cache_enabled()
            raise ZeroDivisionError
        assert kind() is pb.float16 and pb.is_autocast_cache_enabled() and pb.is_autocast_enabled("cpu")
    assert kind() is pb.float32 and pb.get_autocast_dtype("cpu") is pb.bfloat16


def test_it_decorates_functions() -> None:
    @pb.autocast("cpu")
    def product(a: Any) -> Any:
        """a a"""
        return a @ a

    a = pb.rand(4, 4)
    assert product(a).dtype is pb.bfloat16 and (a @ a).dtype is pb.float32 and product.__doc__ == "a a"
    assert isinstance(pb.amp.autocast("cpu"), pb.autocast) and pb.amp.is_autocast_available("cuda")


def test_every_thread_has_its_own() -> None:
    a, found = pb.rand(4, 4), []
    with pb.autocast("cpu"):
        thread = threading.Thread(target=lambda: found.append(((a @ a).dtype, pb.is_autocast_enabled("cpu"))))
        thread.start()
        thread.join()
        assert (a @ a).dtype is pb.bfloat16
    assert found == [(pb.float32, False)]


def test_switches_by_function() -> None:
    a = pb.rand(4, 4)
    pb.set_autocast_enabled("cpu", True)
    pb.set_autocast_dtype("cpu", pb.float16)
    try:
        assert (a @ a).dtype is pb.float16
    finally:
        pb.set_autocast_enabled("cpu", False)
        pb.set_autocast_dtype("cpu", pb.bfloat16)
    assert (a @ a).dtype is pb.float32


@no_gpu
def test_what_cannot_be_had_is_off_with_a_warning_or_raises() -> None:
    with pytest.warns(UserWarning, match="there is no GPU"), pb.autocast("cuda"):
        assert not pb.is_autocast_enabled("cuda")
    with pytest.warns(UserWarning, match="float16 or bfloat16, got pullback.float64"):
        pb.autocast("cpu", dtype=pb.float64)
    with pytest.raises(RuntimeError, match="device_type expects 'cuda' or 'cpu', got 'tpu'"):
        pb.autocast("tpu")
    with pytest.raises(ValueError, match="device_type expects a string"):
        pb.autocast(pb.float16)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a function"):
        pb.autocast("cpu")(3)  # type: ignore[type-var]


# --- casts of weights -------------------------------------------------------------------------------------------------


def casts(f: Any) -> int:
    before = pb._cpu.launch_counts()["copy"]
    f()
    return int(pb._cpu.launch_counts()["copy"] - before)


def test_a_weight_is_cast_once_a_block() -> None:
    x, w, _ = linear_inputs("cpu")
    x = x.bfloat16()

    def twice() -> None:
        F.linear(x, w), F.linear(x, w)

    with pb.autocast("cpu"):
        with pb.autocast("cpu"):
            assert casts(twice) == 1
        assert casts(twice) == 0
        pb.clear_autocast_cache()
        assert casts(twice) == 1
    with pb.autocast("cpu"):
        assert casts(twice) == 1
    with pb.autocast("cpu", cache_enabled=False):
        assert casts(twice) == 2


def test_a_weight_that_changed_is_cast_again_and_one_cast_without_a_graph_does_not_hide_it() -> None:
    x, w, _ = linear_inputs("cpu")
    with pb.autocast("cpu"):
        with pb.no_grad():
            before = F.linear(x, w)
        loss = F.linear(x, w)
        assert loss.requires_grad and not before.requires_grad
        with pb.no_grad():
            w.mul_(2)
        assert pb.equal(F.linear(x, w), before * 2)


def test_two_losses_share_a_cast() -> None:
    """Each backward pass goes through the one cast of the weight, as in a GAN's step."""
    x, w, b = linear_inputs("cpu")
    with pb.autocast("cpu"):
        first, second = F.linear(x, w, b).sum(), F.linear(2 * x, w, b).sum()
    first.backward()
    once = w.grad.clone()
    second.backward()
    assert pb.equal(w.grad, 3 * once)


# --- with the rest of the library -------------------------------------------------------------------------------------


class Scaled(pb.autograd.Function):
    """x ↦ w x in float32, whatever autocast says."""

    @staticmethod
    @pb.amp.custom_fwd(device_type="cpu", cast_inputs=pb.float32)
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    @pb.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, dy: Any) -> Any:
        x, w = ctx.saved_tensors
        return dy @ w.t(), x.t() @ dy


def test_functions_choose_their_types() -> None:
    x, w = pb.rand(3, 4).bfloat16().requires_grad_(), pb.rand(4, 2).requires_grad_()
    with pb.autocast("cpu"):
        y = Scaled.apply(x, w)
    assert y.dtype is pb.float32
    y.sum().backward()
    assert w.grad.dtype is pb.float32 and x.grad.dtype is pb.bfloat16


def two_layers() -> dict[str, Any]:
    """y = W₂ tanh(W₁x + b₁) + b₂ with Σ ty as the loss: its arrays in float32."""
    rng = np.random.default_rng(8)
    shapes = {"x": (32, 20), "t": (32, 5), "w1": (16, 20), "b1": (16,), "w2": (5, 16), "b2": (5,)}
    return {name: (rng.standard_normal(s) / np.sqrt(s[-1])).astype(np.float32) for name, s in shapes.items()}


def narrow_step(library: Any, device: str, narrow: Any) -> dict[str, Any]:
    """The loss and the gradients under autocast."""
    p = {name: library.from_numpy(a.copy()).to(device) for name, a in two_layers().items()}
    leaves = {name: p[name].requires_grad_() for name in ("w1", "b1", "w2", "b2")}
    linear = library.nn.functional.linear
    with library.autocast(device, dtype=narrow):
        y = linear(linear(p["x"], p["w1"], p["b1"]).tanh(), p["w2"], p["b2"])
        assert y.dtype == narrow
        loss = (p["t"] * y.float()).sum()
    loss.backward()
    return {"loss": loss.detach().cpu().numpy(), **{n: t.grad.cpu().numpy() for n, t in leaves.items()}}


def exact_step() -> tuple[dict[str, Any], dict[str, Any]]:
    """The same in float64, and for each result what ε is multiplied with if every tensor on the way is rounded by ε: z = W₁x + b₁
    moves by ε(|W₁||x| + |b₁|), h = tanh z by as much and ε|h|, h' = 1 − h² by twice that, a product by ε of each factor."""
    x, t, w1, b1, w2, b2 = [a.astype(np.float64) for a in two_layers().values()]
    h = np.tanh(x @ w1.T + b1)
    y, dh = h @ w2.T + b2, t @ w2
    dz = dh * (1 - h * h)
    exact = {"loss": (t * y).sum(), "w1": dz.T @ x, "b1": dz.sum(0), "w2": t.T @ h, "b2": t.sum(0)}
    x, t, w1, b1, w2, b2 = [np.abs(a) for a in (x, t, w1, b1, w2, b2)]
    move_h = 2 * (x @ w1.T + b1) + np.abs(h)
    move_y = move_h @ w2.T + np.abs(h) @ w2.T + np.abs(y) + b2
    move_dz = (t @ w2) * (4 + 2 * move_h)
    moves = {
        "loss": (t * move_y).sum(),
        "w1": (move_dz + 2 * np.abs(dz)).T @ x,
        "b1": (move_dz + np.abs(dz)).sum(0),
        "w2": t.T @ (move_h + 2 * np.abs(h)),
        "b2": 2 * t.sum(0),
    }
    return exact, moves


def assert_rounded(got: dict[str, Any], eps: float) -> None:
    exact, moves = exact_step()
    for name, want in exact.items():
        error = np.abs(got[name] - want) / moves[name]
        assert error.max() <= eps, f"{name}: {error.max()} ε"
        assert error.max() > 0, f"{name}: nothing was rounded"


@each_device
def test_a_step_is_off_by_the_roundings_of_its_tensors(device: str) -> None:
    """ε, half the distance between numbers, is 2⁻⁹ in bfloat16 and 2⁻¹² in float16."""
    assert_rounded(narrow_step(pb, device, NARROW[device]), 2**-9 if device == "cpu" else 2**-12)


def test_pytorchs_step_is_off_by_as_much() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
    assert_rounded(narrow_step(torch, "cpu", torch.bfloat16), 2**-9)


def training(block: str, steps: int, captured: bool, device: str) -> list[bytes]:
    """The losses and weights of some steps, with the block within each step, around it, or around all of them."""
    pb.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)).to(device)
    optimizer = pb.optim.Adam(model.parameters(), lr=1e-2)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        with pb.autocast(device, enabled=block == "within" or pb.is_autocast_enabled(device)):
            loss = F.cross_entropy(model(x), y) + model[2](model[2](x @ model[0].weight.t())).float().square().mean()
        loss.backward()
        optimizer.step()
        return loss

    run = pb.capture(step) if captured else step
    rng = np.random.default_rng(1)
    found = []
    with pb.autocast(device, enabled=block == "around all"):
        for _ in range(steps):
            x, y = pb.from_numpy(rng.standard_normal((9, 6)).astype("f4")), pb.from_numpy(rng.integers(0, 3, 9))
            with pb.autocast(device, enabled=block != "within"):
                loss = run(x.to(device), y.to(device))
            found.append(loss.detach().cpu().numpy().tobytes())
    if captured:
        assert run.stats()["replayed"] == steps - 3
    return [*found, *[p.detach().cpu().numpy().tobytes() for p in model.parameters()]]


@pytest.mark.parametrize("block", ["within", "around", "around all"])
@each_device
def test_captured_steps_replay_to_the_bit(device: str, block: str) -> None:
    assert training(block, 8, True, device) == training(block, 8, False, device)


def test_a_captured_function_has_a_plan_for_each_state() -> None:
    w = pb.rand(4, 4)
    product = pb.capture(lambda x: x @ w)
    x = pb.rand(4, 4)
    for _ in range(5):
        assert product(x).dtype is pb.float32
        with pb.autocast("cpu"):
            assert product(x).dtype is pb.bfloat16
        with pb.autocast("cpu", dtype=pb.float16):
            assert product(x).dtype is pb.float16
    assert product.stats()["replayed"] == 6


@each_device
def test_a_captured_function_casts_its_weights_in_every_call(device: str) -> None:
    """Also where the block around all calls has cast them before."""
    x, w, b = linear_inputs(device)
    run = pb.capture(lambda x: F.linear(x, w, b))
    with pb.autocast(device):
        for k in range(6):
            y = run(x)
            if k > 3:
                with pb.no_grad():
                    w.mul_(2)
                assert not pb.equal(run(x), y) and pb.equal(run(x), F.linear(x, w, b))
    assert run.stats()["replayed"] == 7
