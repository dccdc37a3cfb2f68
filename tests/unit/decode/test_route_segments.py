"""Segments: words of an API stay, values become placeholders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.route_segments import read_segment

WORDS = """
users orders v1 v2beta1 v1.2 hello.world index.html logo.png app.min.js utf-8 covid-19 oauth2 sha256 k8s i18n base64url x86_64
getV2Users OAuth2Callback convertToMp3 reset-password-confirm forgot_my_password healthz .well-known robots.txt favicon.ico
wp-login.php batchGet things:batchGet api graphql s3 step-2 mp4 2fa getUserByIdAsDto sitemap.xml xmlhttprequest _next
nginx_status phpMyAdmin actuator openapi.json acme-challenge sign-in a openid-configuration node_exporter chunk-vendors.js
area51 hot100 css2 Account.Login users.list v1alpha3 internationalization
"""
VALUES = """
1 123456 -5 2024-01-31 20240131 2024-01-31T10:00:00Z 550e8400-e29b-41d4-a716-446655440000 550E8400E29B41D4A716446655440000
deadbeef01 0xdeadbeef1 da39a3ee5e6b4b0d3255bfef95601890afd80709 507f1f77bcf86cd799439011 01ARZ3NDEKTSV4RRFFQ69G5FAV
0ujtsYcgvSTl8PAuAdqWYSMnLOv V1StGXR8_Z5jdHi6B-myT cus_9s6XKzkNRiz8i3 dQw4w9WgXcQ xK9pQ2mN a1b2c3d4 user1234 order-99123
a@b.com bob%40x.org @alice ~bob how-to-bake-a-cake-today blue-shirt-1234 10.0.0.1 1,2,3 52.5,13.4 1.2.3 100x200
eyJhbGciOiJIUzI1NiJ9.e30.abc QWxhZGRpbjpvcGVuIHNlc2FtZQ== M%C3%BCller ObjectId-507f1f77 abcdefghijklmnopqrstuvwxyzabcdefghijklm
"""


@pytest.mark.parametrize("word", WORDS.split())
def test_words_stay(word: str) -> None:
    assert read_segment(word) == word


@pytest.mark.parametrize("value", VALUES.split())
def test_values_become_a_placeholder(value: str) -> None:
    assert read_segment(value) == ":id"


@pytest.mark.parametrize(
    ("segment", "template"),
    [
        ("123:cancel", ":id:cancel"),
        ("app.3f2a9c1b.js", ":id.js"),
        ("main-4f3a2b.css", ":id.css"),
        ("index-BxY7kP_2.js", ":id.js"),
        ("IMG_2043.jpg", ":id.jpg"),
        ("123.jpg", ":id.jpg"),
        ("dt=2024-01-01", "dt=:id"),
        ("region=europe", "region=europe"),
        ("Products(42)", "Products:id"),
    ],
)
def test_what_is_around_a_value_stays(segment: str, template: str) -> None:
    assert read_segment(segment) == template


@given(st.uuids(), st.integers(0), st.binary(min_size=8, max_size=32))
def test_uuids_numbers_and_hashes_are_never_words(identifier: object, number: int, digest: bytes) -> None:
    assert read_segment(str(identifier)) == read_segment(str(number)) == ":id"
    if any(letter.isdigit() for letter in digest.hex()):
        assert read_segment(digest.hex()) == ":id"


@given(st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    assert len(read_segment(text)) <= 70
