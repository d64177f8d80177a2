"""PyTorch's own inputs for torch.nn.LSTM, GRU and RNN, given to ours: what its tests of modules ask of them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from module_inputs import OURS, THEIRS, failures, load, outputs_and_gradients, tensors_of
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

pytestmark = pytest.mark.slow

each_layer = pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])


def assert_all_close(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_there_are_as_many_as_torch_has():
    inputs, errors = load()
    assert {one.name for one in inputs} == {one.name for one in errors} == {"LSTM", "GRU", "RNN"}
    assert len(inputs) >= 320
    assert any(not one.training for one in inputs)


@each_layer
def test_outputs_and_gradients_are_torchs(name):
    def check(one):
        found = [outputs_and_gradients(one.make(library), one.leaves()) for library in (OURS, THEIRS)]
        assert_all_close(*found)

    assert failures(check, name) == []


@each_layer
@pytest.mark.parametrize("order", [gradcheck, gradgradcheck])
def test_gradients_are_slopes(name, order):
    """In training: in evaluation these layers compute the same, for which there is a test below."""

    def check(one):
        layer, arguments = one.make(OURS), one.leaves()
        parameters = {key: p.detach().clone().requires_grad_() for key, p in layer.named_parameters()}

        def run(*flat):
            given = dict(zip(parameters, flat, strict=False))
            x, *hx = flat[len(given) :]
            hx = [] if not hx else [tuple(hx) if name == "LSTM" else hx[0]]
            return tuple(tensors_of(functional_call(layer, given, (x, *hx))))

        # with many gradients at once, by vmap, as torch's tests of modules ask for them
        leaves = (*parameters.values(), *tensors_of(arguments))
        assert order(run, leaves, fast_mode=True, check_batched_grad=True)

    assert failures(check, name, training=True, dtype=torch.float64) == []


@each_layer
def test_gradients_of_gradients_are_torchs(name):
    def check(one):
        found = []
        for library in (OURS, THEIRS):
            layer, arguments = one.make(library), one.leaves()
            leaves = [*tensors_of(arguments), *layer.parameters()]
            total = sum(y.sin().sum() for y in tensors_of(layer(*arguments)))
            first = torch.autograd.grad(total, leaves, create_graph=True)
            second = torch.autograd.grad(sum(d.square().sum() for d in first), leaves, allow_unused=True)
            found.append([*first, *[d for d in second if d is not None]])
        assert_all_close(*found)

    assert failures(check, name, dtype=torch.float64) == []


def scattered(tensor):
    """The same numbers, with others between them."""
    apart = torch.empty(*tensor.shape, 2, dtype=tensor.dtype)
    apart[..., 0] = tensor.detach()
    return apart[..., 0].requires_grad_()


@each_layer
def test_tensors_that_are_not_contiguous(name):
    def check(one):
        layer, arguments = one.make(OURS), one.leaves()
        expected = outputs_and_gradients(layer, arguments)
        for parameters_too in (False, True):
            strided = tuple(
                scattered(a) if isinstance(a, torch.Tensor) else tuple(map(scattered, a)) for a in arguments
            )
            other = copy.deepcopy(layer)
            if parameters_too:
                for parameter in other.parameters():
                    parameter.data = scattered(parameter).detach()
            assert not any(t.is_contiguous() for t in tensors_of(strided) if t.numel() > 1)
            assert_all_close(outputs_and_gradients(other, strided), expected)

    assert failures(check, name) == []


@each_layer
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies(name, way):
    def check(one):
        layer, arguments = one.make(OURS), one.leaves()
        expected = outputs_and_gradients(layer, arguments)
        twin = way(layer)
        assert (repr(twin), twin.training) == (repr(layer), one.training)
        assert all(map(torch.equal, outputs_and_gradients(twin, arguments), expected))

    assert failures(check, name) == []


@each_layer
def test_device_and_dtype_of_the_parameters(name):
    def check(one):
        for device in ("cpu", "meta"):
            for dtype in (torch.float32, torch.float64):
                layer, theirs = (one.make(library, device=device, dtype=dtype) for library in (OURS, THEIRS))
                described = [(key, p.dtype, p.device, p.shape) for key, p in layer.named_parameters()]
                assert described == [(key, p.dtype, p.device, p.shape) for key, p in theirs.named_parameters()]
                assert repr(layer) == repr(theirs)

    assert failures(check, name, dtype=torch.float32) == []


@each_layer
def test_modes_are_the_same_without_dropout(name):
    def check(one):
        layer, arguments = one.make(OURS), one.leaves()
        found = [tensors_of(layer.train(mode)(*arguments)) for mode in (True, False)]
        assert all(map(torch.equal, *found))

    assert failures(check, name) == []


def test_errors_are_torchs():
    for one in load()[1]:
        args, named = one.constructor

        def run(one=one, args=args, named=named):
            layer = getattr(OURS, one.name)(*args, **named)
            layer(*one.forward[0], **one.forward[1])

        with pytest.raises(Exception, match=one.says) as caught:
            run()
        assert type(caught.value).__name__ == one.type
