"""The same exceptions as `torch.nn` for the same mistakes: each is made with both libraries, what they raise compared.

Where torch's layer itself checks, the message is the same too; where torch's mistakes end in the depths of its kernels,
or in Python's own words about a call, only the type is.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from twins import TORCHS

import carrousel

ANY = (TypeError, ValueError, RuntimeError, IndexError, AttributeError)
OWN = ["PeepholeLSTM", "LSTM1997"]
X = torch.randn(5, 2, 3)
H = torch.zeros(1, 2, 4)
PACKED = pack_padded_sequence(X, torch.tensor([5, 3]))

# Each takes a layer's class.
CONSTRUCTION = {
    "input_size_0": lambda layer: layer(0, 4),
    "input_size_negative": lambda layer: layer(-3, 4),
    "input_size_float": lambda layer: layer(3.0, 4),
    "input_size_none": lambda layer: layer(None, 4),
    "hidden_size_0": lambda layer: layer(3, 0),
    "hidden_size_negative": lambda layer: layer(3, -4),
    "hidden_size_text": lambda layer: layer(3, "4"),
    "num_layers_0": lambda layer: layer(3, 4, 0),
    "num_layers_negative": lambda layer: layer(3, 4, num_layers=-1),
    "bias_int": lambda layer: layer(3, 4, bias=1),
    "bias_none": lambda layer: layer(3, 4, bias=None),
    "batch_first_text": lambda layer: layer(3, 4, batch_first="yes"),
    "dropout_2": lambda layer: layer(3, 4, 2, dropout=2),
    "dropout_negative": lambda layer: layer(3, 4, 2, dropout=-0.1),
    "dropout_nan": lambda layer: layer(3, 4, 2, dropout=float("nan")),
    "dropout_bool": lambda layer: layer(3, 4, 2, dropout=True),
}
CONSTRUCTION_BY_TYPE = {
    "num_layers_float": lambda layer: layer(3, 4, 1.5),
    "num_layers_text": lambda layer: layer(3, 4, "2"),
    "dropout_none": lambda layer: layer(3, 4, 2, dropout=None),
    "dropout_text": lambda layer: layer(3, 4, 2, dropout="half"),
    "unknown_argument": lambda layer: layer(3, 4, hidden=4),
    "no_hidden_size": lambda layer: layer(3),
    "integer_weights": lambda layer: layer(3, 4, dtype=torch.int64),
    "unknown_device": lambda layer: layer(3, 4, device="abacus"),
}
SPECIAL = {
    "proj_size_negative": lambda library: library.LSTM(3, 4, proj_size=-1),
    "proj_size_equals_hidden": lambda library: library.LSTM(3, 4, proj_size=4),
    "proj_size_above_hidden": lambda library: library.LSTM(3, 4, proj_size=9),
    "proj_size_of_gru": lambda library: library.GRU(3, 4, proj_size=2),
    "proj_size_of_rnn": lambda library: library.RNN(3, 4, proj_size=2),
    "nonlinearity_unknown": lambda library: library.RNN(3, 4, nonlinearity="sigmoid"),
    "nonlinearity_by_position": lambda library: library.RNN(3, 4, 1, "gelu"),
    "nonlinearity_none": lambda library: library.RNN(3, 4, nonlinearity=None),
}


def states(layer, h, c=None):
    """h, or (h, c) for an LSTM."""
    return (h, h if c is None else c) if "LSTM" in type(layer).__name__ else h


# Each takes a layer of 3 inputs and 4 units.
INPUT = {
    "x_0d": lambda layer: layer(torch.tensor(1.0)),
    "x_1d": lambda layer: layer(torch.randn(3)),
    "x_4d": lambda layer: layer(torch.randn(1, 5, 2, 3)),
    "x_too_narrow": lambda layer: layer(torch.randn(5, 2, 2)),
    "x_too_wide": lambda layer: layer(torch.randn(5, 2, 4)),
    "x_unbatched_too_wide": lambda layer: layer(torch.randn(5, 4)),
    "x_float64": lambda layer: layer(X.double()),
    "x_int64": lambda layer: layer(X.long()),
    "x_complex": lambda layer: layer(X.to(torch.complex64)),
    "hx_one_row_more": lambda layer: layer(X, states(layer, torch.zeros(1, 3, 4))),
    "hx_one_unit_less": lambda layer: layer(X, states(layer, torch.zeros(1, 2, 3))),
    "hx_one_layer_more": lambda layer: layer(X, states(layer, torch.zeros(2, 2, 4))),
    "hx_unbatched_for_batched": lambda layer: layer(X, states(layer, H[:, 0])),
    "hx_batched_for_unbatched": lambda layer: layer(X[:, 0], states(layer, H)),
    "hx_4d": lambda layer: layer(X, states(layer, H[None])),
    "batch_first_confused": lambda layer: layer(X, states(layer, torch.zeros(1, 5, 4))),
}
INPUT_BY_TYPE = {
    "no_steps": lambda layer: layer(torch.randn(0, 2, 3)),
    "x_none": lambda layer: layer(None),
    "x_list": lambda layer: layer([[1.0, 2.0, 3.0]]),
    "x_numpy": lambda layer: layer(X.numpy()),
    "no_x": lambda layer: layer(),
    "one_argument_too_many": lambda layer: layer(X, None, None),
    "unknown_argument": lambda layer: layer(X, h0=H),
    "hx_float64": lambda layer: layer(X, states(layer, H.double())),
    "hx_on_another_device": lambda layer: layer(X, states(layer, H.to("meta"))),
    "x_on_another_device": lambda layer: layer(X.to("meta")),
    "packed_too_wide": lambda layer: layer(pack_padded_sequence(torch.randn(5, 2, 4), torch.tensor([5, 3]))),
    "packed_float64": lambda layer: layer(PACKED.double()),
    "packed_hx_one_row_more": lambda layer: layer(PACKED, states(layer, torch.zeros(1, 3, 4))),
    "packed_hx_one_row_less": lambda layer: layer(PACKED, states(layer, torch.zeros(1, 1, 4))),
    "packed_hx_float64": lambda layer: layer(PACKED, states(layer, H.double())),
    "load_nothing": lambda layer: layer.load_state_dict({}),
    "load_another_size": lambda layer: layer.load_state_dict(type(layer)(3, 5).state_dict()),
    "load_one_weight_too_many": lambda layer: layer.load_state_dict(layer.state_dict() | {"weight": H}),
    "a_tensor_for_a_parameter": lambda layer: setattr(layer, "weight_hh_l0", H),
}
LSTM_STATES = {
    "c_one_row_more": lambda layer: layer(X, (H, torch.zeros(1, 3, 4))),
    "c_one_unit_more": lambda layer: layer(X, (H, torch.zeros(1, 2, 5))),
    "c_2d": lambda layer: layer(X, (H, H[0])),
    "h_2d_c_3d_unbatched": lambda layer: layer(X[:, 0], (H[0], H)),
}
LSTM_STATES_BY_TYPE = {
    "h_without_c": lambda layer: layer(X, H),
    "h_alone_in_a_tuple": lambda layer: layer(X, (H,)),
    "three_states": lambda layer: layer(X, (H, H, H)),
    "none_states": lambda layer: layer(X, (None, None)),
    "c_of_another_type": lambda layer: layer(X, (H, H.double())),
}
H_STATES_BY_TYPE = {
    "two_states": lambda layer: layer(X, (H, H)),
    "a_list": lambda layer: layer(X, [H]),
}


def error_of(mistake, subject) -> Exception:
    """What a mistake raises."""
    with pytest.raises(ANY) as caught:
        mistake(subject)
    return caught.value


def assert_same_error(mistake, ours, theirs, words: bool = True) -> None:
    got, expected = error_of(mistake, ours), error_of(mistake, theirs)
    assert type(got) is type(expected), f"{got!r} instead of {expected!r}"
    assert not words or str(got) == str(expected)


@pytest.mark.parametrize("mistake", CONSTRUCTION)
@pytest.mark.parametrize("name", TORCHS)
def test_construction(name, mistake):
    assert_same_error(CONSTRUCTION[mistake], getattr(carrousel, name), getattr(torch.nn, name))


@pytest.mark.parametrize("mistake", CONSTRUCTION_BY_TYPE)
@pytest.mark.parametrize("name", TORCHS)
def test_construction_by_type(name, mistake):
    ours, theirs = getattr(carrousel, name), getattr(torch.nn, name)
    assert_same_error(CONSTRUCTION_BY_TYPE[mistake], ours, theirs, words=False)


@pytest.mark.parametrize("mistake", SPECIAL)
def test_options_of_one_layer(mistake):
    assert_same_error(SPECIAL[mistake], carrousel, torch.nn)


@pytest.mark.parametrize("mistake", INPUT)
@pytest.mark.parametrize("name", TORCHS)
def test_input(name, mistake):
    assert_same_error(INPUT[mistake], getattr(carrousel, name)(3, 4), getattr(torch.nn, name)(3, 4))


@pytest.mark.parametrize("mistake", INPUT_BY_TYPE)
@pytest.mark.parametrize("name", TORCHS)
def test_input_by_type(name, mistake):
    ours, theirs = getattr(carrousel, name)(3, 4), getattr(torch.nn, name)(3, 4)
    assert_same_error(INPUT_BY_TYPE[mistake], ours, theirs, words=False)


@pytest.mark.parametrize("mistake", LSTM_STATES)
def test_states_of_the_lstm(mistake):
    assert_same_error(LSTM_STATES[mistake], carrousel.LSTM(3, 4), torch.nn.LSTM(3, 4))


@pytest.mark.parametrize("mistake", LSTM_STATES_BY_TYPE)
def test_states_of_the_lstm_by_type(mistake):
    assert_same_error(LSTM_STATES_BY_TYPE[mistake], carrousel.LSTM(3, 4), torch.nn.LSTM(3, 4), words=False)


@pytest.mark.parametrize("mistake", H_STATES_BY_TYPE)
@pytest.mark.parametrize("name", ["GRU", "RNN"])
def test_states_of_h_alone_by_type(name, mistake):
    ours, theirs = getattr(carrousel, name)(3, 4), getattr(torch.nn, name)(3, 4)
    assert_same_error(H_STATES_BY_TYPE[mistake], ours, theirs, words=False)


def test_projected_states():
    """h has proj_size units, c hidden_size; each the other's is a mistake."""
    ours, theirs = (library.LSTM(3, 4, proj_size=2) for library in (carrousel, torch.nn))
    small = torch.zeros(1, 2, 2)
    for hx in [(H, H), (small, small), (H, small)]:
        assert_same_error(lambda layer, hx=hx: layer(X, hx), ours, theirs)


