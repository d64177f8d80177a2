"""carrousel.cell: a person's function as a layer, by `scan` at once, and by its own kernel; both are one."""

from __future__ import annotations

import copy
import pickle
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
from custom_cells import AWKWARD, MGU, compiled, minimal_gated_unit, needs_compiler, random_cell
from custom_ops import check_ops
from hypothesis import given
from hypothesis import strategies as st
from sequences import RAGGED, WAYS, Shape, assert_same_bits, make_ragged, make_sequence, run, with_resets
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils.rnn import pack_padded_sequence
from twins import Size, assert_equal_to_1e10

import carrousel
from carrousel.custom_cell.compiler import find_compiler
from carrousel.fused import fused, has_kernel
from carrousel.scan import scan

pytestmark = pytest.mark.slow

FEW = [*AWKWARD, *map(random_cell, range(2))]
MORE = [random_cell(seed) for seed in range(2, 14)]
BY_NAME = {own.name: own for own in (*FEW, *MORE)}
NAMES = [own.name for own in FEW]
names = pytest.mark.parametrize(
    "name", [*NAMES, *(pytest.param(own.name, marks=pytest.mark.full) for own in MORE)], ids=str
)
X = torch.randn(5, 3, 4, dtype=torch.float64)


def fused_cell(name):
    return compiled(*(FEW if name in NAMES else MORE))[name]


def twins(**options):
    """Two layers with the same weights in float64: by kernel, and by `scan`."""
    by_kernel = MGU(4, 6, compile=True, **options).double()
    by_scan = MGU(4, 6, **options).double()
    by_scan.load_state_dict(by_kernel.state_dict())
    assert (by_kernel.compiled, by_scan.compiled) == (True, False)
    return by_kernel, by_scan


def assert_fused_is_scan(sequence):
    """Where a weight has no part in the outcome, autograd leaves out its gradient, and the kernel gives zeros."""
    ours, theirs = (run(function, sequence, torch.float64) for function in (fused, scan))
    theirs = {name: torch.zeros_like(ours[name]) if t is None else t for name, t in theirs.items()}
    assert_equal_to_1e10(ours, theirs)


# ---- the layer ------------------------------------------------------------------------------------------------------


def test_it_is_the_papers_equations():
    """h' of every step by hand, from the layer's parameters."""
    layer = MGU(4, 6).double()
    W, R, b = layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0 + layer.bias_hh_l0
    h, expected = torch.zeros(3, 6, dtype=torch.float64), []
    for x in X:
        from_x, from_h = x @ W.T, h @ R.T
        f = torch.sigmoid(from_x[:, :6] + from_h[:, :6] + b[:6])
        n = torch.tanh(from_x[:, 6:] + layer.bias_ih_l0[6:] + f * (from_h[:, 6:] + layer.bias_hh_l0[6:]))
        h = (1 - f) * h + f * n
        expected.append(h)
    torch.testing.assert_close(layer(X)[0], torch.stack(expected), rtol=0, atol=1e-12)


def test_it_is_a_class_like_torchs():
    layer = MGU(4, 6, 2, bidirectional=True)
    assert (MGU.__name__, MGU.__module__, MGU.__doc__) == ("MGU", "custom_cells", "The same as a layer.")
    assert repr(layer) == "MGU(4, 6, num_layers=2, bidirectional=True)"
    assert issubclass(MGU, carrousel.Recurrent)
    assert {name: tuple(p.shape) for name, p in MGU(4, 6).named_parameters()} == {
        "weight_ih_l0": (12, 4),
        "weight_hh_l0": (12, 6),
        "bias_ih_l0": (12,),
        "bias_hh_l0": (12,),
    }


def test_called_with_the_function_it_is_the_same():
    ours = carrousel.cell(minimal_gated_unit, rows="nfm", from_x="fn", from_h="fm", states="h", name="Unit")
    assert (ours.__name__, ours.CELL.name) == ("Unit", "Unit")
    layer, other = ours(4, 6).double(), MGU(4, 6).double()
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(X)[0], other(X)[0])


