from __future__ import annotations

from pathlib import Path

import pytest
from btf_blobs import BtfWriter

from collector.catalog.btf import Btf, KernelTypes
from collector.errors import ManifestError

KERNEL = Path("/sys/kernel/btf/vmlinux")


def test_signed_enum_has_negative_values() -> None:
    writer = BtfWriter()
    number = writer.enum("level", {"LEVEL_LOW": -2, "LEVEL_HIGH": 2}, signed=True)
    assert Btf(writer.written()).enum_values(number) == {-2: "LEVEL_LOW", 2: "LEVEL_HIGH"}


def test_unsigned_enum_reaches_the_largest_value() -> None:
    writer = BtfWriter()
    number = writer.enum("mask", {"MASK_ALL": 0xFFFFFFFF})
    assert Btf(writer.written()).enum_values(number) == {0xFFFFFFFF: "MASK_ALL"}


def test_wide_enums_keep_all_bits_and_their_sign() -> None:
    writer = BtfWriter()
    unsigned = writer.enum64("wide", {"WIDE_TOP": 1 << 63, "WIDE_ONE": 1})
    signed = writer.enum64("deep", {"DEEP_LOW": -(1 << 40), "DEEP_HIGH": 1 << 40}, signed=True)
    btf = Btf(writer.written())
    assert btf.enum_values(unsigned) == {1 << 63: "WIDE_TOP", 1: "WIDE_ONE"}
    assert btf.enum_values(signed) == {-(1 << 40): "DEEP_LOW", 1 << 40: "DEEP_HIGH"}


def test_first_of_two_names_for_a_value_counts() -> None:
    writer = BtfWriter()
    number = writer.enum("reason", {"REASON_LAST": 4, "REASON_MAX": 4})
    assert Btf(writer.written()).enum_values(number) == {4: "REASON_LAST"}


def test_blob_of_another_byte_order_is_refused_by_name() -> None:
    with pytest.raises(ManifestError, match="another byte order"):
        Btf(BtfWriter().written(order=">"))


@pytest.mark.parametrize("length", [0, 1, 23])
def test_blob_shorter_than_its_header_is_refused(length: int) -> None:
    with pytest.raises(ManifestError, match="cut short"):
        Btf(BtfWriter().written()[:length])


def test_kind_from_the_future_is_refused_not_misread() -> None:
    writer = BtfWriter()
    writer.types.append(b"\0\0\0\0" + (31 << 24).to_bytes(4, "little") + b"\0\0\0\0")
    with pytest.raises(ManifestError, match="damaged"):
        Btf(writer.written())


def test_only_enums_smaller_than_an_int_are_listed_as_small() -> None:
    writer = BtfWriter()
    writer.integer("int", 4)
    writer.enum("hint", {"HINT_NONE": 0, "HINT_SOME": 5}, size=1)
    writer.struct("owner", 4, {"hint": (2, 0)})
    writer.enum("state", {"STATE_ONE": 1})
    writer.enum("length", {"LENGTH_MAX": 9000}, size=2)
    assert KernelTypes(writer.written()).small_enums() == {"hint": 1, "length": 2}


def test_kernel_enum_is_found_by_its_whole_name() -> None:
    writer = BtfWriter()
    writer.integer("drop_reason_user", 4)
    writer.enum("drop_reason", {"DROP_NO_SOCKET": 3, "DROP_CSUM": 4})
    kernel = KernelTypes(writer.written())
    assert kernel.enum_values("drop_reason") == {3: "DROP_NO_SOCKET", 4: "DROP_CSUM"}
    assert kernel.enum_values("reason") == {}


def test_declaration_and_namesakes_do_not_hide_an_enum() -> None:
    writer = BtfWriter()
    writer.integer("drop_reason", 4)
    writer.enum("drop_reason", {})
    writer.enum64("drop_reason", {"DROP_CSUM": 1 << 40})
    assert KernelTypes(writer.written()).enum_values("drop_reason") == {1 << 40: "DROP_CSUM"}


def test_kernel_knows_its_tracepoints_by_their_typedefs() -> None:
    writer = BtfWriter()
    writer.add("typedef", "btf_trace_kfree_skb", writer.integer("int", 4))
    kernel = KernelTypes(writer.written())
    assert kernel.has_tracepoint("kfree_skb")
    assert not kernel.has_tracepoint("kfree")
    assert not kernel.has_name("trace_kfree_skb")


def test_what_was_forgotten_is_read_again_when_somebody_asks() -> None:
    writer, reads = BtfWriter(), list[int]()
    writer.integer("int", 4)

    def read() -> bytes:
        reads.append(1)
        return writer.written()

    kernel = KernelTypes(writer.written(), read)
    assert kernel.has_name("int")
    assert reads == []
    kernel.forget()
    assert kernel.data == b""
    assert kernel.has_name("int")
    assert kernel.has_name("int")
    assert reads == [1]


@pytest.mark.skipif(not KERNEL.exists(), reason="this kernel has no BTF")
def test_running_kernel_names_its_reasons_to_drop_packets() -> None:
    kernel = KernelTypes(KERNEL.read_bytes())
    reasons = kernel.enum_values("skb_drop_reason")
    assert "SKB_DROP_REASON_NO_SOCKET" in reasons.values()
    assert kernel.has_tracepoint("kfree_skb")
    assert kernel.enum_values("no_such_enum_anywhere") == {}
