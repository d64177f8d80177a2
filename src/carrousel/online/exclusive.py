"""Base class of objects that only one thread at a time may use: a second thread gets an error."""

from __future__ import annotations

import threading
from typing import Any


class Exclusive:
    """An object for one thread at a time. Methods that must not overlap run inside `with self._exclusive:`.

    Example:
        >>> class Counter(Exclusive):
        ...     count = 0
        ...
        ...     def add(self) -> None:
        ...         with self._exclusive:
        ...             self.count += 1
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def _exclusive(self) -> threading.Lock:
        """The lock, if it is free.

        The caller acquires it by `with`, not by `acquire` and `finally`: Python can raise KeyboardInterrupt between
        those two, and the lock would stay held. So another thread may take the lock between this check and `with`;
        then this thread waits, and both calls succeed.

        Raises:
            RuntimeError: another thread uses the object, or this thread does, further up in its call stack.
        """
        if self._lock.locked():
            name = type(self).__name__
            raise RuntimeError(f"this {name} is in use by another thread; use one {name} per thread")
        return self._lock

    def __getstate__(self) -> dict[str, Any]:
        """The state without its lock, for copies and pickle."""
        with self._exclusive:
            return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy gets a lock of its own."""
        Exclusive.__init__(self)
        self.__dict__.update(state)