def test_rows_are_fed_by_both_unless_it_is_said():
    own = carrousel.cell(lambda rows, states: (torch.tanh(rows[0] + rows[1]),), rows="ab", states="h", name="Two").CELL
    assert (own.from_x, own.from_h) == (("a", "b"), ("a", "b"))


def test_compile_may_be_said_once_for_all(monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/c++")  # which is asked for by the layers that compile, and by no other

    @carrousel.cell(rows="a", states="h", compile=True)
    def Half(rows, states):
        return (torch.tanh(rows[0] / 2),)

    with pytest.warns(carrousel.NoKernelWarning, match="nowhere"):
        Half(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Half(2, 3, compile=False)


# ---- the kernel -----------------------------------------------------------------------------------------------------

SIZES = {
    "H7_tail_only": Size(T=5, B=3, I=5, H=7),
    "H33_vectors_and_tail": Size(T=3, B=5, I=4, H=33),
    "B1": Size(T=7, B=1, I=4, H=8),
    "I65_too_wide_for_the_step": Size(T=4, B=3, I=65, H=10),
}


@needs_compiler
@names
@pytest.mark.grid(size=SIZES, way=list(WAYS))
def test_float64_equals_scan(name, size, way):
    own = fused_cell(name)
    sequence = make_sequence(own, size, way)
    assert has_kernel(own, sequence.tensors["x"])
    assert own.name not in BY_NAME
    assert_fused_is_scan(sequence)


@needs_compiler
@given(
    name=st.sampled_from(NAMES),
    size=st.builds(Size, T=st.integers(1, 9), B=st.integers(1, 9), I=st.integers(1, 20), H=st.integers(1, 40)),
    way=st.sampled_from([*WAYS, *RAGGED]),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_cell_in_any_shape_equals_scan(name, size, way, bias, seed):
    torch.manual_seed(seed)
    make = make_ragged if way in RAGGED else make_sequence
    sequence = make(fused_cell(name), size, way, Shape(bias))
    if seed % 2 and "packed" not in way:
        sequence = with_resets(sequence)
    assert_fused_is_scan(sequence)


@needs_compiler
@pytest.mark.parametrize("name", [own.name for own in AWKWARD])
def test_gradients_are_the_slopes(name):
    sequence = make_sequence(fused_cell(name), Size(T=3, B=2, I=2, H=3)).requires_grad_()
    keys = list(sequence.tensors)

    def outputs(*tensors):
        y, states = sequence.call(fused, **dict(zip(keys, tensors, strict=True)))
        return (y, *states)

    assert gradcheck(outputs, tuple(sequence.tensors.values()))
    assert gradgradcheck(outputs, tuple(sequence.tensors.values()))


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_number_of_threads_gives_the_same_bits(name, dtype):
    sequence = make_sequence(fused_cell(name), Size(T=8, B=13, I=5, H=41)).to(dtype)
    alone = run(fused, sequence, dtype)
    torch.set_num_threads(3)
    assert_same_bits(run(fused, sequence, dtype), alone)


@needs_compiler
def test_projected():
    sequence = make_sequence(fused_cell("projectable"), SIZES["H7_tail_only"], shape=Shape(projected=True))
    assert_fused_is_scan(sequence)


def test_what_reads_h_is_not_projected_however_it_reads_it():
    """A comparison with a NaN is no NaN: that it has an outcome does not say that h was not used."""
    own = carrousel.cell(
        lambda rows, states: (torch.where(states[0] > 0, rows[0], -rows[0]),), rows="a", states="h", name="Reads"
    )
    with pytest.raises(ValueError, match="proj_size=2"):
        own(3, 4, proj_size=2)


# ---- all that layers have -------------------------------------------------------------------------------------------

OPTIONS = {
    "stacked_both_ways": {"num_layers": 2, "bidirectional": True},
    "batch_first": {"batch_first": True},
    "without_biases": {"bias": False},
}


@needs_compiler
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_layers_by_kernel_equal_layers_by_scan(options):
    by_kernel, by_scan = twins(**options)
    x = X.transpose(0, 1) if options.get("batch_first") else X
    packed = pack_padded_sequence(x, torch.tensor([5, 2, 3]), options.get("batch_first", False), enforce_sorted=False)
    for given_x in (x, packed, x[0]):
        ours, theirs = (layer(given_x) for layer in (by_kernel, by_scan))
        of = [y.data if given_x is packed else y for y in (ours[0], theirs[0])]
        torch.testing.assert_close(of[0], of[1], rtol=0, atol=1e-12)
        torch.testing.assert_close(ours[1], theirs[1], rtol=0, atol=1e-12)


@needs_compiler
def test_float32_is_as_near_as_scan():
    by_kernel, by_scan = twins(num_layers=2)
    exact = by_scan(X)[0]
    errors = [(layer.float()(X.float())[0] - exact).abs().max() for layer in (by_kernel, by_scan)]
    assert errors[0] <= 4 * errors[1] + 1e-7


@needs_compiler
def test_a_stream_by_kernel_goes_on_by_scan(tmp_path):
    """Step by step it is the whole sequence, and what it saved fits the same layer without a kernel."""
    by_kernel, by_scan = twins(num_layers=2)
    with torch.no_grad():
        state = by_kernel.start(3)
        first = torch.stack([by_kernel.step(x, state) for x in X[:3]])
        assert torch.equal(first, by_kernel(X[:3])[0])
        state.save(tmp_path / "state")
        rest = by_scan.block(X[3:], carrousel.State.load(tmp_path / "state", by_scan))
        torch.testing.assert_close(torch.cat([first, rest]), by_scan(X)[0], rtol=0, atol=1e-12)


@needs_compiler
def test_torch_compile_takes_the_kernel_whole():
    torch.compiler.reset()
    by_kernel, _ = twins()
    expected = by_kernel(X)[0]
    graph = torch.compile(by_kernel, fullgraph=True, backend="aot_eager")
    y = graph(X)[0]
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    y.sum().backward()
    got = by_kernel.weight_hh_l0.grad.clone()
    by_kernel.zero_grad()
    expected.sum().backward()
    torch.testing.assert_close(got, by_kernel.weight_hh_l0.grad, rtol=0, atol=1e-12)


@needs_compiler
def test_opcheck():
    """The custom operators as they are called for a cell that they learnt of at run time."""
    torch.compiler.reset()
    check_ops(make_sequence(fused_cell("many_rows"), SIZES["H7_tail_only"]))


@needs_compiler
@pytest.mark.parametrize("way", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize("compile", [True, False])
def test_a_copy_computes_the_same_way(way, compile):
    layer = MGU(4, 6, compile=compile).double()
    twin = way(layer)
    assert twin.compiled == compile
    assert torch.equal(twin(X)[0], layer(X)[0])


@needs_compiler
def test_a_function_written_again_shares_the_kernel(capfd):
    """As a notebook does that runs its cell twice; and equations that differ in one number do not share it."""
    first = MGU(4, 6, compile=True)
    capfd.readouterr()

    def again(rows, states):
        return minimal_gated_unit(rows, states)

    options = {"rows": "nfm", "from_x": "fn", "from_h": "fm", "states": "h", "name": "MGU"}
    second = carrousel.cell(again, **options)(4, 6, compile=True)
    assert (second.compiled, second.cell) == (True, first.cell)
    assert capfd.readouterr().err == ""


@needs_compiler
def test_one_openmp_runtime():
    """The library's threads are torch's: a second runtime's would spin on the same cores.

    Libraries of other tests in this process bring runtimes of their own: they are not counted.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux lists what a process has loaded in /proc")
    if "clang" in find_compiler().version:
        pytest.skip("clang++ brings LLVM's OpenMP runtime beside torch's: docs/custom-cell.md says so")
    fused_cell(NAMES[0])
    loaded = set(re.findall(r"\S*lib(?:gomp|omp|iomp5)\S*", Path("/proc/self/maps").read_text()))
    ours = {path for path in loaded if not re.search("/(scikit_learn|sentencepiece|scipy)[^/]*libs/", path)}
    assert len(ours) <= 1, ours
