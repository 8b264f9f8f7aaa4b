"""Quotes are followed in every chunking as a parser would follow them, character by character."""

from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.data.readers.faults import Faults
from holdtrue.data.readers.quotes import Quotes

TEXT = st.text(st.sampled_from('",\n xé"'), max_size=40)


def watch(pieces: list[bytes], strip: bool) -> tuple[bytes, Quotes]:
    quotes = Quotes(delimiter=",", strip=strip, faults=Faults(where="a"))
    return b"".join([*(quotes.feed(piece) for piece in pieces), quotes.finish()]), quotes


def followed(text: str, strip: bool) -> int:
    """The line of the quote that is open at the end, or 0: one character after the other."""
    state, line, opened = "start", 1, 0
    at = 0
    while at < len(text):
        character = text[at]
        line += character == "\n"
        if state == "inside":
            if character == '"' and text[at + 1 : at + 2] == '"':
                at += 1
            elif character == '"':
                state, opened = "field", 0
        elif character in ",\n":
            state = "start"
        elif state == "start" and character == '"':
            state, opened = "inside", line
        elif not (state == "start" and strip and character == " "):
            state = "field"
        at += 1
    return opened


@settings(max_examples=400, deadline=None)
@given(text=TEXT, strip=st.booleans())
def test_the_open_quote_is_the_one_a_parser_would_wait_for(text: str, strip: bool) -> None:
    _, quotes = watch([text.encode()], strip)
    opened = followed(text, strip)
    assert (quotes.opened if quotes.inside else 0) == opened
    assert any(
        f"line {opened:,}: the quote that opens here is never closed" == fault for fault in quotes.faults.shown
    ) == (opened > 0)


@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(TEXT.map(str.encode), max_size=6), strip=st.booleans())
def test_pieces_do_not_matter(pieces: list[bytes], strip: bool) -> None:
    given_text, quotes = watch(pieces, strip)
    whole_text, whole = watch([b"".join(pieces)], strip)
    assert given_text == whole_text
    assert (quotes.inside, quotes.line) == (whole.inside, whole.line)


@given(text=TEXT)
def test_nothing_is_taken_out_when_blanks_are_kept(text: str) -> None:
    assert watch([text.encode()], strip=False)[0] == text.encode()


def test_a_quote_closed_by_another_field_is_told() -> None:
    _, quotes = watch([b'a,b\n1,"x\n2,y\n3,"z\n4,r\n'], strip=True)
    assert quotes.faults.shown == [
        "line 2: the quote that opens here is closed in line 4, in the middle of a field; "
        "one of the two should not be there"
    ]
