"""Where the bytes and texts of content parts come from."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tools_runtime.errors import ApiError, not_found
from tools_runtime.retrieval import Reader, Unreadable
from tools_runtime.search import FetchError, PageFetcher
from tools_runtime.stores.files import FileStore


class Content:
    """Uploaded files, what URLs lead to, and the texts of both."""

    def __init__(self, files: FileStore, fetcher: PageFetcher, reader: Reader) -> None:
        self._files = files
        self._fetcher = fetcher
        self._reader = reader

    async def load(self, owner: str, file_id: str) -> tuple[str, bytes]:
        """Name and bytes of an uploaded file. Raises a 404 ``ApiError``."""
        file = await self._files.get(owner, file_id)
        if file is None:
            raise not_found("file", file_id)
        return file.filename, await asyncio.to_thread(self._files.path(file).read_bytes)

    async def fetch(self, url: str) -> bytes:
        """Raises a 400 ``ApiError`` that says why the URL cannot be fetched."""
        try:
            return (await self._fetcher.get(url)).body
        except FetchError as error:
            raise ApiError(error.message, code=error.code) from None

    async def read(self, name: str, data: bytes) -> str:
        """The text of a document. Raises a 400 ``ApiError`` for what cannot be read."""
        try:
            return await self._read(name, data)
        except Unreadable as error:
            raise ApiError(str(error), code=error.code) from None

    async def read_pdf(self, data: bytes) -> str:
        """The text of a PDF of the web. Raises ``FetchError``."""
        try:
            return await self._read("page.pdf", data)
        except Unreadable as error:
            raise FetchError("unsupported_content_type", str(error)) from None

    async def _read(self, name: str, data: bytes) -> str:
        with tempfile.NamedTemporaryFile() as file:
            await asyncio.to_thread(file.write, data)
            file.flush()
            return (await self._reader.read(Path(file.name), name)).text
