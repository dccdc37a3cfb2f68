"""One segment of a URL path: a word of the API, or a value that stands for `:id`. By its form alone, without configuration.

The placeholder is `:id`, because `*`, `{id}` and `<id>` would have to be escaped in a PromQL or RE2 matcher, or mean
something else there; a colon means nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

PLACEHOLDER = ":id"
SEGMENT_LENGTH_MAX = 64
WORD_LENGTH_MAX = 32
SLUG_WORDS = 5  # how-to-bake-a-cake
EXTENSIONS = frozenset((
    "aac", "apk", "asp", "aspx", "atom", "avi", "avif", "bin", "bmp", "br", "bz2", "cgi", "class", "css", "csv", "dat", "deb",
    "dll", "doc", "docx", "eot", "exe", "flac", "gif", "git", "gz", "htm", "html", "ico", "ics", "iso", "jar", "jpeg", "jpg",
    "js", "json", "jsp", "jsx", "less", "log", "m3u8", "m4a", "m4s", "map", "md", "mjs", "mov", "mp3", "mp4", "mpd", "mpg",
    "otf", "pdf", "pem", "php", "png", "ppt", "pptx", "ps", "rar", "rdf", "rpm", "rss", "rtf", "scss", "sig", "sql", "svg",
    "swf", "tar", "tgz", "tif", "tiff", "ts", "tsv", "tsx", "ttf", "txt", "wasm", "wav", "weba", "webm", "webp", "whl", "woff",
    "woff2", "xhtml", "xls", "xlsx", "xml", "xz", "yaml", "yml", "zip", "zst",
))  # fmt: skip

VALUE = re.compile(
    r"""[-+]?\d+(?:[.,:;_/x-]\d+)*                                       # number, list, address, release, date, size
    | \d{4}-\d\d-\d\d[T_ ].*                                            # moment
    | \{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\}?               # UUID
    | (?:0x)?(?=[a-f]*\d)[0-9a-f]{8,} | [0-9a-f]{16,}                   # hash
    | .*%[0-9a-f]{2}.*                                                  # escaped: free text
    | .*[^\x21-\x7e].*
    | [@~].+ | .+@.+                                                    # user, e-mail address
    | eyJ[\w-]{10,}(?:\.[\w-]*)*                                        # JSON web token
    | [\w+/-]{6,}={1,2}                                                 # base64
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
RELEASE = re.compile(r"v\d{1,3}(?:[._]\d{1,3}){0,3}(?:(?:alpha|beta|rc|pre|preview)\d{0,3})?", re.IGNORECASE)
PLAIN_WORD = re.compile(r"[A-Za-z]{1,16}")
SEPARATORS = re.compile(r"[-_.~,+!$']+")
WITH_ARGUMENT = re.compile(r"([A-Za-z]\w*)\(.*\)")  # OData: Products(42)
FILE = re.compile(r"(.+)\.([A-Za-z0-9]{1,5})")
ASSIGNMENT = re.compile(r"([A-Za-z_]\w{0,31})=(.*)")
WITH_VERB = re.compile(r"([^:]+):([A-Za-z]{2,32})")  # Google's custom methods: 123:cancel
VOWELS = frozenset("aeiouyAEIOUY")


@lru_cache(maxsize=16_384)
def read_segment(segment: str) -> str:
    """The segment itself when it is a word of the API, otherwise what stands for it: `:id`, `:id.js`, `name=:id`, ..."""
    if PLAIN_WORD.fullmatch(segment) or RELEASE.fullmatch(segment):
        return segment
    if len(segment) > SEGMENT_LENGTH_MAX or VALUE.fullmatch(segment):
        return PLACEHOLDER
    for form, read in COMPOSED:
        found = form.fullmatch(segment)
        if found:
            return read(found)
    return PLACEHOLDER if is_value(segment, shortest_random=8) else segment


def is_value(text: str, shortest_random: int) -> bool:
    """Whether one of the parts of `text` is an identifier, or all together are the title of something."""
    if VALUE.fullmatch(text):
        return True
    parts = [part for part in SEPARATORS.split(text) if part]
    words = sum(part.isalpha() for part in parts)
    beside_letters = not all(part.isdigit() for part in parts)
    return words >= SLUG_WORDS or any(_is_value_part(part, beside_letters, shortest_random) for part in parts)


def _is_value_part(part: str, beside_letters: bool, shortest_random: int) -> bool:
    if part.isdigit():
        return len(part) >= 3 or not beside_letters  # blue-shirt-1234, but utf-8 and covid-19
    if part.isalpha():
        return len(part) > WORD_LENGTH_MAX or _is_random_letters(part, shortest_random)
    if VALUE.fullmatch(part):
        return True
    digits = sum(letter.isdigit() for letter in part)
    return digits >= 4 or _changes(part) * 2 >= max(len(part), shortest_random)


def _is_random_letters(part: str, shortest_random: int) -> bool:
    """Upper and lower case without order, or hardly a vowel in a long part."""
    if len(part) < shortest_random:
        return False
    if _changes(part) >= 0.6 * len(part):
        return True
    return len(part) >= 20 and sum(letter in VOWELS for letter in part) < 0.2 * len(part)


def _changes(part: str) -> int:
    """How often lower case, upper case and digits follow one another: twice per hump of camelCase, all the time in base64."""
    kinds = [0 if letter.isdigit() else 1 if letter.islower() else 2 for letter in part]
    return sum(one != other for one, other in pairwise(kinds))


def _read_file(found: re.Match[str]) -> str:
    stem, extension = found[1], found[2]
    if extension.lower() not in EXTENSIONS:
        return PLACEHOLDER if is_value(found[0], shortest_random=8) else found[0]
    return f"{PLACEHOLDER}.{extension}" if is_value(stem, shortest_random=6) or _has_short_hash(stem) else found[0]


def _has_short_hash(stem: str) -> bool:
    """main.4f3a2b.js"""
    parts = SEPARATORS.split(stem)
    return any(len(part) >= 6 and not part.isalpha() and set(part) <= set("0123456789abcdef") for part in parts[1:])


def _read_verb(found: re.Match[str]) -> str:
    return f"{read_segment(found[1])}:{found[2]}"


def _read_assignment(found: re.Match[str]) -> str:
    return f"{found[1]}={read_segment(found[2]) if found[2] else ''}"


COMPOSED = (
    (WITH_ARGUMENT, lambda found: found[1] + PLACEHOLDER),
    (ASSIGNMENT, _read_assignment),
    (WITH_VERB, _read_verb),
    (FILE, _read_file),
)
