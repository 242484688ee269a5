"""Python imports this at start in every process whose PYTHONPATH holds this folder: faults without a seam in the product.

    FAULTS_CLOCK=<file>                        the wall clock is off by the seconds that the file holds, read at every look
    FAULTS_DEATH=<module>:<name>:<when>:<n>    the process is killed (signal 9) at the n-th call of ``name`` in ``module``, at its
                                               beginning (``before``) or when it has returned (``after``)
    FAULTS_DEATH_ONCE=<file>                   made by the process that dies; where it exists nobody dies
    FAULTS_IMPORTS=<folder>                    each process adds to ``<folder>/<pid>`` the seconds that an import took

The wall clock alone is moved: what counts seconds since the start of the machine is not, as when somebody sets a clock.
"""

import builtins
import importlib.abc
import importlib.util
import os
import signal
import sys
import threading
import time


def _set_clock(path):
    real = time.time

    def moved():
        try:
            with open(path) as file:  # noqa: PTH123 - pathlib would be one import more in every process
                return real() + float(file.read() or 0)
        except OSError:
            return real()

    time.time = moved
    time.time_ns = lambda: int(moved() * 1e9)


def _die(once):
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _deadly(function, when, number, once):
    calls = 0

    def call(*args, **kwargs):
        nonlocal calls
        calls += 1
        deadly = calls == number
        if deadly and when == "before":
            _die(once)
        result = function(*args, **kwargs)
        if deadly and when == "after":
            _die(once)
        return result

    return call


def _time_imports(folder):
    """Each import that is not part of another one; many lines make one program's total."""
    real, depth, path = builtins.__import__, threading.local(), f"{folder}/{os.getpid()}"

    def timed(*args, **kwargs):
        if getattr(depth, "inside", False):
            return real(*args, **kwargs)
        depth.inside, began = True, time.perf_counter()
        try:
            return real(*args, **kwargs)
        finally:
            depth.inside = False
            seconds = time.perf_counter() - began
            if seconds > 0.0005:  # what was imported before takes next to nothing
                with open(path, "a") as file:  # noqa: PTH123 - see above
                    file.write(f"{seconds:.4f}\n")

    builtins.__import__ = timed


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps one function of one module as soon as that is imported."""

    def __init__(self, module, name, when, number, once):
        self.module, self.name = module, name
        self.wrap = lambda function: _deadly(function, when, number, once)

    def find_spec(self, fullname, path, target=None):
        if fullname != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            *owners, name = self.name.split(".")
            owner = module
            for part in owners:
                owner = getattr(owner, part)
            setattr(owner, name, self.wrap(getattr(owner, name)))

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("FAULTS_CLOCK"):
    _set_clock(os.environ["FAULTS_CLOCK"])
if os.environ.get("FAULTS_IMPORTS"):
    _time_imports(os.environ["FAULTS_IMPORTS"])
if os.environ.get("FAULTS_DEATH"):
    _module, _name, _when, _number = os.environ["FAULTS_DEATH"].split(":")
    sys.meta_path.insert(0, _Finder(_module, _name, _when, int(_number), os.environ["FAULTS_DEATH_ONCE"]))
