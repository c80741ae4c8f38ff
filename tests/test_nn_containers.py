"""Containers: what they hold, under which names, in which order."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import pullback as pb
from pullback import nn
from pullback.nn import ModuleDict, ModuleList, Parameter, ParameterDict, ParameterList, Sequential


class Add(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.n = n

    def forward(self, x):
        return x + self.n

    def extra_repr(self):
        return str(self.n)


def numbers(container):
    return [m.n for m in container]


def names(container):
    return list(container._modules)


def test_sequential():
    s = Sequential(Add(1), Add(2))
    assert s(pb.zeros(1)).item() == 3 and len(s) == 2 and s[0].n == 1 and s[-1].n == 2
    assert numbers(s.append(Add(3))) == [1, 2, 3]
    assert numbers(s.insert(1, Add(9))) == [1, 9, 2, 3] and names(s) == ["0", "1", "2", "3"]
    assert numbers(s.insert(4, Add(5)).insert(-1, Add(4))) == [1, 9, 2, 3, 4, 5]
    assert numbers(s.extend([Add(6)])) == [1, 9, 2, 3, 4, 5, 6]
    assert s.pop(1).n == 9 and numbers(s) == [1, 2, 3, 4, 5, 6] and s.pop().n == 6
    assert isinstance(s[1:3], Sequential) and numbers(s[1:3]) == [2, 3] and names(s[1:3]) == ["1", "2"]
    assert s[1:3][0] is s[1]
    del s[0]
    assert numbers(s) == [2, 3, 4, 5] and names(s) == ["0", "1", "2", "3"]
    del s[::2]
    assert numbers(s) == [3, 5] and names(s) == ["0", "1"]
    s[0] = Add(7)
    assert numbers(s) == [7, 5]
    assert numbers(s + Sequential(Add(1))) == [7, 5, 1]
    s += Sequential(Add(8))
    assert numbers(s) == [7, 5, 8] and [m.n for m in s.children()] == [7, 5, 8]
    assert Sequential()(3) == 3
    assert numbers(2 * Sequential(Add(1), Add(2))) == [1, 2, 1, 2]
    with pytest.raises(ValueError, match="positive number of repetitions, got 0"):
        _ = s * 0


def test_sequential_with_names():
    s = Sequential(OrderedDict(one=Add(1), two=Add(2)))
    assert s.one.n == 1 and s[1] is s.two and names(s[:1]) == ["one"]
    s[0] = Add(5)
    assert s.one.n == 5


@pytest.mark.parametrize("kind", [Sequential, lambda *modules: ModuleList(modules)])
def test_lists_refuse(kind):
    s = kind(Add(1))
    for index in (1, -2):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 1 entries"):
            _ = s[index]
    with pytest.raises(IndexError, match="out of range"):
        s.insert(5, Add(1))
    with pytest.raises(TypeError, match="expects a Module or None, got int"):
        s.append(3)
    with pytest.raises(TypeError, match="extend expects an iterable of modules, got int"):
        s.extend(3)
    with pytest.raises(TypeError):
        _ = s["0"]


def test_module_list():
    m = ModuleList([Add(1), Add(2)])
    assert [name for name, _ in m.named_modules()] == ["", "0", "1"] and m[-1].n == 2
    m.append(Add(3)).insert(0, Add(0))
    m += [Add(4)]
    m.extend(ModuleList([Add(5)]))
    assert numbers(m) == [0, 1, 2, 3, 4, 5] and isinstance(m[1:], ModuleList) and numbers(m[1:3]) == [1, 2]
    assert names(m[1:3]) == ["0", "1"]
    del m[1:3]
    assert numbers(m) == [0, 3, 4, 5] and m.pop(0).n == 0 and names(m) == ["0", "1", "2"]
    m[1] = Add(9)
    assert numbers(m + [Add(7)]) == [3, 9, 5, 7]
    with pytest.raises(NotImplementedError, match="ModuleList: it has no forward"):
        m(1)
    assert len(ModuleList()) == 0


def test_module_list_repr_folds_what_repeats():
    m = ModuleList([Add(1), Add(1), Add(2), Sequential(Add(1))])
    assert repr(m) == ("ModuleList(\n  (0-1): 2 x Add(1)\n  (2): Add(2)\n  (3): Sequential(\n    (0): Add(1)\n  )\n)")
    assert repr(ModuleList()) == "ModuleList()"


def test_module_dict():
    d = ModuleDict({"a": Add(1), "b": Add(2)})
    d["c"] = Add(3)
    d.update([("a", Add(4))])
    d.update(ModuleDict({"d": Add(5)}))
    assert list(d) == list(d.keys()) == ["a", "b", "c", "d"] and [m.n for m in d.values()] == [4, 2, 3, 5]
    assert d["a"].n == 4 and "b" in d and "x" not in d and len(d) == 4 and dict(d.items())["c"].n == 3
    assert d.pop("b").n == 2
    del d["c"]
    assert [name for name, _ in d.named_children()] == ["a", "d"]
    d.clear()
    assert len(d) == 0
    with pytest.raises(KeyError):
        _ = d["a"]
    with pytest.raises(KeyError, match="already exists"):
        d["keys"] = Add(1)


def test_parameter_list():
    p = ParameterList([pb.zeros(2), Parameter(pb.ones(3)), "text"])
    assert [name for name, _ in p.named_parameters()] == ["0", "1"] and isinstance(p[0], Parameter)
    assert p[2] == "text" and p[-2].shape == (3,) and len(p) == 3
    p[0] = pb.ones(5)
    p.append(pb.ones(1)).extend([pb.ones(4)])
    p += [pb.ones(6)]
    assert [v.shape.numel() for v in p if not isinstance(v, str)] == [5, 3, 1, 4, 6]
    assert isinstance(p[:2], ParameterList) and p[:2][1] is p[1]
    assert repr(ParameterList([pb.zeros(2, 3), 1])) == (
        "ParameterList(\n  (0): Parameter containing: [pullback.float32 of size 2x3]\n  (1): Object of type: int\n)"
    )
    assert list(p.state_dict()) == ["0", "1", "3", "4", "5"]
    with pytest.raises(IndexError, match="ParameterList: index 9 is out of range for 6 entries"):
        _ = p[9]
    with pytest.raises(TypeError, match="extend expects"):
        p.extend(pb.ones(3))


def test_parameter_dict():
    d = ParameterDict({"a": pb.zeros(2), "n": 3})
    d["b"] = Parameter(pb.ones(3))
    d.update([("a", pb.ones(4))])
    assert [name for name, _ in d.named_parameters()] == ["a", "b"] and list(d) == list(d.keys()) == ["a", "n", "b"]
    assert isinstance(d["a"], Parameter) and d["a"].shape == (4,) and d.get("x", 7) == 7 and d.get("n") == 3
    assert len(d) == 3 and "b" in d and [k for k, _ in d.items()] == ["a", "n", "b"] and list(d.values())[1] == 3
    assert d.setdefault("c", pb.ones(1)).shape == (1,) and d.setdefault("n", 4) == 3
    same = d.copy()
    assert same["b"] is d["b"] and d.pop("b").shape == (3,) and "b" in same and "b" not in d
    assert "(a): Parameter containing: [pullback.float32 of size 4]" in repr(d)
    del d["n"]
    d.clear()
    assert len(d) == 0 and not list(d.parameters())
    with pytest.raises(KeyError):
        _ = d["a"]
    with pytest.raises(KeyError, match="already exists"):
        d["keys"] = 1
    with pytest.raises(TypeError, match="key expects a string"):
        d[3] = 1
