"""Files: weights as safetensors, checkpoints of nested values. Nothing is ever pickled or unpickled."""

from .checkpoint import load, save
from .safetensors import load_file, save_file

__all__ = ["load", "load_file", "save", "save_file"]
