"""A multipart upload, read in pieces: memory stays the same whatever comes, and nothing is taken for whole that was cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flask import Request
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from homeroom.app.fine_tuning.errors import FieldError
from homeroom.app.fine_tuning.files import Sink, UploadForm

PIECE_BYTES = 64 * 1024
BUFFER_BYTES = 256 * 1024
FIELD_BYTES = 1000
MAX_PARTS = 16
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_FIELDS = frozenset({"purpose", _ANCHOR, _SECONDS})


@dataclass(slots=True)
class _Parts:
    """What came so far."""

    sink: Sink
    fields: dict[str, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None

    def begin(self, event: Field | File) -> None:
        """A part begins."""
        self.name = event.name or ""
        if self.name == "file":
            if self.filename is not None:
                raise FieldError("'file' was sent twice; upload one file at a time", param="file")
            self.filename = event.filename if isinstance(event, File) and event.filename else "file.jsonl"
        elif self.name not in _FIELDS:
            raise FieldError(f"Unrecognized request argument supplied: {self.name[:80]}", param=self.name[:80] or None)
        elif self.name in self.fields:
            raise FieldError(f"{self.name!r} was sent twice", param=self.name)
        else:
            self.fields[self.name] = b""

    def take(self, piece: bytes) -> None:
        """A piece of the part that began last."""
        if self.name == "file":
            self.sink.write(piece)
            return
        self.fields[self.name] += piece
        if len(self.fields[self.name]) > FIELD_BYTES:
            raise FieldError(f"{self.name!r} is longer than {FIELD_BYTES} bytes", param=self.name)


def receive_upload(incoming: Request, sink: Sink) -> UploadForm:
    """Write the part ``file`` of a request to ``sink`` and return what came beside it.

    Raises:
        FieldError: it is no multipart form, or it ends before its end; a part is unknown, too long, or there twice.
        FileTooLargeError: the file is larger than the sink takes.
    """
    parts = _Parts(sink)
    try:
        for event in _events(incoming):
            if isinstance(event, Field | File):
                parts.begin(event)
            elif isinstance(event, Data):
                parts.take(event.data)
    except ValueError as error:  # of the decoder: it names no value of the client's
        raise FieldError(
            f"The multipart form cannot be read or was cut off ({error}). Send it again", code="upload-cut"
        ) from error
    return UploadForm(_text(parts, "purpose"), parts.filename, _expiry(parts))


def _events(incoming: Request) -> Iterator[object]:
    boundary = incoming.mimetype_params.get("boundary", "")
    if not boundary or not boundary.isascii() or len(boundary) > 200:
        raise FieldError("Send the file as multipart/form-data with a boundary: curl -F file=@data.jsonl -F purpose=fine-tune")
    decoder = MultipartDecoder(boundary.encode("ascii"), BUFFER_BYTES + PIECE_BYTES, max_parts=MAX_PARTS)
    left = incoming.content_length
    more = True
    while more:
        piece = incoming.stream.read(PIECE_BYTES)
        more = bool(piece)
        left = None if left is None else left - len(piece)
        if not more and left:  # the form may be whole already, but its sender has gone and does not know that it was taken
            raise ValueError(f"{left} bytes are missing")
        decoder.receive_data(piece or None)
        while not isinstance(event := decoder.next_event(), NeedData):
            yield event
            if isinstance(event, Epilogue):
                return


def _text(parts: _Parts, name: str) -> str | None:
    raw = parts.fields.get(name)
    return None if raw is None else raw.decode("utf-8", "replace")


def _expiry(parts: _Parts) -> int | None:
    anchor, seconds = _text(parts, _ANCHOR), _text(parts, _SECONDS)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise FieldError(f"'expires_after[anchor]' must be 'created_at', not {str(anchor)[:40]!r}", param="expires_after")
    if seconds is None or not (seconds.isascii() and seconds.isdigit() and len(seconds) < 10):
        raise FieldError(
            f"'expires_after[seconds]' must be a number of seconds, not {str(seconds)[:40]!r}", param="expires_after"
        )
    return int(seconds)
