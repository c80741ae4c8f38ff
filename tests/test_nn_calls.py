"""`nn.Module`: calls, the errors that come out of them, and hooks around them."""

from __future__ import annotations

import pytest

import pullback as pb
from nn_models import Block
from pullback import nn
from pullback.nn import Module

# --- calls and errors -------------------------------------------------------------------------------------------------


def test_a_call_is_forward():
    block = Block()
    assert block(pb.ones(3), gain=2.0).tolist() == [2, 2, 2]
    with pytest.raises(NotImplementedError, match=r"Module: it has no forward\(\)"):
        Module()(1)


class Failing(Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


class Chain(Module):
    def __init__(self, *modules):
        super().__init__()
        self.blocks = nn.ModuleList(modules)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_errors_carry_the_path_of_the_layer():
    error = ValueError("conv2d: no")
    net = Chain(Block(), Chain(Block(), Failing(error)))
    with pytest.raises(ValueError) as caught:
        net(pb.ones(3))
    assert caught.value is error and str(error) == "conv2d: no in blocks.1.blocks.1"


def test_errors_of_ops_carry_it_too():
    net = Chain(Block(), Chain(Block(4)))
    with pytest.raises(RuntimeError, match=r"do not broadcast.* in blocks\.1\.blocks\.0$"):
        net(pb.ones(3))


def test_errors_of_the_outermost_module_have_no_path():
    with pytest.raises(ValueError, match="^no$"):
        Failing(ValueError("no"))(1)


@pytest.mark.parametrize("error", [KeyError("k"), ValueError("a", "b"), ValueError(), OSError(2, "gone")])
def test_errors_that_are_no_plain_message_stay_as_they_are(error):
    before = error.args
    with pytest.raises(type(error)):
        Chain(Failing(error))(1)
    assert error.args == before


def test_an_error_that_is_caught_on_the_way():
    class Careful(Chain):
        def forward(self, x):
            try:
                return super().forward(x)
            except ValueError as error:
                raise RuntimeError("given up") from error

    with pytest.raises(RuntimeError, match="^given up in blocks.0$") as caught:
        Chain(Careful(Failing(ValueError("no"))))(1)
    assert str(caught.value.__cause__) == "no"


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_forward_hooks():
    block, seen = Block(), []
    handles = [
        block.register_forward_pre_hook(lambda m, args: seen.append("pre") or (args[0] * 2,)),
        block.register_forward_hook(lambda m, args, y: seen.append(args[0].tolist()) or y + 1),
        block.register_forward_hook(lambda m, args, y: seen.append("first"), prepend=True),
    ]
    assert block(pb.ones(3)).tolist() == [3, 3, 3]
    assert seen == ["pre", "first", [2, 2, 2]]
    for handle in handles:
        handle.remove()
    assert block(pb.ones(3)).tolist() == [1, 1, 1]
    with block.register_forward_pre_hook(lambda m, args: args[0] * 5):
        assert block(pb.ones(3)).tolist() == [5, 5, 5]
    assert block(pb.ones(3)).tolist() == [1, 1, 1]


def test_forward_hooks_with_keywords():
    block = Block()
    block.register_forward_pre_hook(lambda m, args, kwargs: (args, {"gain": kwargs["gain"] * 3}), with_kwargs=True)
    block.register_forward_pre_hook(lambda m, args, kwargs: None, with_kwargs=True)
    block.register_forward_hook(lambda m, args, kwargs, y: y + kwargs["gain"], with_kwargs=True)
    assert block(pb.ones(3), gain=2.0).tolist() == [12, 12, 12]
    block.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="expected None or a pair"):
        block(pb.ones(3), gain=2.0)


def test_hooks_that_are_always_called():
    seen = []
    module = Failing(ValueError("no"))
    module.register_forward_hook(lambda m, args, y: seen.append(y), always_call=True)
    module.register_forward_hook(lambda m, args, y: seen.append("never"))
    with pytest.raises(ValueError, match="^no$"):
        module(1)
    assert seen == [None]


def test_backward_hooks_see_the_gradients():
    block, seen = Block(), []
    block.register_full_backward_hook(lambda m, gi, go: seen.append((gi[0].tolist(), gi[1], go[0].tolist())))
    block.register_full_backward_pre_hook(lambda m, go: seen.append("pre"))
    with pb.no_grad():
        block.scale.fill_(3.0)
    x = pb.ones(3).requires_grad_()
    y = block(x, 2.0)
    (y * y).sum().backward()
    assert seen == ["pre", ([72.0] * 3, None, [12.0] * 3)]
    assert x.grad.tolist() == [72, 72, 72] and block.scale.grad.tolist() == [24, 24, 24]


def test_backward_hooks_replace_gradients():
    block = Block()
    before = block.register_full_backward_pre_hook(lambda m, go: (go[0] * 10,))
    after = block.register_full_backward_hook(lambda m, gi, go: gi[0] * 7)
    x = pb.ones(3).requires_grad_()
    block(x).sum().backward()
    assert x.grad.tolist() == [70, 70, 70] and block.scale.grad.tolist() == [10, 10, 10]
    before.remove()
    after.remove()
    block.register_full_backward_hook(lambda m, gi, go: (None, None, None))
    with pytest.raises(RuntimeError, match="backward hook: expected 1 gradients, got 3"):
        block(x).sum().backward()


def test_backward_hooks_where_no_input_wants_a_gradient():
    block, seen = Block(), []
    block.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    block(pb.ones(3)).sum().backward()
    assert seen == [((None,), [1, 1, 1])]
    with pb.no_grad():
        block(pb.ones(3))
    assert len(seen) == 1


def test_backward_hooks_of_a_module_with_several_results():
    class Two(Module):
        def forward(self, a, b):
            return a * 2, b * 3, "text"

    two, seen = Two(), []
    two.register_full_backward_hook(lambda m, gi, go: seen.append(([g.tolist() for g in gi], go[1:])))
    a, b = pb.ones(1).requires_grad_(), pb.ones(1).requires_grad_()
    x, y, text = two(a, b)
    assert text == "text"
    (x + y).backward()
    assert a.grad.item() == 2 and b.grad.item() == 3
    assert seen[0][0] == [[2], [3]] and seen[0][1][1] is None


def test_backward_hooks_under_create_graph():
    block = Block()
    block.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    x = pb.ones(3).requires_grad_()
    (g,) = pb.autograd.grad((block(x) ** 2).sum(), x, create_graph=True)
    (h,) = pb.autograd.grad(g.sum(), x)
    assert g.tolist() == [4, 4, 4] and h.shape == (3,)
