"""LSTM, GRU and RNN return `torch.nn`'s numbers: outputs, final states and every gradient, in float64 and float32."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from twins import KINDS, Size, assert_as_exact, assert_equal_to_1e10, draws_of, make_example, make_twins, run

SIZES = {
    "T5_B4_I6_H7": Size(T=5, B=4, I=6, H=7),
    "T1": Size(T=1, B=3, I=5, H=8),
    "B1": Size(T=6, B=1, I=4, H=9),
    "I1": Size(T=4, B=3, I=1, H=10),
    "H1": Size(T=4, B=3, I=2, H=1),
    "T1_B1_I1": Size(T=1, B=1, I=1, H=2),
    "H17_vector_and_tail": Size(T=7, B=7, I=9, H=17),
    "H40_many_vectors": Size(T=12, B=5, I=12, H=40),
}
SUMS = {
    "T100_B64_small": Size(T=100, B=64, I=3, H=5),
    "B2000_many_rows": Size(T=2, B=2000, I=3, H=5),
    "T1000_many_steps": Size(T=1000, B=2, I=3, H=5),
    "T50_B40_H64": Size(T=50, B=40, I=16, H=64),
}
STACKS = {
    "one_layer": {"num_layers": 1},
    "two_layers": {"num_layers": 2},
    "dropout_in_training": {"num_layers": 3, "dropout": 0.4},
    "all_dropped": {"num_layers": 2, "dropout": 1.0},
    "dropout_in_eval": {"num_layers": 2, "dropout": 0.4, "mode": "eval"},
}
GRID = pytest.mark.grid(
    kind=list(KINDS),
    size=SIZES,
    stack=STACKS,
    form=["batched", "unbatched", "packed_sorted", "packed_unsorted"],
    bidirectional={"forward_only": False, "both_directions": True},
    bias={"bias": True, "no_bias": False},
    batch_first={"time_first": False, "batch_first": True},
    with_hx={"hx_given": True, "hx_zero": False},
)


def make_case(kind, size, stack, form, bidirectional, bias, batch_first, with_hx):
    """Ours, theirs, and a function that makes an example for them."""
    options = stack | {"bidirectional": bidirectional, "bias": bias, "batch_first": batch_first}
    train = options.pop("mode", "train") == "train"
    ours, theirs = make_twins(kind, size, **options)
    return ours.train(train), theirs.train(train), lambda: make_example(theirs, size, form, with_hx)


@GRID
def test_float64_equals_torch(kind, size, stack, form, bidirectional, bias, batch_first, with_hx):
    ours, theirs, make = make_case(kind, size, stack, form, bidirectional, bias, batch_first, with_hx)
    example = make()
    assert_equal_to_1e10(run(ours.double(), example), run(theirs.double(), example))


@GRID
def test_float32_rounds_like_torch(kind, size, stack, form, bidirectional, bias, batch_first, with_hx):
    ours, theirs, make = make_case(kind, size, stack, form, bidirectional, bias, batch_first, with_hx)
    assert_as_exact(draws_of(ours, theirs, make))


@pytest.mark.grid(kind=list(KINDS), scale=[0.1, 5.0, 50.0])
def test_large_and_small_preactivations(kind, scale):
    """Gates that are shut or open entirely: the activations' far ends, without overflow."""
    size = Size(T=6, B=3, I=4, H=9)
    ours, theirs = make_twins(kind, size)

    def make():
        example = make_example(theirs, size)
        example.x *= scale
        return example

    assert_as_exact(draws_of(ours, theirs, make))
    example = make()
    assert_equal_to_1e10(run(ours.double(), example), run(theirs.double(), example))


@pytest.mark.parametrize("kind", KINDS)
def test_three_hundred_steps(kind):
    """Rounding that grows from step to step would show here."""
    size = Size(T=300, B=2, I=3, H=12)
    ours, theirs = make_twins(kind, size)
    assert_as_exact(draws_of(ours, theirs, lambda: make_example(theirs, size)))
    example = make_example(theirs, size)
    assert_equal_to_1e10(run(ours.double(), example), run(theirs.double(), example))


@pytest.mark.grid(kind=list(KINDS), size=SUMS)
def test_gradients_that_are_long_sums(kind, size):
    """A weight's gradient is a sum over all steps and rows: one running sum in float32 loses what torch's keep."""
    ours, theirs = make_twins(kind, size)
    assert_as_exact(draws_of(ours, theirs, lambda: make_example(theirs, size)))


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [Size(35, 20, 64, 200), Size(28, 128, 28, 128), Size(100, 1, 4, 8)], ids=str)
def test_sizes_of_real_work(kind, size):
    ours, theirs = make_twins(kind, size, num_layers=2, bidirectional=True)
    assert_as_exact(draws_of(ours, theirs, lambda: make_example(theirs, size)))
    example = make_example(theirs, size)
    assert_equal_to_1e10(run(ours.double(), example), run(theirs.double(), example))


@given(
    kind=st.sampled_from(list(KINDS)),
    size=st.builds(Size, T=st.integers(1, 9), B=st.integers(1, 9), I=st.integers(1, 12), H=st.integers(1, 40)),
    form=st.sampled_from(["batched", "unbatched", "packed_sorted", "packed_unsorted"]),
    num_layers=st.integers(1, 3),
    flags=st.tuples(*[st.booleans()] * 4),
    seed=st.integers(0, 1000),
)
def test_any_shape_equals_torch(kind, size, form, num_layers, flags, seed):
    torch.manual_seed(seed)
    bidirectional, bias, batch_first, with_hx = flags
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias, "batch_first": batch_first}
    ours, theirs = make_twins(kind, size, **options)
    example = make_example(theirs, size, form, with_hx)
    assert_equal_to_1e10(run(ours.double(), example), run(theirs.double(), example))


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_drops_in_training_only(kind):
    size = Size(T=5, B=4, I=6, H=8)
    ours, theirs = make_twins(kind, size, num_layers=2, dropout=0.5)
    example = make_example(theirs, size)
    trained, again, other = run(ours, example), run(ours, example), run(ours, example, seed=8)
    assert torch.equal(trained["y"], again["y"])
    assert not torch.equal(trained["y"], other["y"])
    plain = run(ours.eval(), example)["y"]
    assert not torch.equal(trained["y"], plain)
    assert torch.equal(plain, run(ours.eval(), example, seed=8)["y"])


@pytest.mark.parametrize("kind", KINDS)
def test_no_dropout_takes_no_random_number(kind):
    size = Size(T=3, B=2, I=3, H=4)
    ours, theirs = make_twins(kind, size, num_layers=2)
    example = make_example(theirs, size)
    run(ours, example)
    left_by_ours = torch.get_rng_state()
    run(theirs, example)
    assert torch.equal(left_by_ours, torch.get_rng_state())


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_leaves_the_generator_as_torch_does(kind):
    """The next random number of a person's program, after a training step, is the one it was with torch."""
    size = Size(T=3, B=2, I=3, H=4)
    ours, theirs = make_twins(kind, size, num_layers=3, dropout=0.3, bidirectional=True)
    example = make_example(theirs, size)
    run(ours, example)
    left_by_ours = torch.get_rng_state()
    run(theirs, example)
    assert torch.equal(left_by_ours, torch.get_rng_state())
