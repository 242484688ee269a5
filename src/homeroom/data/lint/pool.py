"""Pieces over processes: started afresh, never forked (threads may be running), and gone when their parent is gone."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")
AHEAD = 2  # pieces that wait for each process, so that none is idle and few results are held


def in_order(work: Callable[[P], R], pieces: Iterable[P], jobs: int) -> Iterator[R]:
    """``work`` of each piece, in the order of the pieces; in this process when ``jobs`` is 1."""
    if jobs <= 1:
        yield from map(work, pieces)
        return
    waiting: deque[Future[R]] = deque()
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent) as pool:
        try:
            for piece in pieces:
                with _without_main():
                    waiting.append(pool.submit(work, piece))
                if len(waiting) >= jobs * (AHEAD + 1):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # stopped in the middle: what has not begun is not begun
            pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _without_main() -> Iterator[None]:
    """A new process imports its parent's main module; ours needs nothing of it, and a person's script would run twice."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
