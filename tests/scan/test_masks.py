"""Random masks: the generator in torch and in C++, its statistics, and cells with masks by kernel and by scan."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import torch
from sequences import (
    CELLS,
    F32,
    F64,
    RAGGED,
    SIZES,
    WAYS,
    Sequence,
    Shape,
    assert_same_bits,
    differentiable,
    draws_of,
    make_ragged,
    make_sequence,
    run,
    with_masks,
    with_resets,
)
from torch.autograd import gradcheck, gradgradcheck
from twins import Size, assert_as_exact, assert_equal_to_1e10

from carrousel.cells import ALL
from carrousel.fused import fused, instruction_set, instruction_sets, sample_matrix, use_instruction_set
from carrousel.scan import scan
from carrousel.scan.masks import FED_BACK, MASKS, Masks, dropout_mask, sample_mask, sample_uniform, zoneout_mask

MASKED = [name for name, cell in ALL.items() if cell.masks]
TARGETS = instruction_sets() or ["none"]
TINY = Size(T=3, B=2, I=2, H=3)
SEED = torch.tensor(-6_510_615_555_426_900_571)


# ---- the generator --------------------------------------------------------------------------------------------------


def mix(z: int) -> int:
    """SplitMix64's finaliser, of the lowest 64 bits of a whole number."""
    z %= 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def by_hand(seed: int, stream: int, step: int, row: int, unit: int) -> int:
    """One number in Python's integers."""
    key = mix(mix(seed) + (stream + 1) * 0x9E3779B97F4A7C15)
    key = mix(key + step * 0xC13FA9A902A6328F + row * 0x91E10DA5C79E7B1D)
    x = (unit + key) % 2**32
    x = (x ^ x >> 16) * 0x7FEB352D % 2**32 ^ key >> 32
    return (x ^ x >> 15) * 0x846CA68B % 2**32


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63 - 1, -(2**63), SEED.item()])
@pytest.mark.parametrize(("stream", "step", "row"), [(0, 0, 0), (3, 7, 2), (500, 123_456, 2**40), (15, 2**33, 9)])
def test_numbers_by_hand(seed, stream, step, row):
    units = [0, 1, 15, 16, 1499, 2**31]
    found = sample_uniform(torch.tensor(seed), stream, step, torch.tensor([[row]]), torch.tensor(units))
    assert found.flatten().tolist() == [by_hand(seed, stream, step, row, unit) for unit in units]


@pytest.fixture
def best_afterwards():
    """Whatever a test chooses, the next one gets what was in use before."""
    before = instruction_set()
    yield
    if before:
        use_instruction_set(before)


@pytest.mark.skipif(TARGETS == ["none"], reason="built without kernels: there are no instruction sets")
@pytest.mark.grid(target=TARGETS, dtype=[F32, F64], width=[1, 3, 16, 33, 70], rate=[0.001, 0.5, 0.999])
def test_kernels_draw_the_same_numbers(target, dtype, width, rate, best_afterwards):
    use_instruction_set(target)
    masks, like = Masks(SEED, 5), torch.zeros(1, dtype=dtype)
    for rows in (torch.arange(40), torch.tensor([3, 2**40, 0, 7])):
        expected = sample_mask(masks, dropout_mask(rate), 9, 0, rows, width, like)
        assert torch.equal(sample_matrix(masks, dropout_mask(rate), 9, rows, expected.shape, like), expected)
        if rows[0] == 0:
            assert torch.equal(sample_matrix(masks, dropout_mask(rate), 9, None, expected.shape, like), expected)


def sample(**changed) -> torch.Tensor:
    """Uniform numbers in [0, 1) of 200 rows, 500 units."""
    at = {"seed": SEED, "stream": 3, "step": 11, "row": 0, "unit": 0} | changed
    rows, units = torch.arange(200)[:, None] + at["row"], torch.arange(500) + at["unit"]
    return sample_uniform(at["seed"], at["stream"], at["step"], rows, units).double() / 2**32


def test_numbers_are_spread_evenly():
    """Chi-square over 64 boxes, of the whole number and of its lower half, each time within five sigma of its mean."""
    for stream in range(4):
        u = sample(stream=stream)
        for numbers in (u, (u * 2**16) % 1):
            found = torch.histc(numbers, 64, 0, 1)
            chi_square = ((found - u.numel() / 64) ** 2 / (u.numel() / 64)).sum().item()
            assert abs(chi_square - 63) < 5 * math.sqrt(2 * 63)


NEIGHBOURS = [{"step": 12}, {"row": 1}, {"row": 16}, {"unit": 1}, {"unit": 2}, {"unit": 16}, {"unit": 64}]
NEIGHBOURS += [
    {"stream": 4},
    {"stream": 3 + MASKS},
    {"seed": SEED + 1},
    {"seed": SEED ^ (1 << 40)},
    {"step": 12, "row": 1},
]


