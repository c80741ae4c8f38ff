"""Peers other than PyTorch, for the rows of the dense table that they can express: products, and the MLP's inference."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from benchmarks.dense import WIDTHS, Function

PRODUCT = re.compile(r"GEMM (\d+)(?:³|×(\d+)×(\d+))")


def expressible(name: str) -> bool:
    """Whether `make` knows a row."""
    return bool(PRODUCT.match(name)) or name.startswith("inference")


def normal(seed: int, *shape: int, scale: float = 1.0) -> Any:
    """The array behind dense.normal."""
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return np.multiply(values, np.float32(scale))


def weights() -> list[tuple[Any, Any]]:
    """The arrays behind dense.mlp."""
    sizes = list(enumerate(zip(WIDTHS, WIDTHS[1:])))
    return [(normal(10 + i, m, n, scale=n**-0.5), normal(20 + i, m, scale=n**-0.5)) for i, (n, m) in sizes]


def operands(name: str) -> tuple[Any, Any]:
    """A and B of a product."""
    found = PRODUCT.match(name)
    if found is None:
        raise ValueError(f"no such row for this peer: {name}")
    m, n, k = (int(found[1] if g is None else g) for g in found.groups())
    return normal(0, m, k), normal(1, k, n)


def make(library: str, name: str) -> Function:
    """The function of a row, in a compiled form where the library has one."""
    return make_jax(name) if library == "jax" else make_onnx(name)


def make_jax(name: str) -> Function:
    """jax.jit, waited for."""
    import jax
    import jax.numpy as jnp

    if PRODUCT.match(name):
        a, b = map(jnp.asarray, operands(name))
        product = jax.jit(jnp.matmul)
        return lambda: product(a, b).block_until_ready()
    layers = [(jnp.asarray(w), jnp.asarray(b)) for w, b in weights()]

    def model(x: Any) -> Any:
        for w, b in layers[:-1]:
            x = jax.nn.relu(x @ w.T + b)
        return x @ layers[-1][0].T + layers[-1][1]

    x, compiled = jnp.asarray(normal(0, 1, WIDTHS[0])), jax.jit(model)
    return lambda: compiled(x).block_until_ready()


def make_onnx(name: str) -> Function:
    """An ONNX graph of one MatMul, or of Gemm and Relu."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    constants: list[Any] = []
    if PRODUCT.match(name):
        a, b = operands(name)
        feeds = {"a": a, "b": b}
        nodes = [helper.make_node("MatMul", ["a", "b"], ["y"])]
    else:
        feeds, nodes, last = {"x": normal(0, 1, WIDTHS[0])}, [], "x"
        for i, (w, b) in enumerate(weights()):
            constants += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
            end = i == len(WIDTHS) - 2
            nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], ["y" if end else f"h{i}"], transB=1))
            if not end:
                nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
                last = f"r{i}"
    given = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in feeds.items()]
    graph = helper.make_graph(
        nodes, "row", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)
