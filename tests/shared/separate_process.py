"""Runs a function in another process, which may die: then the test fails, and not all tests with it."""

from __future__ import annotations

import multiprocessing
import traceback

import pytest
import torch

TIMEOUT = 120  # seconds, for a first call that imports torch on a busy machine


def serve(connection) -> None:
    """In the other process: run what comes, and return what it raised."""
    torch.set_num_threads(1)
    while True:
        function, arguments = connection.recv()
        torch.manual_seed(0)
        try:
            function(*arguments)
        except Exception:  # noqa: BLE001
            connection.send(traceback.format_exc(limit=-4))
        else:
            connection.send(None)


class SeparateProcess:
    """A process that is started with the first function, and again after one of which it died."""

    def __init__(self) -> None:
        self.process = None

    def run(self, function, *arguments) -> None:
        """Run a function of a module, and fail with what it raises, or if the process dies of it."""
        self.start()
        self.connection.send((function, arguments))
        if not self.connection.poll(TIMEOUT):
            self.stop()
            pytest.fail(f"no answer within {TIMEOUT} s")
        try:
            raised = self.connection.recv()
        except EOFError:
            self.process.join()
            code, self.process = self.process.exitcode, None
            pytest.fail(f"the process died: exit code {code}")
        if raised is not None:
            pytest.fail(raised, pytrace=False)

    def start(self) -> None:
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process = context.Process(target=serve, args=(theirs,), daemon=True)
            self.process.start()
            theirs.close()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


@pytest.fixture(scope="module")
def separately():
    """`separately(function, *arguments)` runs the function, of a module and not a local one, in another process."""
    process = SeparateProcess()
    yield process.run
    process.stop()
