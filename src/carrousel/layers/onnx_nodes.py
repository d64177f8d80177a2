"""LSTM, GRU and RNN as ONNX's own nodes, for torch.onnx.export(dynamo=True).

torch.export unrolls torch's recurrent functions into a fixed number of steps; an ONNX node takes sequences and batches
of any size. Its blocks of rows have another order: i o f c of an LSTM, z r h of a GRU.

Letters: T time, B batch, I input, H hidden units, L layers, D directions.

Source: ONNX operators LSTM, GRU and RNN, version 14.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from carrousel.cells import Cell
from carrousel.scan.weights import Weights

# For each cell: its node, the indices of the node's blocks among ours, and attributes.
NODES: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "lstm": ("LSTM", (0, 3, 1, 2), {}),
    "gru": ("GRU", (1, 0, 2), {"linear_before_reset": 1}),
    "rnn_tanh": ("RNN", (0,), {"activations": "Tanh"}),
    "rnn_relu": ("RNN", (0,), {"activations": "Relu"}),
}


def run_onnx(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: list[list[Weights]],
    dropout: float,
    batch_first: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run all layers, each as a node.

    Args:
        cell: one of NODES, without projections.
        x: [T, B, I], or [B, T, I] with `batch_first`.
        states: each [L*D, B, H].
        weights: [L][D].
        dropout: the probability that an output between two layers is zeroed.
        batch_first: whether x is [B, T, I].

    Returns:
        y as x with D*H in the last dimension, and the final states as `states`.
    """
    y = x.transpose(0, 1) if batch_first else x
    D, finals = len(weights[0]), []
    for depth, directions in enumerate(weights):
        if dropout and depth:
            y = torch.dropout(y, dropout, True)
        begin = tuple([state[depth * D : (depth + 1) * D] for state in states])
        y, final = _run_node(cell, y, begin, directions)
        finals.append(final)
    y = y.transpose(0, 1) if batch_first else y
    return y, tuple([torch.cat(of_layers) for of_layers in zip(*finals)])


def _run_node(
    cell: Cell, x: Tensor, states: tuple[Tensor, ...], directions: list[Weights]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run one layer: x [T, B, .] and states [D, B, H] -> y [T, B, D*H] and the final states."""
    name, order, attributes = NODES[cell.name]
    D, H = len(directions), directions[0].R.shape[1]
    W, R = (torch.stack([_reorder(w[k], order) for w in directions]) for k in (0, 1))
    b = None
    if directions[0].b_x is not None:
        b = torch.stack([torch.cat([_reorder(w.b_x, order), _reorder(w.b_h, order)]) for w in directions])
    attributes = dict(attributes, hidden_size=H, direction="bidirectional" if D == 2 else "forward")
    if "activations" in attributes:
        attributes["activations"] = [attributes["activations"]] * D
    y, *finals = torch.onnx.ops.symbolic_multi_out(
        name,
        (x, W, R, b, None, *states),
        attributes,
        dtypes=[x.dtype] * (1 + len(states)),
        shapes=[(x.shape[0], D, x.shape[1], H), *[(D, x.shape[1], H)] * len(states)],
        version=14,
    )
    return y.transpose(1, 2).flatten(2), tuple(finals)


def _reorder(rows: Any, order: tuple[int, ...]) -> Tensor:
    """Blocks of rows in the order of the node."""
    blocks = rows.chunk(len(order))
    return torch.cat([blocks[k] for k in order])
