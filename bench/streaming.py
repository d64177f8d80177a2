"""`carrousel bench streaming` with one more rival: ONNX Runtime."""

from __future__ import annotations

from carrousel.bench.streaming import Rivals

NO_ONNX = 'ONNX Runtime is not installed, and left out (pip install "carrousel[bench]")'


def import_onnx() -> Rivals | None:
    """ONNX Runtime as a rival, if its packages are installed."""
    try:
        from bench.rivals.streaming_onnx import new_calls
    except ImportError:
        return None
    return lambda layer, x: dict(new_calls(layer, x.numpy()))
