"""The response object: its sums."""

from __future__ import annotations

from tools_runtime.protocol.response import InputTokensDetails, OutputTokensDetails, Usage


def test_usage_adds_up_in_every_field() -> None:
    one = Usage(
        input_tokens=1,
        input_tokens_details=InputTokensDetails(cached_tokens=2, cache_write_tokens=3),
        output_tokens=4,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=5),
        total_tokens=6,
    )
    both = (one + one).wire()
    assert both == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 10},
        "total_tokens": 12,
    }
    assert one + Usage() == one
