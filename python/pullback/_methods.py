"""The methods that ops attach to `Tensor` (see `pullback._tensor.method`); `_methods.pyi` lists them for type checkers."""


class Methods:
    """Filled by `@method`."""

    __slots__ = ()
