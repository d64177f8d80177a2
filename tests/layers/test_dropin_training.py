"""What people do to weights: train, freeze, share, exchange, reparametrise and prune them, as with torch.nn."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.utils import parametrizations, prune
from twins import KINDS, OURS, Size, assert_equal_to_1e10, make_example, make_layer, make_twins, run

import carrousel

SIZE = Size(T=5, B=3, I=4, H=6)
OPTIMISERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    "adamw_foreach": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, foreach=True),
}


def float64_twins(kind, **options):
    ours, theirs = make_twins(kind, SIZE, **options)
    return ours.double(), theirs.double()


def trained(layer, optimiser, x, target, steps=5):
    """Losses and parameters after some steps towards a target."""
    optimiser = optimiser(layer.parameters())
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (layer(x)[0] - target).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.5)
        optimiser.step()
        losses.append(loss.detach())
    return {"losses": torch.stack(losses)} | {name: p.detach() for name, p in layer.named_parameters()}


@pytest.mark.grid(kind=list(KINDS), optimiser=OPTIMISERS)
def test_training_goes_torchs_way(kind, optimiser):
    """Several steps: each must use the weights that the step before has left."""
    ours, theirs = float64_twins(kind, num_layers=2)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)
    target = torch.randn_like(theirs(x)[0])
    got, expected = (trained(layer, optimiser, x, target) for layer in (ours, theirs))
    assert_equal_to_1e10(got, expected)
    assert got["losses"][-1] < got["losses"][0]


@pytest.mark.parametrize("name", OURS)
def test_weights_written_in_any_way_are_used(name):
    """`.data`, in place, by a new Parameter, by load_state_dict: the next call computes with them."""
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I)

    def in_place():
        with torch.no_grad():
            layer.weight_ih_l0.mul_(2)

    def data():
        layer.weight_ih_l0.data = torch.randn_like(layer.weight_ih_l0)

    def parameter():
        layer.weight_ih_l0 = torch.nn.Parameter(torch.randn_like(layer.weight_ih_l0))

    def state_dict():
        layer.load_state_dict({key: value + 0.1 for key, value in layer.state_dict().items()})

    def all_weights():
        layer.all_weights[0][0].data.zero_()

    seen = [layer(x)[0]]
    for write in (in_place, data, parameter, state_dict, all_weights):
        write()
        seen.append(layer(x)[0])
        fresh = copy.deepcopy(layer)
        assert torch.equal(fresh(x)[0], seen[-1]), write.__name__
        assert not torch.equal(seen[-1], seen[-2]), f"{write.__name__}: the layer still computes with the old weights"


@pytest.mark.grid(kind=list(KINDS), frozen=["weights", "x", "weight_hh_l0", "all"])
def test_frozen_parts_get_no_gradient(kind, frozen):
    ours, theirs = float64_twins(kind, num_layers=2, bidirectional=True)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)
    results = []
    for layer in (ours, theirs):
        x_in = x.clone().requires_grad_(frozen not in ("x", "all"))
        if frozen in ("weights", "all"):
            layer.requires_grad_(False)
        if frozen == "weight_hh_l0":
            layer.weight_hh_l0.requires_grad_(False)
        y, _ = layer(x_in)
        assert y.requires_grad == (frozen != "all")
        if y.requires_grad:
            y.square().sum().backward()
        named = {"x": x_in} | dict(layer.named_parameters())
        results.append({name: t.grad for name, t in named.items() if t.grad is not None})
    assert_equal_to_1e10(*results)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_accumulate(kind):
    ours, theirs = float64_twins(kind)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)
    for layer in (ours, theirs):
        for scale in (1.0, -2.0):
            layer(scale * x)[0].square().sum().backward()
    got, expected = ({name: p.grad for name, p in layer.named_parameters()} for layer in (ours, theirs))
    assert_equal_to_1e10(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_functional_call(kind):
    """Weights handed in for one call: used, differentiated, and gone afterwards."""
    ours, theirs = float64_twins(kind, num_layers=2)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)
    own = ours(x)[0]
    given = {name: torch.randn_like(p).requires_grad_() for name, p in theirs.named_parameters()}
    results = []
    for layer in (ours, theirs):
        y, _ = torch.func.functional_call(layer, given, (x,))
        gradients = torch.autograd.grad(y.square().sum(), list(given.values()))
        results.append({"y": y.detach(), **dict(zip(given, gradients))})
    assert_equal_to_1e10(*results)
    assert torch.equal(ours(x)[0], own)
    assert all(p.grad is None for p in ours.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_functional_gradient(kind):
    """torch.func.grad of functional_call, as meta-learning writes it, a step of the inner loop included."""
    results = []
    for layer in float64_twins(kind):
        torch.manual_seed(2)
        x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)

        def loss(parameters, x=x, layer=layer):
            return torch.func.functional_call(layer, parameters, (x,))[0].square().sum()

        parameters = {name: p.detach() for name, p in layer.named_parameters()}
        results.append(torch.func.grad(loss)(parameters))
    assert_equal_to_1e10(*results)


@pytest.mark.parametrize("kind", KINDS)
def test_second_order_step(kind):
    """A gradient through a gradient step (create_graph), as MAML takes it."""
    results = []
    for layer in float64_twins(kind):
        torch.manual_seed(2)
        x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)
        parameters = dict(layer.named_parameters())
        inner = torch.autograd.grad(layer(x)[0].square().sum(), list(parameters.values()), create_graph=True)
        stepped = {name: p - 0.1 * g for (name, p), g in zip(parameters.items(), inner)}
        torch.func.functional_call(layer, stepped, (x,))[0].square().sum().backward()
        results.append({name: p.grad for name, p in parameters.items()})
    assert_equal_to_1e10(*results)


def by_new_weight_norm(layer):
    return parametrizations.weight_norm(layer, "weight_hh_l0")


def by_old_weight_norm(layer):
    return torch.nn.utils.weight_norm(layer, "weight_hh_l0")


def by_spectral_norm(layer):
    torch.manual_seed(4)
    return parametrizations.spectral_norm(layer, "weight_hh_l0")


def by_pruning(layer):
    return prune.l1_unstructured(layer, "weight_hh_l0", amount=0.5)


WEIGHT_NORM_IS_DEPRECATED = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")


@WEIGHT_NORM_IS_DEPRECATED
@pytest.mark.grid(
    kind=list(KINDS),
    change={f.__name__: f for f in (by_new_weight_norm, by_old_weight_norm, by_spectral_norm, by_pruning)},
)
def test_reparametrised_weights(kind, change):
    """weight_hh_l0 is a function of other parameters: values, gradients, state_dict and training follow torch's."""
    # eval: in training, spectral_norm improves its estimate whenever the weight is looked at, however often that is
    ours, theirs = (change(layer).eval() for layer in float64_twins(kind, num_layers=2))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    example = make_example(theirs, SIZE)
    expected = run(theirs, example)
    assert_equal_to_1e10(run(ours, example), expected)
    x, target = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64), torch.randn_like(expected["y"])
    got, expected = (trained(layer, OPTIMISERS["sgd"], x, target) for layer in (ours, theirs))
    assert_equal_to_1e10(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_parametrisation_removed(kind):
    """The weight is a parameter again, under its own name, with the value that it had."""
    ours, theirs = (by_new_weight_norm(layer) for layer in float64_twins(kind))
    for layer in (ours, theirs):
        torch.nn.utils.parametrize.remove_parametrizations(layer, "weight_hh_l0")
    example = make_example(theirs, SIZE)
    got, expected = run(ours, example), run(theirs, example)
    assert sorted(got) == sorted(expected)
    assert_equal_to_1e10({name: got[name] for name in expected}, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_dropped_recurrent_weights(kind):
    """AWD-LSTM's WeightDrop: the parameter is taken out, and a tensor made from it put in its place at every call."""

    def dropped(layer, x):
        raw = torch.nn.Parameter(layer.weight_hh_l0.detach().clone())
        del layer._parameters["weight_hh_l0"]
        layer.register_parameter("weight_hh_l0_raw", raw)
        torch.manual_seed(6)
        outputs = []
        for _ in range(2):
            layer.weight_hh_l0 = torch.nn.functional.dropout(raw, 0.5)
            outputs.append(layer(x)[0])
        sum(y.square().sum() for y in outputs).backward()
        assert not torch.equal(*outputs)
        return {"first": outputs[0].detach(), "second": outputs[1].detach(), "grad": raw.grad}

    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)
    assert_equal_to_1e10(*(dropped(layer, x) for layer in float64_twins(kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_shared_parameters(kind):
    """Two layers with one recurrent matrix: it gets both gradients, is listed once, and is shared in a deepcopy."""
    results = []
    for library in (carrousel, torch.nn):
        torch.manual_seed(8)
        pair = torch.nn.ModuleList([make_layer(library, kind, SIZE).double() for _ in range(2)])
        pair[0].weight_hh_l0 = pair[1].weight_hh_l0
        x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)
        pair = copy.deepcopy(pair)
        assert pair[0].weight_hh_l0 is pair[1].weight_hh_l0
        assert pair[0].all_weights[0][1] is pair[1].all_weights[0][1]
        sum(layer(x)[0].square().sum() for layer in pair).backward()
        results.append({name: p.grad for name, p in pair.named_parameters()})
    assert_equal_to_1e10(*results)


@pytest.mark.parametrize("kind", KINDS)
def test_shared_between_directions(kind):
    """Both directions with one set of weights."""
    ours, theirs = float64_twins(kind, bidirectional=True)
    for layer in (ours, theirs):
        for name in [name for name, _ in layer.named_parameters() if name.endswith("_reverse")]:
            setattr(layer, name, getattr(layer, name.removesuffix("_reverse")))
    example = make_example(theirs, SIZE)
    assert_equal_to_1e10(run(ours, example), run(theirs, example))
