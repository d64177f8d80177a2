"""What watches a layer at work, or works in between: hooks, checkpointing, anomaly mode, inference mode."""

from __future__ import annotations

import pytest
import torch
from twins import OURS, Size

import carrousel

SIZE = Size(T=5, B=3, I=4, H=6)


@pytest.mark.parametrize("name", OURS)
def test_hooks(name):
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H)
    called = []
    layer.register_forward_pre_hook(lambda module, args: called.append("before"))
    layer.register_forward_hook(lambda module, args, output: called.append("after"))
    layer.register_full_backward_hook(lambda module, grad_in, grad_out: called.append("backward"))
    layer.weight_hh_l0.register_hook(lambda grad: called.append("weight"))
    layer.weight_hh_l0.register_post_accumulate_grad_hook(lambda p: called.append("accumulated"))
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, requires_grad=True)
    layer(x)[0].sum().backward()
    assert called[:2] == ["before", "after"]
    assert sorted(called[2:]) == ["accumulated", "backward", "weight"]


@pytest.mark.parametrize("name", OURS)
def test_checkpointing_recomputes_the_same(name):
    """torch.utils.checkpoint: forward run again in the backward pass, with the same dropout."""
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H, num_layers=2, dropout=0.5)

    def gradients(call):
        layer.zero_grad()
        torch.manual_seed(1)
        x = torch.ones(SIZE.T, SIZE.B, SIZE.I, requires_grad=True)
        call(x)[0].square().sum().backward()
        return [x.grad, *(p.grad.clone() for p in layer.parameters())]

    plain = gradients(layer)
    again = gradients(lambda x: torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False))
    assert all(map(torch.equal, again, plain))


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("name", OURS)
def test_anomaly_mode_and_saved_tensor_hooks(name):
    """Saved tensors go through autograd, so that hooks (offloading, compression) see them; the numbers stay."""
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, requires_grad=True)
    layer(x)[0].sum().backward()
    plain, saved = x.grad.clone(), []
    x.grad = None
    with (
        torch.autograd.detect_anomaly(check_nan=True),
        torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape) or t.clone(), lambda t: t),
    ):
        layer(x)[0].sum().backward()
    assert torch.equal(x.grad, plain)
    assert saved


@pytest.mark.parametrize("name", OURS)
def test_inference_mode(name):
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I)
    expected = layer(x)[0]
    with torch.inference_mode():
        y, _ = layer(x)
    assert torch.equal(y, expected)
    assert y.is_inference()
