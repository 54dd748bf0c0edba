"""The signals that ask the control plane to end, as something to wait for."""

import os
import signal
from types import FrameType
from typing import Self

__all__ = ["Signals"]


class Signals:
    """SIGINT and SIGTERM as something to wait for."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.received: signal.Signals | None = None

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._receive)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """The descriptor that becomes readable with a signal."""
        return self._reader

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
