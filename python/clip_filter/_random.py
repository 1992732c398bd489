"""Numbers that are drawn by position: the same whoever draws them, and whenever."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def _mixed(bits: int) -> int:
    """SplitMix64's finaliser."""
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & _MASK
    return bits ^ (bits >> 31)


def number(*position: int) -> int:
    """A number in [0, 2**64) for these whole numbers, in this order."""
    bits = 0
    for one in position:
        bits = _mixed((bits + (one & _MASK) + 0x9E3779B97F4A7C15) & _MASK)
    return bits


def order(length: int, *position: int) -> list[int]:
    """The numbers below ``length``, shuffled."""
    drawn = list(range(length))
    for last in range(length - 1, 0, -1):
        at = number(*position, last) % (last + 1)
        drawn[last], drawn[at] = drawn[at], drawn[last]
    return drawn
