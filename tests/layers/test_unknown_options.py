"""An option that a layer has not: the error names the layer, the option, and who has it, or the nearest."""

from __future__ import annotations

import pytest

import carrousel
from carrousel import odyssey
from carrousel.cells import ALL
from carrousel.layers.options import list_arguments


@carrousel.cell(rows="a", states="h")
def Mine(rows, states):
    return (rows[0].tanh(),)


LAYERS = {name: getattr(carrousel, name) for name in carrousel.layers.__all__ if name not in ("State", "Recurrent")}
LAYERS |= {name: getattr(odyssey, name) for name in odyssey.__all__} | {"Mine": Mine}
MASKS = ("recurrent_dropout", "variational_dropout", "zoneout", "drop_connect")
SOME = {"num_heads": ("SLSTM", "MLSTM"), "nonlinearity": ("RNN",), "compile": ("Mine", *odyssey.__all__)}
SOME |= {"chunk_size": ("MLSTM",)} | dict.fromkeys(MASKS, ("LSTM", "GRU"))
WITHOUT = [(name, option) for option, having in SOME.items() for name in LAYERS if name not in having]


@pytest.mark.parametrize(("name", "option"), WITHOUT)
def test_options_of_other_layers(name, option):
    with pytest.raises(
        TypeError, match=rf"^{name} has no option {option} \(given: {option}=1\); .* ha(s|ve) it: "
    ) as told:
        LAYERS[name](4, 8, **{option: 1})
    assert all(having in str(told.value) for having in SOME[option] if option != "compile")


@pytest.mark.parametrize("name", LAYERS)
def test_the_nearest_option_is_named(name):
    with pytest.raises(TypeError, match=f"^{name} has no option dropuot .*; did you mean dropout?"):
        LAYERS[name](4, 8, dropuot=0.1)
    with pytest.raises(TypeError, match=f"^{name} has no option colour .*; its options are input_size, hidden_size, "):
        LAYERS[name](4, 8, colour="red")


@pytest.mark.parametrize(
    ("given", "meant"), [("zonout", "zoneout"), ("initialize", "initialise"), ("bidirectionl", "bidirectional")]
)
def test_spelt_wrongly(given, meant):
    with pytest.raises(TypeError, match=f"^LSTM has no option {given} .*did you mean {meant}"):
        carrousel.LSTM(4, 8, **{given: 0.1})


def test_recurrent_itself():
    with pytest.raises(TypeError, match=r"^Recurrent has no option zoneout .*LSTM and GRU have it"):
        carrousel.Recurrent(ALL["lstm"], 4, 8, zoneout=0.1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", LAYERS)
def test_every_option_is_known(name):
    """And a layer is made with each: none is named that it does not take."""
    options = list_arguments(LAYERS[name])
    assert options[:3] == ["input_size", "hidden_size", "num_layers"]
    for option in set(options) & {"batch_first", "learn_initial"}:
        LAYERS[name](4, 8, **{option: True})


@pytest.mark.parametrize("name", ["GRU", "RNN"])
@pytest.mark.parametrize("arguments", [(3,), (3, 4, 1, "tanh", True, False, 0.0, False, 0, None, None, 1)])
def test_too_few_and_too_many_by_position(name, arguments):
    with pytest.raises(TypeError, match=rf"^{name}.__init__\(\)"):
        LAYERS[name](*arguments)


@pytest.mark.parametrize("name", ["GRU", "RNN", "LSTM"])
def test_twice(name):
    with pytest.raises(TypeError, match=rf"^{name}.__init__\(\) got multiple values for argument 'num_layers'"):
        LAYERS[name](3, 4, 1, num_layers=2)
