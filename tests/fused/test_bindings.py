"""What Python and the extension agree on: the fields of the named tuples that bindings/module.cpp reads."""

import re
from pathlib import Path

import pytest

from carrousel.fused.call import MaskNumbers, MasksOfCall
from carrousel.fused.plan import Sizes
from carrousel.scan import Rows, Weights

TEXT = (Path(__file__).parents[2] / "bindings" / "module.cpp").read_text(encoding="utf-8")


@pytest.mark.parametrize("fields", [Sizes, Rows, Weights, MaskNumbers, MasksOfCall], ids=lambda fields: fields.__name__)
def test_named_tuples_have_the_fields_that_the_extension_reads(fields):
    listed = re.search(rf"enum class {fields.__name__} {{([^}}]*)}}", TEXT)
    assert listed is not None, f"module.cpp reads no {fields.__name__}"
    assert tuple(re.findall(r"\w+", listed[1])) == fields._fields
