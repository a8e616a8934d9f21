"""Files that come in parts: a row and a blob for each part, until the whole becomes a file."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from tools_runtime import ids
from tools_runtime.errors import ApiError, not_found
from tools_runtime.stores import NewFile, NewUpload, StoredFile, Upload, UploadPart, UploadStatus
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.connections import Unavailable
from tools_runtime.stores.database import Database
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.schema import upload_parts, uploads

_PIECE = 2**20
_MANY = 500
_PART = upload_parts.c


class UploadStore:
    """Uploads. A part is on disk once it is acknowledged; an upload and its file complete in one transaction."""

    def __init__(self, database: Database, blobs: BlobStore, files: FileStore, *, seconds: int) -> None:
        """``blobs`` holds the parts; ``seconds`` is how long an upload may take."""
        self._database = database
        self._blobs = blobs
        self._files = files
        self._seconds = seconds

    async def start(self) -> None:
        """Removes blobs without a row, which a crash may have left. Before the first upload."""
        known = await self._database.read(lambda connection: set(connection.scalars(select(_PART.id))))
        await asyncio.to_thread(self._blobs.sweep, known)

    async def create(self, owner: str, new: NewUpload) -> Upload:
        now = int(time.time())
        made = Upload(
            **vars(new),
            id=ids.new("upload"),
            owner=owner,
            created_at=now,
            expires_at=now + self._seconds,
            status="pending",
        )
        await self._database.write(lambda connection: connection.execute(insert(uploads), vars(made)).rowcount)
        return made

    async def add_part(self, owner: str, id: str, data: AsyncIterator[bytes], *, max_bytes: int) -> UploadPart:
        """Stores a part. Raises ``blobs.TooLarge``, and ``ApiError`` when there is no such upload, it is no longer
        pending, or more would come than it was said to have."""
        await self._database.read(lambda connection: _pending(connection, owner, id))
        part_id = ids.new("part")
        size = await self._blobs.write(part_id, data, max_bytes)
        part = UploadPart(part_id, id, int(time.time()), size)

        def work(connection: Connection) -> None:
            upload = _pending(connection, owner, id)
            sent = connection.scalar(select(func.sum(_PART.bytes)).where(_PART.owner == owner, _PART.upload_id == id))
            if (sent or 0) + size > upload.bytes:
                raise ApiError(f"The parts have more than the {upload.bytes} bytes of the upload.", param="data")
            connection.execute(insert(upload_parts), vars(part) | {"owner": owner})

        try:
            await self._database.write(work)
        except Unavailable:
            raise
        except Exception:
            await asyncio.to_thread(self._blobs.delete, part_id)
            raise
        return part

    async def complete(
        self, owner: str, id: str, part_ids: Sequence[str], md5: str | None
    ) -> tuple[Upload, StoredFile]:
        """Makes a file of the parts, in the order given. Raises ``ApiError`` when there is no such upload or part, it
        is no longer pending, or the bytes are not those that were announced; then it stays as it was."""
        upload = await self._database.read(lambda connection: _whole(connection, owner, id, part_ids))

        def done(connection: Connection) -> None:
            _pending(connection, owner, id)
            _close(connection, [id], "completed")

        new = NewFile(owner, upload.filename, upload.purpose, upload.file_seconds)
        try:
            file = await self._files.create(new, self._joined(part_ids, md5), max_bytes=upload.bytes, also=done)
        except FileNotFoundError:  # cancelled or completed meanwhile
            raise _not_pending(id) from None
        await self._remove(part_ids)
        return replace(upload, status="completed"), file

    async def cancel(self, owner: str, id: str) -> Upload:
        """Gives up the upload and its parts. Raises ``ApiError`` when there is none or it is no longer pending."""

        def work(connection: Connection) -> tuple[Upload, list[str]]:
            return _pending(connection, owner, id), _close(connection, [id], "cancelled")

        upload, part_ids = await self._database.write(work)
        await self._remove(part_ids)
        return replace(upload, status="cancelled")

    async def expire(self, now: float) -> None:
        """Gives up the uploads of all owners whose time is over."""

        def work(connection: Connection) -> list[str]:
            late = select(uploads.c.id).where(uploads.c.status == "pending", uploads.c.expires_at <= now)
            return _close(connection, [*connection.scalars(late.limit(_MANY))], "expired")

        await self._remove(await self._database.write(work))

    async def _joined(self, part_ids: Sequence[str], md5: str | None) -> AsyncIterator[bytes]:
        digest = hashlib.md5(usedforsecurity=False)
        for part_id in part_ids:
            with self._blobs.path(part_id).open("rb") as file:
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    digest.update(piece)
                    yield piece
        if md5 is not None and digest.hexdigest() != md5.lower():
            raise ApiError("The MD5 of the parts is not the one given.", param="md5", code="checksum_mismatch")

    async def _remove(self, part_ids: Sequence[str]) -> None:
        for part_id in part_ids:
            await asyncio.to_thread(self._blobs.delete, part_id)


def _pending(connection: Connection, owner: str, id: str) -> Upload:
    row = connection.execute(select(uploads).where(uploads.c.owner == owner, uploads.c.id == id)).one_or_none()
    if row is None:
        raise not_found("upload", id, param="upload_id")
    upload = Upload(**row._mapping)
    if upload.status != "pending" or upload.expires_at <= time.time():
        raise _not_pending(id)
    return upload


def _whole(connection: Connection, owner: str, id: str, part_ids: Sequence[str]) -> Upload:
    """The pending upload, after a check that the parts are its own, no part comes twice, and the size is right."""
    upload = _pending(connection, owner, id)
    mine = select(_PART.id, _PART.bytes).where(_PART.owner == owner, _PART.upload_id == id)
    sizes: dict[str, int] = {row.id: row.bytes for row in connection.execute(mine)}
    total = 0
    for number, part_id in enumerate(part_ids):
        if part_id not in sizes:
            raise not_found("part of this upload still to use", part_id, param=f"part_ids[{number}]")
        total += sizes.pop(part_id)
    if total != upload.bytes:
        raise ApiError(
            f"The parts have {total} bytes, the upload {upload.bytes}.", param="part_ids", code="size_mismatch"
        )
    return upload


def _close(connection: Connection, upload_ids: Sequence[str], status: UploadStatus) -> list[str]:
    """Ends the uploads and forgets their parts, whose ids it returns."""
    parts = _PART.upload_id.in_(upload_ids)
    gone: list[Any] = [*connection.scalars(select(_PART.id).where(parts))]
    connection.execute(delete(upload_parts).where(parts))
    connection.execute(update(uploads).where(uploads.c.id.in_(upload_ids)).values(status=status))
    return gone


def _not_pending(id: str) -> ApiError:
    return ApiError(f"Upload '{id}' is no longer pending.", param="upload_id", code="upload_not_pending")