@pytest.mark.parametrize("changed", NEIGHBOURS, ids=str)
def test_neighbours_are_independent(changed):
    """Pairs of numbers are spread evenly over 16 x 16 boxes, and so is how their bits differ."""
    first, second = sample(), sample(**changed)
    boxes = (first * 16).floor() * 16 + (second * 16).floor()
    found = torch.histc(boxes, 256, 0, 256)
    chi_square = ((found - first.numel() / 256) ** 2 / (first.numel() / 256)).sum().item()
    assert abs(chi_square - 255) < 5 * math.sqrt(2 * 255)
    bits = ((first * 2**32).long() ^ (second * 2**32).long())[..., None] >> torch.arange(8, 32) & 1
    assert (bits.double().mean((0, 1)) - 0.5).abs().max() < 5 * 0.5 / math.sqrt(first.numel())


def test_rows_of_a_large_batch_never_repeat_each_other():
    """Nor with a shift of some units, as they would if a row had 32 bits of its own."""
    rows, width, window = 30_000, 96, 64
    taken = sample_uniform(SEED, 0, 0, torch.arange(rows)[:, None], torch.arange(width)) < 2**31
    windows = taken.unfold(1, window, 1).reshape(-1, window).to(torch.int64)
    words = (windows << torch.arange(window)).sum(1)
    assert len(words.unique()) == len(words)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.95])
def test_masks_are_taken_as_often_as_asked(rate):
    masks, like = Masks(SEED), torch.zeros((), dtype=F64)
    mask = torch.stack([sample_mask(masks, dropout_mask(rate), 0, t, torch.arange(50), 40, like) for t in range(50)])
    sigma = math.sqrt(rate * (1 - rate) / mask.numel())
    assert abs((mask == 0).double().mean().item() - rate) < 5 * sigma
    assert set(mask.unique().tolist()) == {0.0, 1 / (1 - rate)}
    for of_axis in ((0, 1), (0, 2), (1, 2)):  # no unit, row or step is taken more often than the others
        spread = (mask == 0).double().mean(of_axis) - rate
        assert spread.abs().max() < 5 * math.sqrt(rate * (1 - rate) / (mask.numel() / len(spread)))


def test_a_rate_of_zero_draws_nothing():
    assert sample_mask(Masks(), dropout_mask(0.0), 0, 0, torch.arange(3), 4, torch.zeros(())) == 1
    assert sample_mask(Masks(), zoneout_mask(0.0), 0, 0, torch.arange(3), 4, torch.zeros(())) == 0


# ---- cells with masks -----------------------------------------------------------------------------------------------


