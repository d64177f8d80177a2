"""An LSTM in ONNX Runtime, one thread, in float32 and with int8 weights (DynamicQuantizeLSTM): rivals of streaming.

Importing this needs the packages onnx and onnxruntime.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx  # type: ignore[import-not-found]
import onnxruntime  # type: ignore[import-not-found]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper  # type: ignore[import-not-found]
from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-not-found]

from carrousel.layers import LSTM

ORDER = [0, 3, 1, 2]  # ONNX's gates are i o f c; torch's, and ours, i f g o


def model(layer: LSTM, T: int) -> bytes:
    """x [T, 1, I], h and c [1, 1, H] -> y [T, 1, 1, H], h and c, with the weights of a layer like torch.nn.LSTM's."""
    I, H = layer.input_size, layer.hidden_size
    weights = {name: tensor.detach().numpy() for name, tensor in layer.state_dict().items()}

    def blocks(name: str) -> NDArray:
        return np.concatenate([np.split(weights[name], 4)[k] for k in ORDER])

    biases = np.concatenate([blocks("bias_ih_l0"), blocks("bias_hh_l0")])
    constants = {"W": blocks("weight_ih_l0"), "R": blocks("weight_hh_l0"), "B": biases}
    node = helper.make_node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["y", "h_new", "c_new"], hidden_size=H)
    graph = helper.make_graph(
        [node],
        "lstm",
        [_value("x", T, 1, I), _value("h", 1, 1, H), _value("c", 1, 1, H)],
        [_value("y", T, 1, 1, H), _value("h_new", 1, 1, H), _value("c_new", 1, 1, H)],
        [numpy_helper.from_array(array[None].copy(), name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 14)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def _value(name: str, *shape: int):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def quantized(of: bytes) -> bytes:
    """A model whose LSTM has int8 weights, with a scale for each row."""
    logging.getLogger().setLevel(logging.ERROR)  # it advises a pre-processing that changes nothing here
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        quantize_dynamic(onnx.load_from_string(of), file, weight_type=QuantType.QInt8, per_channel=True)
        return file.read_bytes()


def new_calls(layer: LSTM, x: NDArray) -> dict[str, Callable[[], NDArray]]:
    """Functions that run a layer over x [T, 1, I], carry its states from call to call, and return y [T, H]."""
    exact = model(layer, len(x))
    return {
        "ONNX Runtime": new_call(exact, layer.hidden_size, x),
        "ONNX Runtime, int8": new_call(quantized(exact), layer.hidden_size, x),
    }


def new_call(model: bytes, H: int, x: NDArray) -> Callable[[], NDArray]:
    """A function that runs a model; as those of `new_calls`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    states = [np.zeros((1, 1, H), np.float32)] * 2

    def run() -> NDArray:
        y, *states[:] = session.run(None, {"x": x, "h": states[0], "c": states[1]})
        return y[:, 0, 0]

    return run
