"""Bits and Exp-Golomb numbers of the headers of video codecs."""

from __future__ import annotations


class NotProven(Exception):
    """Why every frame must be decoded: a file has something that is not followed here."""


class BitsEnd(NotProven):
    """There are no more bits."""

    def __init__(self) -> None:
        super().__init__("a header ends too early")


class Bits:
    """Reads from the first bit on. All raise NotProven where the bytes end or make no sense."""

    __slots__ = ("_left", "_value")

    def __init__(self, data: bytes, *, escaped: bool = True) -> None:
        """`data`: as it lies in the file; `escaped`: as NAL units of H.264 and HEVC are."""
        # Two zero bytes and a 3 stand for two zero bytes.
        plain = data.replace(b"\0\0\3", b"\0\0") if escaped else data
        self._value = int.from_bytes(plain, "big")
        self._left = len(plain) * 8

    def u(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        self._left -= count
        if self._left < 0:
            raise BitsEnd
        return (self._value >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        """An unsigned Exp-Golomb number."""
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        self._left -= 2 * zeros + 1
        if self._left < 0 or zeros > 31:
            raise BitsEnd
        return (rest >> self._left) - 1

    def se(self) -> int:
        """A signed Exp-Golomb number."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def require(holds: bool, why: str = "a slice header is damaged or of a rare kind") -> None:
    """Raises NotProven, with the reason, where something does not hold."""
    if not holds:
        raise NotProven(why)
