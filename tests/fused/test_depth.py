"""From a layer's forward to the kernel: few functions deep, and no function calls one of a package above its own."""

import sys
from pathlib import Path

import pytest
import torch

import carrousel
from carrousel.fused.kernels import KERNELS

pytestmark = pytest.mark.skipif(not KERNELS, reason="built without kernels")

PACKAGE = str(Path(carrousel.__file__).parent)
FLOORS = ["cells", "scan", "fused", "layers"]  # imports and calls run from right to left
DEEPEST = 8


def package_stack(frame):
    """The package's functions on the stack, outermost first: (file, name) each."""
    stack = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            stack.append((Path(frame.f_code.co_filename).relative_to(PACKAGE), frame.f_code.co_name))
        frame = frame.f_back
    return stack[::-1]


@pytest.fixture
def stacks_at_the_binding(monkeypatch):
    """A function that runs a call and returns the stack whenever it enters a kernel; every call must run down."""
    found = []

    def watched(run):
        def enter(**arguments):
            found.append(package_stack(sys._getframe(1)))
            return run(**arguments)

        return enter

    for key, kernel in KERNELS.items():
        replaced = {"forward": watched(kernel.forward), "backward": watched(kernel.backward)}
        monkeypatch.setitem(KERNELS, key, kernel._replace(**replaced))

    def check_way(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            floors = [FLOORS.index(file.parts[0]) for file, _ in package_stack(frame)[-2:]]
            assert floors == sorted(floors, reverse=True), package_stack(frame)[-2:]

    def run(call):
        found.clear()
        sys.setprofile(check_way)
        try:
            call()
        finally:
            sys.setprofile(None)
        return found

    return run


LAYERS = {
    "lstm": carrousel.LSTM(3, 4),
    "gru": carrousel.GRU(3, 4),
    "stacked": carrousel.LSTM(3, 4, num_layers=2, bidirectional=True),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("gradients", [False, True])
def test_calls_run_down_and_are_few(name, gradients, stacks_at_the_binding):
    layer, x = LAYERS[name], torch.randn(5, 2, 3)
    with torch.set_grad_enabled(gradients):
        stacks = stacks_at_the_binding(lambda: layer(x))
    assert len(stacks) == layer.num_layers * (1 + layer.bidirectional)
    for stack in stacks:
        assert stack[0][1] == "forward"
        assert len(stack) <= DEEPEST, stack


def test_the_backward_pass_is_two_functions(stacks_at_the_binding):
    layer = carrousel.LSTM(3, 4)
    y, _ = layer(torch.randn(5, 2, 3))
    (stack,) = stacks_at_the_binding(y.sum().backward)
    assert [name for _, name in stack] == ["backward", "call_backward"]