@pytest.mark.parametrize("mistake", CONSTRUCTION)
@pytest.mark.parametrize("name", OWN)
def test_our_own_cells_take_the_same_care_of_construction(name, mistake):
    assert_same_error(CONSTRUCTION[mistake], getattr(carrousel, name), torch.nn.LSTM)


@pytest.mark.parametrize("mistake", INPUT | LSTM_STATES)
@pytest.mark.parametrize("name", OWN)
def test_our_own_cells_take_the_same_care_of_input(name, mistake):
    """The words may name the class: only that differs."""
    ours, theirs = getattr(carrousel, name)(3, 4), torch.nn.LSTM(3, 4)
    got, expected = (error_of((INPUT | LSTM_STATES)[mistake], layer) for layer in (ours, theirs))
    assert type(got) is type(expected)
    assert str(got).replace(name, "LSTM") == str(expected)


@pytest.mark.parametrize("name", [*TORCHS, *OWN])
def test_weights_that_do_not_fit_are_refused(name):
    """A parameter replaced by one of another shape: torch.nn reads beyond its end; an error is wanted here."""
    layer = getattr(carrousel, name)(3, 4)
    layer.weight_hh_l0 = torch.nn.Parameter(torch.zeros(4, 4)[:2])
    assert isinstance(error_of(lambda layer: layer(X), layer), (ValueError, RuntimeError))


@pytest.mark.parametrize("name", [*TORCHS, *OWN])
def test_packed_data_that_does_not_fit_is_refused(name):
    """Batch sizes made by hand that add up to more rows than there are: nothing is read beyond the end."""
    layer = getattr(carrousel, name)(3, 4)
    for batch_sizes in ([2, 2, 2, 2, 2], [2, 1, 2, 2, 1]):
        packed = PackedSequence(torch.randn(8, 3), torch.tensor(batch_sizes))
        assert isinstance(error_of(lambda layer, packed=packed: layer(packed), layer), (ValueError, RuntimeError))


@pytest.mark.parametrize("name", [*TORCHS, *OWN])
def test_a_layer_works_after_a_mistake(name):
    layer = getattr(carrousel, name)(3, 4)
    before = layer(X)[0]
    for mistake in (*INPUT.values(), *INPUT_BY_TYPE.values()):
        error_of(mistake, layer)
    assert torch.equal(layer(X)[0], before)
