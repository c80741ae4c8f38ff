"""Helpers beside the networks themselves: `pullback.utils.data`."""

from . import data

__all__ = ["data"]
