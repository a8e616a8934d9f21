"""The options as clients write them: what is taken, what is refused, and by which name."""

from __future__ import annotations

from typing import Any

import pytest

from tools_runtime.api.validation import validate
from tools_runtime.errors import ApiError
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import WebSearchPreviewTool, WebSearchTool

NEW, OLD = ("web_search", "web_search_2025_08_26"), ("web_search_preview", "web_search_preview_2025_03_11")


def tool(**options: Any) -> Any:
    return validate(CreateResponse, {"input": "x", "tools": [{"type": "web_search"} | options]}).tools[0]


@pytest.mark.parametrize("type", [*NEW, *OLD])
def test_null_is_what_is_left_out_under_every_name(type: str) -> None:
    nulls = {"search_context_size": None, "user_location": None, "search_content_types": None}
    nulls |= {"filters": None, "external_web_access": None, "return_token_budget": None} if type in NEW else {}
    bare, written = tool(type=type), tool(type=type, **nulls)
    assert bare == written and isinstance(bare, WebSearchTool if type in NEW else WebSearchPreviewTool)
    assert (bare.search_context_size, bare.search_content_types) == ("medium", ("text",))


def test_everything_that_openais_clients_write_is_taken() -> None:
    options = {
        "filters": {"allowed_domains": ["a.test"] * 100, "blocked_domains": ["b.test"] * 100},
        "search_context_size": "high",
        "user_location": {"type": None, "country": "US", "city": "x", "region": "y", "timezone": "America/New_York"},
        "external_web_access": False,
        "return_token_budget": "unlimited",
        "search_content_types": ["text", "image"],
        "image_settings": {"max_results": 3, "caption": True},
    }
    assert tool(**options).user_location.type == "approximate"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"search_context_size": "vast"}, "search_context_size"),
    ({"search_context_size": 3}, "search_context_size"),
    ({"return_token_budget": "more"}, "return_token_budget"),
    ({"return_token_budget": 5000}, "return_token_budget"),
    ({"external_web_access": "yes"}, "external_web_access"),
    ({"search_content_types": ["video"]}, "search_content_types[0]"),
    ({"search_content_types": "text"}, "search_content_types"),
    ({"image_settings": {"max_results": 0}}, "image_settings.max_results"),
    ({"image_settings": {"size": 1}}, "image_settings.size"),
    ({"filters": []}, "filters"),
    ({"filters": {"allowed_domains": "a.test"}}, "filters.allowed_domains"),
    ({"filters": {"allowed_domains": ["a.test", 7]}}, "filters.allowed_domains[1]"),
    ({"filters": {"allowed_domains": ["a.test"] * 101}}, "filters.allowed_domains"),
    ({"filters": {"blocked_domains": ["a.test"] * 101}}, "filters.blocked_domains"),
    ({"filters": {"excluded_domains": []}}, "filters.excluded_domains"),
    ({"user_location": "Paris"}, "user_location"),
    ({"user_location": {"type": "exact"}}, "user_location.type"),
    ({"user_location": {"type": "approximate", "country": 1}}, "user_location.country"),
    ({"user_location": {"type": "approximate", "street": "x"}}, "user_location.street"),
    ({"type": OLD[0], "filters": {}}, "filters"),
    ({"type": OLD[1], "external_web_access": True}, "external_web_access"),
    ({"type": OLD[1], "search_context_size": "vast"}, "search_context_size"),
    ({"domains": []}, "domains"),
]
"""Options, and the parameter that is wrong in them."""


@pytest.mark.parametrize(("options", "param"), WRONG)
def test_a_wrong_value_is_refused_by_name(options: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as raised:
        tool(**options)
    assert (raised.value.status, raised.value.param) == (400, f"tools[0].{param}")
