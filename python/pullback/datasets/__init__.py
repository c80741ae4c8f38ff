"""Data to train on: the digits that come with the package, and readers of the usual file formats."""

from .digits import Digits, load_digits
from .idx import read_idx
from .images import ImageDataset
from .mnist import MNIST, FashionMNIST
from .split import stratified_indices, stratified_split

__all__ = [
    "Digits",
    "FashionMNIST",
    "ImageDataset",
    "MNIST",
    "load_digits",
    "read_idx",
    "stratified_indices",
    "stratified_split",
]