def step_by_step(sequence: Sequence) -> tuple[np.ndarray, list[np.ndarray]]:
    """Every row of a dense sequence by the oracle, one step after another, each with its masks [H]."""
    cell, sampled = sequence.cell, sequence.options["masks"]
    tensors = {name: t.numpy() for name, t in sequence.tensors.items()}
    weights = {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")}
    x, like = tensors["x"], torch.zeros((), dtype=F64)
    T, B, H = *x.shape[:2], tensors["h"].shape[1]
    y, finals = np.zeros((T, B, H)), []
    for b in range(B):
        row, states = torch.tensor([b]), [tensors[name][b] for name in cell.states]
        fed_back = sample_mask(sampled, sampled.fed_back, FED_BACK, 0, row, H, like)[0].numpy()
        for t in range(T):
            masks = [
                sample_mask(sampled, mask, k, t, row, H, like)[0].numpy() for k, mask in enumerate(sampled.of_cell)
            ]
            masked = weights | {"R": weights["R"] * fed_back, "masks": masks}  # R (m h) = (R m) h
            states = oracle.STEPS[cell.name](x[t, b], states, masked)
            y[t, b] = states[0]
        finals.append(states)
    return y, [np.stack(of_state) for of_state in zip(*finals, strict=True)]


@pytest.mark.parametrize("cell", MASKED)
def test_scan_is_the_papers_equations(cell):
    sequence = with_masks(make_sequence(cell, Size(T=6, B=3, I=4, H=9)))
    y, states = sequence.call(scan)
    for found, expected in zip((y, *states), (step_by_step(sequence)[0], *step_by_step(sequence)[1]), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(WAYS))
def test_kernels_equal_scan(cell, size, way):
    sequence = with_masks(make_sequence(cell, size, way))
    assert_equal_to_1e10(run(fused, sequence, F64), run(scan, sequence, F64))


@pytest.mark.grid(cell=[*MASKED, "peephole"], size=SIZES, way=list(WAYS))
def test_kernels_round_like_scan(cell, size, way):
    assert_as_exact(draws_of(lambda: with_masks(make_sequence(cell, size, way))))


@pytest.mark.grid(cell=[*MASKED, "lstm"], way=list(RAGGED), resets=[False, True], shown=[False, True])
def test_ragged_and_parted_batches_equal_scan(cell, way, resets, shown):
    sequence = with_masks(make_ragged(cell, Size(T=9, B=7, I=4, H=19), way))
    sequence = with_resets(sequence) if resets else sequence
    sequence.options |= {"states": shown, "gates": shown}
    assert_equal_to_1e10(run(fused, sequence, F64), run(scan, sequence, F64))


@pytest.mark.grid(cell=["regularized_lstm", "lstm", "rnn_tanh"], way=list(WAYS), resets=[False, True])
def test_projections_equal_scan(cell, way, resets):
    """Of the cell with masks too, where the one of h is a constant that hides it."""
    sequence = with_masks(make_sequence(cell, Size(T=5, B=6, I=4, H=19), way, Shape(projected=True)))
    sequence = with_resets(sequence) if resets else sequence
    assert_equal_to_1e10(run(fused, sequence, F64), run(scan, sequence, F64))


@pytest.mark.parametrize("cell", MASKED)
def test_a_projection_does_not_go_with_zoneout_of_h(cell):
    sequence = make_sequence(cell, TINY, shape=Shape(projected=True))
    sequence = Sequence(sequence.cell, sequence.tensors, with_masks(make_sequence(cell, TINY)).options)
    for function in (fused, scan):
        with pytest.raises(ValueError, match=r"weights\.P is given, but the equations use h"):
            sequence.call(function)


@pytest.mark.grid(cell=[*MASKED, "lstm"], way=["plain", "packed_reverse"])
def test_gradients_are_the_slopes(cell, way):
    """gradcheck of both orders: the masks of a seed are the same at each call."""
    outputs, tensors = differentiable(with_masks(make_sequence(cell, TINY, way)))
    assert gradcheck(outputs, tensors)
    outputs, tensors = differentiable(with_masks(make_sequence(cell, Size(T=2, B=2, I=1, H=2), way)))
    assert gradgradcheck(outputs, tensors)


# Sizes that are dealt to threads by rows and by units, and one row alone.
BUSY = {
    "by_rows": Size(T=40, B=13, I=20, H=65),
    "by_units": Size(T=6, B=3, I=70, H=330),
    "alone": Size(T=50, B=1, I=3, H=20),
}


@pytest.mark.grid(cell=[*MASKED, "lstm"], size=BUSY, way=["plain", "reverse", "packed"], dtype=[F32, F64])
def test_any_number_of_threads(cell, size, way, dtype):
    sequence = with_masks(make_sequence(cell, size, way))
    alone = run(fused, sequence, dtype)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert_same_bits(run(fused, sequence, dtype), alone)


@pytest.mark.skipif(TARGETS == ["none"], reason="built without kernels: there are no instruction sets")
@pytest.mark.grid(target=TARGETS, cell=[*MASKED, "lstm"], dtype=[F32, F64], size=["H17_vector_and_tail", "B1"])
def test_every_instruction_set_draws_the_same(target, cell, dtype, size, best_afterwards):
    use_instruction_set(target)
    sequence = with_masks(make_sequence(cell, SIZES[size]))
    ours, plain = run(fused, sequence, dtype), run(scan, sequence, dtype)
    for name, expected in plain.items():
        tolerance = 1e-10 if dtype == F64 else 1e-4
        torch.testing.assert_close(ours[name], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("function", [fused, scan])
@pytest.mark.parametrize("cell", [*MASKED, "lstm"])
def test_masks_belong_to_the_callers_row(cell, function):
    """A row alone, under its number in the batch, is the row of the batch."""
    sequence = with_masks(make_sequence(cell, Size(T=6, B=4, I=3, H=10)))
    y, _ = sequence.call(function)
    names = ["x", *sequence.cell.states]
    for b in range(4):
        masks = sequence.options["masks"]._replace(row_numbers=torch.tensor([b]))
        own = {name: sequence.tensors[name].narrow(int(name == "x"), b, 1) for name in names}
        alone, _ = Sequence(sequence.cell, sequence.tensors, {"masks": masks}).call(function, **own)
        torch.testing.assert_close(alone[:, 0], y[:, b], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", [*MASKED, "lstm"])
def test_masks_come_from_the_seed(cell):
    sequence = make_sequence(cell, SIZES["H17_vector_and_tail"])
    first, again, other = (with_masks(sequence, seed=seed).call(fused)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_wrong_number_of_masks_is_refused():
    sequence = make_sequence("lstm", TINY)
    sequence.options["masks"] = Masks(SEED, of_cell=(dropout_mask(0.5),))
    for function in (fused, scan):
        with pytest.raises(ValueError, match=r"got 1 masks, the cell has \[\]"):
            sequence.call(function)
