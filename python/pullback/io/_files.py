"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[str]:
    """The path of an empty temporary file in the folder of `path`, to be written by the caller.

    When the block ends the file is flushed to the disk and takes the name `path`, replacing what had it; when
    the block raises, the file is removed and what had the name is untouched. Raises FileNotFoundError when
    the folder does not exist.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"can't write {os.fspath(path)}: there is no folder {folder}")
    if os.path.isdir(target):
        raise IsADirectoryError(f"can't write {os.fspath(path)}: it is a folder")
    temporary = os.path.join(folder, f".{name[:200]}.{os.urandom(6).hex()}.tmp")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    mode = stat.S_IMODE(os.stat(temporary).st_mode)
    try:
        yield temporary
        os.chmod(temporary, mode)  # the caller may have put another file in its place
        _flush(temporary, os.O_RDWR)
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # elsewhere folders can't be opened
        _flush(folder, os.O_RDONLY)


def _flush(path: str, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
