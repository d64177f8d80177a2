"""A figure as the content of a PNG file, whatever the names in it are made of."""

from __future__ import annotations

import io
import warnings
from typing import Any


def to_png(figure: Any, dpi: int = 120) -> bytes:
    """The content of a picture's file.

    Labels come from people's data: $ is a currency in them and begins no formula, and a character that the font does
    not have becomes a box, without a warning.

    Args:
        figure: matplotlib's.
        dpi: pixels per inch.
    """
    from matplotlib.text import Text  # half a second to import, and only here

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(content, format="png", dpi=dpi)
    return content.getvalue()
