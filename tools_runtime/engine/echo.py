"""The response object as it begins: every parameter echoed, defaults filled in."""

from __future__ import annotations

import time

from tools_runtime.engine.toolbox import Toolbox
from tools_runtime.protocol.response import Response
from tools_runtime.tools import Scope

_CACHE_OPTIONS = {"mode": "implicit", "ttl": "30m"}
"""OpenAI's defaults."""


def first_response(scope: Scope, model: str, toolbox: Toolbox, created_at: int | None = None) -> Response:
    """The response as it begins: every parameter echoed, defaults filled in; created now by default."""
    request = scope.request
    choice = request.tool_choice
    echoed = {
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "parallel_tool_calls": request.parallel_tool_calls,
        "previous_response_id": request.previous_response_id,
        "prompt_cache_key": request.prompt_cache_key,
        "prompt_cache_options": request.prompt_cache_options and _CACHE_OPTIONS | request.prompt_cache_options,
        "image": request.image,
        "access_programs": request.access_programs,
        "prompt_cache_retention": request.prompt_cache_retention,
        "safety_identifier": request.safety_identifier,
        "user": request.user,
        "store": request.stored,
    }
    given = {
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "temperature": request.temperature,
        "top_logprobs": request.top_logprobs,
        "top_p": request.top_p,
        "truncation": request.truncation,
        "metadata": request.metadata,
    }
    reasoning = request.reasoning.model_dump(mode="json", exclude_none=True) if request.reasoning else {}
    return Response(
        id=scope.response_id,
        created_at=int(time.time()) if created_at is None else created_at,
        status="queued" if request.background else "in_progress",
        background=request.background is True,
        model=model,
        conversation={"id": request.conversation_id} if request.conversation_id else None,
        reasoning={"effort": None, "summary": None} | reasoning,
        text={"format": request.text.format.wire(), "verbosity": request.text.verbosity or "medium"},
        tool_choice=choice if isinstance(choice, str) else choice.model_dump(mode="json", exclude_unset=True),
        tools=toolbox.echo,
        **echoed,
        **{name: value for name, value in given.items() if value is not None},
    )
