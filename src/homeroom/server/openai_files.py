"""OpenAI's files API: training files come in, results go out."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request, send_file

from homeroom.app.fine_tuning.files import FileStore, FileTooLargeError
from homeroom.server.context import scope, services
from homeroom.server.multipart import receive_upload
from homeroom.server.query import query_choice, query_text, query_whole

blueprint = Blueprint("openai_files", __name__, url_prefix="/v1/files")
FORM_BYTES = 64 * 1024  # what a form may hold besides the file
MAX_LISTED = 10_000


@blueprint.post("")
def upload() -> Response:
    """Take a training file in, whole or not at all."""
    store = _files()
    if (request.content_length or 0) > store.max_bytes + FORM_BYTES:
        raise FileTooLargeError(store.max_bytes)
    return jsonify(store.upload(lambda sink: receive_upload(request, sink)).to_openai())


@blueprint.get("")
def list_files() -> Response:
    """A page of files."""
    page = _files().list(
        purpose=query_text("purpose"),
        after=query_text("after"),
        limit=query_whole("limit", default=MAX_LISTED, low=1, high=MAX_LISTED),
        newest_first=query_choice("order", "desc", "asc") == "desc",
    )
    return jsonify(page.to_openai(lambda file: file.to_openai(), ends=True, none=""))


@blueprint.get("/<file_id>")
def get_file(file_id: str) -> Response:
    """One file."""
    return jsonify(_files().get(file_id).to_openai())


@blueprint.get("/<file_id>/content")
def get_content(file_id: str) -> Response:
    """The bytes of a file, as they came."""
    store = _files()
    file = store.get(file_id)
    return send_file(store.path(file), mimetype="application/octet-stream", as_attachment=True, download_name=file.filename)


@blueprint.delete("/<file_id>")
def delete_file(file_id: str) -> Response:
    """Delete a file that no job needs."""
    return jsonify({"id": _files().delete(file_id).id, "object": "file", "deleted": True})


def _files() -> FileStore:
    return services().files(scope())
