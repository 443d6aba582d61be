"""64-bit keys of entities and values: SipHash-2-4 (Aumasson and Bernstein, 2012) of their text in UTF-8.

They stand in checkpoints and in records between workers, so they are the same in every process and release. Of a
million entities two have the same key with a probability of 3e-8.
"""

from collections.abc import Sequence

import numpy as np

from models.loops import cached, compiled

MISSING = 0

Four = tuple[np.uint64, np.uint64, np.uint64, np.uint64]


def keys_of(texts: Sequence[str | None]) -> np.ndarray:
    """A key for each text, int64; `MISSING` where it is empty or None."""
    filled = [text or "" for text in texts] if None in texts else texts
    joined = "".join(filled)  # type: ignore[arg-type]
    if joined.isascii():
        content, lengths = joined.encode(), np.fromiter(map(len, filled), np.int64, len(texts))  # type: ignore[arg-type]
    else:
        encoded = [text.encode("utf-8", "surrogatepass") for text in filled]  # type: ignore[union-attr]
        content, lengths = b"".join(encoded), np.fromiter(map(len, encoded), np.int64, len(texts))
    keys = np.empty(len(texts), np.uint64)
    ends = lengths.cumsum()
    _siphash(np.frombuffer(content, np.uint8), ends, keys)
    found = keys.view(np.int64)
    found[found == MISSING] = 1
    found[ends == np.r_[0, ends[:-1]]] = MISSING
    return found


def keys_of_numbers(numbers: np.ndarray) -> np.ndarray:
    """A key for each number, float64 [n]; `MISSING` for NaN. No text is made of what is calculated with."""
    found: np.ndarray = (numbers + 0.0).view(np.int64)  # there is no -0
    found[found == MISSING] = 1
    found[np.isnan(numbers)] = MISSING
    return found


@compiled
def _rotated(x: np.uint64, bits: int) -> np.uint64:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@compiled
def _rounds(v: Four, times: int) -> Four:
    a, b, c, d = v
    for _ in range(times):
        a, c = a + b, c + d
        b, d = _rotated(b, 13) ^ a, _rotated(d, 16) ^ c
        a = _rotated(a, 32)
        c, a = c + b, a + d
        b, d = _rotated(b, 17) ^ c, _rotated(d, 21) ^ a
        c = _rotated(c, 32)
    return a, b, c, d


@cached
def _siphash(content: np.ndarray, ends: np.ndarray, keys: np.ndarray) -> None:
    """Of each text, by the key 0, 1, ... 15 of the published vectors."""
    k0, k1 = np.uint64(0x0706050403020100), np.uint64(0x0F0E0D0C0B0A0908)
    start = 0
    for i in range(ends.size):
        v = (
            k0 ^ np.uint64(0x736F6D6570736575),
            k1 ^ np.uint64(0x646F72616E646F6D),
            k0 ^ np.uint64(0x6C7967656E657261),
            k1 ^ np.uint64(0x7465646279746573),
        )
        length = ends[i] - start
        for at in range(start, ends[i] + 1, 8):
            word = np.uint64(0)
            for j in range(min(8, ends[i] - at)):
                word |= np.uint64(content[at + j]) << np.uint64(8 * j)
            if at + 8 > ends[i]:  # the last word ends with the length
                word |= np.uint64(length & 255) << np.uint64(56)
            v = _rounds((v[0], v[1], v[2], v[3] ^ word), 2)
            v = (v[0] ^ word, v[1], v[2], v[3])
        v = _rounds((v[0], v[1], v[2] ^ np.uint64(255), v[3]), 4)
        keys[i] = v[0] ^ v[1] ^ v[2] ^ v[3]
        start = ends[i]
