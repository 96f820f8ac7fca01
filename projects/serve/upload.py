"""The body of a request, counted while it comes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from mgfe_ris.apis.infer.serving import MAX_BYTES

FORM, JSON = 'multipart/form-data', 'application/json'
MAX_BODY = {FORM: MAX_BYTES + 1_000_000, JSON: MAX_BYTES * 4 // 3 + 1_000_000}
"""Bytes; 1 MB for what is around the photo."""
MAX_PARTS = 100
"""Of a form."""
MAX_COMMAS = 5000
"""And brackets, of JSON: more than sentences may have; 1 MB of empty lists takes 30 MB."""


def body_kind(request: Request) -> str:
    """From the head alone, ahead of any byte of the body.

    Raises:
        HTTPException: 415 of another kind than :data:`MAX_BODY` names, or compressed; 413, the length that it says is
            too large.
    """
    kind = request.headers.get('content-type', '').partition(';')[0].strip().lower()
    if kind not in MAX_BODY:
        raise HTTPException(415, f'expected Content-Type {FORM} or {JSON}; got {kind[:60]!r}')
    if request.headers.get('content-encoding', 'identity').lower() != 'identity':
        raise HTTPException(415, 'the body must not be compressed: leave Content-Encoding away')
    length = request.headers.get('content-length', '')
    if length.isdigit() and int(length) > MAX_BODY[kind]:
        raise too_large(kind)
    return kind


def too_large(kind: str) -> HTTPException:
    return HTTPException(413, f'more than {MAX_BODY[kind]:,} bytes; a photo may have {MAX_BYTES:,}')


async def body_parts(request: Request, kind: str, count: Callable[[int], object]) -> AsyncIterator[bytes]:
    """What comes, up to the limit of its kind, whatever length was said.

    Args:
        count: is told the bytes of each part, and may raise.
    """
    total = 0
    more = True
    while more:
        message = await request.receive()
        if message['type'] == 'http.disconnect':
            raise ClientDisconnect
        part, more = message.get('body', b''), message.get('more_body', False)
        request.scope['body_ended'] = not more
        total += len(part)
        if total > MAX_BODY[kind]:
            raise too_large(kind)
        count(len(part))
        yield part


class _InMemory(MultiPartParser):
    spool_max_size = MAX_BODY[FORM]  # nobody's photo lies on the disk


async def read_form(request: Request, parts: AsyncIterator[bytes], _: object) -> tuple[bytes, list[str]]:
    """The file ``photo``, and each ``sentences``.

    Raises:
        HTTPException: 400 no form, 422 one without a photo.
    """
    try:
        form = await _InMemory(request.headers, parts, max_files=1, max_fields=MAX_PARTS).parse()  # type: ignore[arg-type]
    except MultiPartException as error:
        raise HTTPException(400, f'not a form: {error.message}') from error
    try:
        photos, sentences = form.getlist('photo'), form.getlist('sentences')
        if unknown := sorted(set(form) - {'photo', 'sentences'}):
            raise HTTPException(422, f'the form has {unknown[0][:60]!r}; expected photo and sentences')
        if len(photos) != 1 or not isinstance(photos[0], UploadFile):
            raise HTTPException(422, 'the form needs one file named photo; addresses are not fetched')
        return await photos[0].read(), sentences  # type: ignore[return-value]
    finally:
        await form.close()


async def read_json(
    _: Request, parts: AsyncIterator[bytes], aside: Callable[..., Awaitable[Any]]
) -> tuple[bytes, list[str]]:
    """``{"photo": BASE64, "sentences": [...]}``."""
    body = bytearray()
    async for part in parts:
        body += part
    return await aside(parse_json, bytes(body))


def parse_json(body: bytes) -> tuple[bytes, list[str]]:
    """The photo's file and the sentences.

    Raises:
        HTTPException: 400 no JSON, or no base64; 422 other keys, or other kinds of values.
    """
    if sum(map(body.count, (b'[', b'{', b','))) > MAX_COMMAS:
        raise HTTPException(400, 'not the JSON that is expected: {"photo": BASE64, "sentences": ["...", ...]}')
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f'not JSON: {str(error)[:100]}') from error
    if not isinstance(asked, dict) or set(asked) != {'photo', 'sentences'} or not isinstance(asked['photo'], str):
        raise HTTPException(422, 'expected {"photo": BASE64, "sentences": ["...", ...]}, and no other keys')
    sentences = [asked['sentences']] if isinstance(asked['sentences'], str) else asked['sentences']
    if not isinstance(sentences, list):
        raise HTTPException(422, f'sentences must be a list of text; got {type(sentences).__name__}')
    try:
        return base64.b64decode(asked['photo'], validate=True), sentences
    except (binascii.Error, ValueError) as error:
        raise HTTPException(400, f'photo is not base64 of a file: {error}; addresses are not fetched') from error


READERS = {FORM: read_form, JSON: read_json}
