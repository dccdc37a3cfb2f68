from hypothesis import given
from hypothesis import strategies as st

from collector.export.attribute_text import label_text, protobuf_value, valid_text


@given(st.text(alphabet=st.characters(codec=None, categories=None)))
def test_any_text_can_be_encoded(text: str) -> None:
    assert valid_text(text).encode("utf-8").decode("utf-8") == text or "?" in valid_text(text)


def test_lone_surrogates_are_replaced() -> None:
    assert valid_text("caf\udce9") == "caf?"
    assert valid_text("café ☕") == "café ☕"


def test_label_text_of_each_type() -> None:
    assert [label_text(value) for value in (True, False, 80, 1.5, "x")] == ["true", "false", "80", "1.5", "x"]


def test_integers_beyond_64_bits_become_text() -> None:
    assert protobuf_value(2**63) == str(2**63)
    assert protobuf_value(-(2**63)) == -(2**63)
    assert protobuf_value(True) is True
