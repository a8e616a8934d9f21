"""Campaigns: tests that go on for as long as they are given, on random input. A test run gives each a few seconds and a
fresh seed; ``make campaign`` gives more. What a seed found, the same seed finds again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Campaign:
    """One campaign's seed and its time in seconds."""

    seed: int
    seconds: float

    def rounds(self) -> Iterator[random.Random]:
        """A source of randomness for each round, until the time is used up; one round at least."""
        until = time.monotonic() + self.seconds
        number = 0
        while number == 0 or time.monotonic() < until:
            yield random.Random(f"{self.seed} {number}")
            number += 1


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("campaigns")
    group.addoption("--campaign-seed", type=int, help="what the random input is made from; default: a fresh one")
    group.addoption("--campaign-seconds", type=float, default=5.0, help="time for each campaign; default: 5")


def settle_seed(config: pytest.Config) -> None:
    """One seed for a test run: the processes of a parallel one are told it (``tell``)."""
    told = getattr(config, "workerinput", {}).get("campaign_seed")
    if told is not None:
        config.option.campaign_seed = told
    elif config.option.campaign_seed is None:
        config.option.campaign_seed = random.SystemRandom().randrange(2**32)


def tell(workerinput: dict[str, object], config: pytest.Config) -> None:
    """Hands the seed to a process of a parallel run."""
    workerinput["campaign_seed"] = config.option.campaign_seed


def of(config: pytest.Config) -> Campaign:
    return Campaign(config.option.campaign_seed, config.option.campaign_seconds)
