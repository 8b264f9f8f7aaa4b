"""Finds quotes that are never closed, before a parser lets them swallow the rows that follow.

A parser that meets `1,"x` reads on to the next quote, through line breaks, and the rows between are gone without a
word. Here every quote is looked at: it opens a field at the field's start, closes it before a delimiter, is doubled
inside, and is a plain character elsewhere. Text that keeps to this is checked with array operations.

Blanks between a delimiter and the quote after it (`1, "x, y"`) are taken out on the way, or a parser takes that quote
for a plain character.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8

from holdtrue.data.readers.faults import Faults

QUOTE = ord('"')
BREAKS = b"\r\n"


@dataclass(kw_only=True, slots=True)
class Quotes:
    """Watches UTF-8 text go by and tells `faults` which quotes are wrong; while one is open, `opened` is its line."""

    delimiter: str
    strip: bool
    faults: Faults
    inside: bool = False
    opened: int = 0
    line: int = 1
    before: int = BREAKS[1]  # the byte before the next piece
    held: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Take a piece; give what can be parsed. What its meaning depends on the next piece is held back."""
        data = self.held + data
        kept = data.rstrip(b'" \t' + self.delimiter.encode())
        self.held = data[len(kept) :]
        return self.checked(kept)

    def finish(self) -> bytes:
        data, self.held = self.checked(self.held), b""
        if self.inside:
            self.faults.add(f"line {self.opened:,}: the quote that opens here is never closed")
        return data

    def checked(self, data: bytes) -> bytes:
        if not data:
            return data
        text = np.frombuffer(data, dtype=np.uint8)
        quotes = np.flatnonzero(text == QUOTE)
        given = data
        if len(quotes) and not self.orderly(text, quotes):
            given = self.walk(data, text, quotes)
        self.line += data.count(b"\n")
        self.before = data[-1]
        return given

    def orderly(self, text: UInt8[np.ndarray, " bytes"], quotes: Int64[np.ndarray, " quotes"]) -> bool:
        """Whether every quote opens after, and closes before, a delimiter, a line break or another quote.

        If so, the state after this piece is kept; a doubled quote inside a field closes it and opens it again.
        """
        border = np.zeros(256, dtype=bool)
        border[[QUOTE, *BREAKS, ord(self.delimiter)]] = True
        ahead = np.append(text, np.uint8(BREAKS[1]))[quotes + 1]
        behind = np.append(np.uint8(self.before), text)[quotes]
        opens = (np.arange(len(quotes)) + self.inside) % 2 == 0
        if not border[np.where(opens, behind, ahead)].all():
            return False
        starts = quotes[opens & (behind != QUOTE)]
        if len(starts):
            self.opened = self.line + int(np.count_nonzero(text[: starts[-1]] == BREAKS[1]))
        self.inside = bool((len(quotes) + self.inside) % 2)
        return True

    def walk(self, data: bytes, text: UInt8[np.ndarray, " bytes"], quotes: Int64[np.ndarray, " quotes"]) -> bytes:
        """Look at quote after quote, as the parser would; give the text without blanks before opening quotes."""
        lines = self.line + np.searchsorted(np.flatnonzero(text == BREAKS[1]), quotes)
        pieces: list[bytes] = []
        done = 0
        index = 0
        while index < len(quotes):
            place, line = int(quotes[index]), int(lines[index])
            index += 1
            if not self.inside:
                start = self.field_start(data, place)
                if start is not None:
                    pieces.append(data[done:start])
                    done, self.inside, self.opened = place, True, line
            elif index < len(quotes) and quotes[index] == place + 1:
                index += 1
            else:
                self.inside = False
                self.close(data, place, line)
        return b"".join([*pieces, data[done:]])

    def field_start(self, data: bytes, place: int) -> int | None:
        """Where the field starts whose first character is this quote, or None when the quote is inside a field."""
        start = place
        blanks = b" \t".replace(self.delimiter.encode(), b"") if self.strip else b""
        while start and data[start - 1] in blanks:
            start -= 1
        last = data[start - 1] if start else self.before
        return start if last in (*BREAKS, ord(self.delimiter)) else None

    def close(self, data: bytes, place: int, line: int) -> None:
        """Find fault with a field that spans lines and goes on after its closing quote: it closed another's quote."""
        borders = (*BREAKS, ord(self.delimiter))
        end = next((at for at in range(place + 1, len(data)) if data[at] in borders), len(data))
        if line > self.opened and data[place + 1 : end].strip():
            self.faults.add(
                f"line {self.opened:,}: the quote that opens here is closed in line {line:,}, "
                f"in the middle of a field; one of the two should not be there"
            )
