"""Uploaded and generated files: sessions, contents in parts, names, expiry."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import string
from collections.abc import Iterator

from batch_emulator.clock import Clock
from batch_emulator.config import EmulatorConfig
from batch_emulator.replies import ApiError
from batch_emulator.state import State

PART_SIZE = 1 << 20

_ALPHABET = string.ascii_lowercase + string.digits


def random_id(length: int) -> str:
    """Return a random id of lower-case letters and digits, as Google's are."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class Contents:
    """Bytes in parts, so that nothing is ever held in memory whole."""

    def __init__(self, state: State) -> None:
        self._state = state

    def create(self) -> int:
        """Start an empty content; return its number."""
        with self._state.transaction() as connection:
            number = connection.execute("INSERT INTO contents DEFAULT VALUES").lastrowid
        assert number is not None  # noqa: S101  # an INSERT always has one
        return number

    def append(self, content: int, start: int, data: bytes) -> None:
        """Add bytes at the end, which the caller knows to be at ``start``."""
        with self._state.transaction() as connection:
            connection.executemany(
                "INSERT INTO parts (content, start, data) VALUES (?, ?, ?)",
                (
                    (content, start + offset, data[offset : offset + PART_SIZE])
                    for offset in range(0, len(data), PART_SIZE)
                ),
            )

    def read(self, content: int, *, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes from ``start`` on, part by part."""
        while True:
            part = self._state.row(
                "SELECT start, data FROM parts WHERE content = ? AND start <= ? "
                "ORDER BY start DESC LIMIT 1",
                (content, start),
            )
            data = b"" if part is None else part["data"][start - part["start"] :]
            if not data:
                return
            yield data
            start += len(data)

    def remove(self, content: int) -> None:
        """Remove the bytes."""
        with self._state.transaction() as connection:
            connection.execute("DELETE FROM parts WHERE content = ?", (content,))


class Files:
    """The Files API without HTTP."""

    def __init__(self, state: State, *, clock: Clock, config: EmulatorConfig) -> None:
        self._state = state
        self._clock = clock
        self._config = config
        self.contents = Contents(state)

    # --- upload ----------------------------------------------------------------------------

    def start_upload(
        self,
        project: str,
        *,
        file_id: str | None,
        display_name: str | None,
        mime_type: str | None,
        size: int | None,
    ) -> str:
        """Open an upload session; return its id.

        Raises:
            ApiError: 409 the name is taken, 400 the file is too large.
        """
        name = f"files/{file_id or random_id(12)}"
        self._check_free(name)
        self._check_size(size or 0)
        upload_id = random_id(40)
        content = self.contents.create()
        with self._state.transaction() as connection:
            connection.execute(
                "INSERT INTO uploads (id, project, name, display_name, mime_type, declared_size, "
                "content) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (upload_id, project, name, display_name, mime_type, size, content),
            )
        return upload_id

    def find_upload(self, upload_id: str) -> sqlite3.Row:
        """Return an upload session.

        Raises:
            ApiError: 404, there is none.
        """
        session = self._state.row("SELECT * FROM uploads WHERE id = ?", (upload_id,))
        if session is None:
            raise ApiError(404, "Upload session not found. It may have expired.")
        return session

    def add_chunk(self, upload_id: str, offset: int, data: bytes) -> int:
        """Add a chunk, or recognise one that was stored before; return the bytes received.

        Raises:
            ApiError: 400, the chunk does not continue the file.
        """
        with self._state.transaction() as connection:
            session = self.find_upload(upload_id)
            received: int = session["received"]
            end = offset + len(data)
            if offset < received or session["is_final"]:
                # The reply to an earlier try was lost: the SDK sends the chunk again.
                if end <= received and self._holds(session["content"], offset, data):
                    return received
                raise ApiError(400, f"The chunk at offset {offset} differs from the one received.")
            if offset > received:
                raise ApiError(
                    400, f"Offset {offset} does not match the {received} bytes received."
                )
            self._check_size(end)
            self.contents.append(session["content"], received, data)
            connection.execute("UPDATE uploads SET received = ? WHERE id = ?", (end, upload_id))
        return end

    def finish_upload(self, upload_id: str) -> sqlite3.Row:
        """Turn an upload session into a file. Idempotent.

        Raises:
            ApiError: 400 the size is not the declared one, 409 the name was taken meanwhile.
        """
        session = self.find_upload(upload_id)
        if session["is_final"]:
            return self.find(session["name"], session["project"])
        if session["declared_size"] not in (None, session["received"]):
            raise ApiError(
                400,
                f"{session['received']} bytes were received, {session['declared_size']} were "
                "announced.",
            )
        with self._state.transaction() as connection:
            self._check_free(session["name"])
            self._insert(
                connection,
                name=session["name"],
                project=session["project"],
                display_name=session["display_name"],
                mime_type=session["mime_type"],
                content=session["content"],
                source="UPLOADED",
                created_at=self._clock.now(),
            )
            connection.execute("UPDATE uploads SET is_final = 1 WHERE id = ?", (upload_id,))
        return self.find(session["name"], session["project"])

    # --- files -----------------------------------------------------------------------------

    def add_generated(
        self, name: str, project: str, *, content: int, mime_type: str, created_at: float
    ) -> None:
        """Enter a result file whose content is written."""
        with self._state.transaction() as connection:
            self._insert(
                connection,
                name=name,
                project=project,
                display_name=None,
                mime_type=mime_type,
                content=content,
                source="GENERATED",
                created_at=created_at,
            )

    def find(self, name: str, project: str) -> sqlite3.Row:
        """Return a file of a project.

        Raises:
            ApiError: 403, as Google answers for files of others and for none alike.
        """
        row = self._state.row(
            "SELECT * FROM files WHERE name = ? AND project = ? AND expires_at > ?",
            (name, project, self._clock.now()),
        )
        if row is None:
            file_id = name.removeprefix("files/")
            raise ApiError(
                403, f"You do not have permission to access the File {file_id} or it may not exist."
            )
        return row

    def page(self, project: str, *, size: int, after: str | None) -> list[sqlite3.Row]:
        """Return one entry more than a page holds, if there are so many."""
        return self._state.rows(
            "SELECT * FROM files WHERE project = ? AND expires_at > ? AND name > ? "
            "ORDER BY name LIMIT ?",
            (project, self._clock.now(), after or "", size + 1),
        )

    def remove(self, name: str) -> None:
        """Remove a file and its content."""
        with self._state.transaction() as connection:
            row = connection.execute(
                "DELETE FROM files WHERE name = ? RETURNING content", (name,)
            ).fetchone()
            if row is not None:
                self.contents.remove(row["content"])

    def sweep(self) -> None:
        """Remove expired files, and contents that a killed process left unfinished."""
        with self._state.transaction() as connection:
            connection.execute(
                "DELETE FROM files WHERE expires_at <= ? AND name NOT IN "
                "(SELECT input_file FROM jobs WHERE ended_at IS NULL AND input_file IS NOT NULL)",
                (self._clock.now(),),
            )
            connection.execute(
                "DELETE FROM parts WHERE content NOT IN (SELECT content FROM files "
                "UNION SELECT content FROM uploads WHERE NOT is_final)"
            )

    def _insert(
        self,
        connection: sqlite3.Connection,
        *,
        name: str,
        project: str,
        display_name: str | None,
        mime_type: str | None,
        content: int,
        source: str,
        created_at: float,
    ) -> None:
        digest = hashlib.sha256()
        size = 0
        for part in self.contents.read(content):
            digest.update(part)
            size += len(part)
        self.remove(name)  # an expired file may still hold the name
        connection.execute(
            "INSERT INTO files (name, project, display_name, mime_type, size, sha256, source, "
            "content, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                name,
                project,
                display_name,
                mime_type,
                size,
                digest.hexdigest(),
                source,
                content,
                created_at,
                created_at + self._config.file_lifetime,
            ),
        )

    def _check_free(self, name: str) -> None:
        if self._state.row(
            "SELECT 1 FROM files WHERE name = ? AND expires_at > ?", (name, self._clock.now())
        ):
            raise ApiError(409, "Requested entity already exists")

    def _check_size(self, size: int) -> None:
        if size > self._config.largest_file:
            raise ApiError(
                400, f"The file has {size} bytes; at most {self._config.largest_file} are allowed."
            )

    def _holds(self, content: int, offset: int, data: bytes) -> bool:
        position = 0
        for part in self.contents.read(content, start=offset):
            piece = data[position : position + len(part)]
            if part[: len(piece)] != piece:
                return False
            position += len(piece)
            if position >= len(data):
                break
        return position == len(data)
