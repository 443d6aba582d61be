"""Payments of a wallet as its own service logs them, the same for the same seed, as JSON lines.

    python -m examples.wallet.payments build/payments.jsonl

Ids are integers, times are milliseconds since 1970, amounts are cents; card and merchant are objects. A category has
300 values, 8 % of the fields that may be missing are, and one line in a hundred stands there twice, as producers that
try again write them. Some cards are tested with small payments, and some are stolen and emptied.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

START_MS = 1_709_251_200_000  # 2024-03-01
HOUR_MS = 3_600_000
MERCHANTS, CODES = 900, 300
COUNTRIES = np.array(["DE", "FR", "IT", "PL", "RO", "NL", "AT", "BR", "NG", "PH"])
DEVICES = np.array(["ios", "android", "browser"])
MISSING, TWICE, ATTACKED = 0.08, 0.01, 0.04


def payments(cards: int = 500, days: int = 35, seed: int = 0, attacked: float = ATTACKED) -> list[dict[str, Any]]:
    """In the order of time; `attacked` is the share of cards that somebody else uses at some time."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(CODES, size=MERCHANTS)
    found = [payment for card in range(cards) for payment in _of_card(rng, 700_000 + card, days, codes, attacked)]
    found.sort(key=lambda payment: payment["booked"])
    for number, payment in enumerate(found):
        payment["no"] = 31_000_000 + number
        for holder, field in ((payment["merchant"], "country"), (payment, "device"), (payment["merchant"], "mcc")):
            if rng.random() < MISSING:
                holder[field] = None
    return found


def _of_card(
    rng: np.random.Generator, card: int, days: int, codes: np.ndarray, attacked: float
) -> Iterator[dict[str, Any]]:
    """A card's own payments, at a few merchants of its own, and what somebody else does with it."""
    home, usual = rng.choice(COUNTRIES[:7]), rng.choice(MERCHANTS, 12)
    typical, device = rng.lognormal(3.2, 0.5), rng.choice(DEVICES)
    for at in _times(rng, days, rng.uniform(0.6, 5)):
        merchant = int(rng.choice(usual) if rng.random() < 0.8 else rng.integers(MERCHANTS))
        yield _payment(card, at, typical * rng.lognormal(0, 0.5), merchant, codes, home, device, is_fraud=False)
    if rng.random() < attacked:
        abroad, start = rng.choice(COUNTRIES[7:]), rng.uniform(3, days) * 24
        is_test = rng.random() < 0.5
        count, spread_h = (rng.integers(6, 14), 1.0) if is_test else (rng.integers(3, 8), 10.0)
        for at in start + np.sort(rng.uniform(0, spread_h, count)):
            amount = rng.uniform(0.5, 2.5) if is_test else typical * rng.uniform(3, 9)
            country = abroad if rng.random() < 0.6 else home
            yield _payment(card, at, amount, int(rng.integers(MERCHANTS)), codes, country, "browser", is_fraud=True)


def _times(rng: np.random.Generator, days: int, a_day: float) -> np.ndarray:
    """Hours since the start, by day more than by night."""
    at = rng.uniform(0, days * 24, rng.poisson(a_day * days))
    by_day = np.sin(np.pi * (at % 24 - 5) / 19)
    return np.sort(at[rng.random(at.size) < np.clip(by_day, 0.05, 1)])


def _payment(  # noqa: PLR0913
    card: int, at: float, amount: float, merchant: int, codes: np.ndarray, country: str, device: str, *, is_fraud: bool
) -> dict[str, Any]:
    return {
        "booked": START_MS + int(at * HOUR_MS),
        "card": {"no": card, "network": ("visa", "mc")[card % 2]},
        "merchant": {"no": merchant, "mcc": f"{4000 + 7 * int(codes[merchant])}", "country": str(country)},
        "cents": max(int(amount * 100), 1),
        "device": str(device),
        "chargeback": is_fraud,
    }


def lines(found: list[dict[str, Any]], seed: int = 0) -> Iterator[str]:
    """As JSON, some of them twice."""
    rng = np.random.default_rng(seed)
    for payment in found:
        yield from [json.dumps(payment)] * (1 + (rng.random() < TWICE))


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description="Payments of a wallet, as JSON lines.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--cards", type=int, default=500)
    parser.add_argument("--days", type=int, default=35)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(lines(payments(given.cards, given.days, given.seed), given.seed)) + "\n")


if __name__ == "__main__":
    main()
