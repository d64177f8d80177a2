"""Objects that one thread at a time may use: a second thread gets an error, and nothing is damaged."""

from __future__ import annotations

import threading
from typing import Any


class Exclusive:
    """Base class of such objects. Their methods do what must not meet another thread's inside `with self._turn:`.

    Example:
        >>> class Counter(Exclusive):
        ...     count = 0
        ...
        ...     def add(self) -> None:
        ...         with self._turn:
        ...             self.count += 1
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def _turn(self) -> threading.Lock:
        """The lock, which is free.

        `with` holds it, not `acquire` and `finally`: Python looks for Ctrl-C between those two, and the lock would stay
        held. So there is an instant between the look here and `with`, in which another thread may take the lock; this
        one then waits for it, and both calls are good.

        Raises:
            RuntimeError: another thread uses the object, or this one does, further down in its stack.
        """
        if self._lock.locked():
            name = type(self).__name__
            raise RuntimeError(f"this {name} is in use by another thread; use one {name} per thread")
        return self._lock

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickle, which know no locks."""
        with self._turn:
            return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy has a lock of its own."""
        Exclusive.__init__(self)
        self.__dict__.update(state)
