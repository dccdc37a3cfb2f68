from __future__ import annotations

from collector.source.kernel_layout import mend_layout

HEADER = """enum hint {
	HINT_NONE = 0,
	HINT_SOME = 5,
};

enum hints {
	HINTS_ALL = 0,
};

struct owner {
	int first;
	long: 32;
	long: 64;
	long: 64;
	unsigned int flag: 1;
	long: 63;
};
"""


def test_small_enum_gets_its_size_and_its_namesake_does_not() -> None:
    mended = mend_layout(HEADER, {"hint": 1})
    assert "\tHINT_SOME = 5,\n} __attribute__((mode(byte)));\n" in mended
    assert "\tHINTS_ALL = 0,\n};\n" in mended
    assert "__attribute__((mode(HI)));" in mend_layout(HEADER, {"hints": 2})


def test_gaps_of_a_word_get_names_and_shorter_ones_stay() -> None:
    mended = mend_layout(HEADER, {})
    gaps = "\tunsigned long honeyguide_gap_0;\n\tunsigned long honeyguide_gap_1;\n"
    assert f"\tlong: 32;\n{gaps}\tunsigned int flag: 1;\n" in mended
    assert "\tlong: 63;\n" in mended
