"""A request's body on its way to a replica: held where it is small, streamed where it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from gateway.errors import Fault

HELD = 64 * 1024
"""A body of a known length up to this many bytes is read first, and can then be sent a second time."""
LARGEST = 64 * 1024 * 1024
"""Bytes of any body. What the replicas themselves take is far less."""
IDLE = 30.0
"""Seconds between two parts of a body, and for the whole of one that is held."""


class Upload:
    """One request's body. ``fault`` is set when the client is why it could not be passed on whole."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._held: bytes | None = None
        self._begun = False
        expected = request.headers.get("Expect")
        if expected is not None and expected.lower() != "100-continue":
            sentence = "The only expectation met here is 100-continue."
            raise Fault(417, "expectation_failed", sentence, closes=True)
        self._expects = expected is not None and request.version >= (1, 1)
        length = request.content_length
        if length is not None and length > LARGEST:
            raise _too_large()
        self._small = length is not None and length <= HELD
        self.exists = request.body_exists
        self.fault: Fault | None = None

    @property
    def repeatable(self) -> bool:
        """True while it can be sent (again) from its start."""
        return not self.exists or self._held is not None or not self._begun

    @property
    def streams(self) -> bool:
        """True when it is passed on while it comes in."""
        return self.exists and self._held is None

    @property
    def abandoned(self) -> bool:
        """True when the client was never told to send it: its bytes may come or not."""
        return self._expects and self.exists and not self._begun

    async def hold(self) -> None:
        """Read a small body. Fault when the client does not send it."""
        if self.exists and self._small:
            self._begin()
            try:
                async with asyncio.timeout(IDLE):
                    self._held = await self._request.content.read()
            except TimeoutError:
                raise _too_slow() from None
            except (web.RequestPayloadError, ConnectionError) as error:
                raise _broken(error) from error

    def data(self, ended: Callable[[], None]) -> bytes | AsyncIterator[bytes] | None:
        """What the HTTP client is given to send; ``ended`` is called after the last part of a stream."""
        return self._stream(ended) if self.streams else self._held

    async def _stream(self, ended: Callable[[], None]) -> AsyncIterator[bytes]:
        self._begin()
        content, sent = self._request.content, 0
        try:
            while True:
                async with asyncio.timeout(IDLE):
                    part = await content.readany()
                if not part:
                    break
                sent += len(part)
                if sent > LARGEST:
                    raise _too_large()
                yield part
        except Fault as fault:
            self.fault = fault
            raise
        except TimeoutError:
            self.fault = _too_slow()
            raise self.fault from None
        except (web.RequestPayloadError, ConnectionError) as error:
            self.fault = _broken(error)
            raise self.fault from error
        ended()

    def _begin(self) -> None:
        if self._expects and not self._begun and self._request.transport is not None:
            self._request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._begun = True


def _too_large() -> Fault:
    sentence = f"The body is larger than {LARGEST} bytes, the most that is taken."
    return Fault(413, "body_too_large", sentence, closes=True)


def _too_slow() -> Fault:
    return Fault(408, "request_timeout", f"The body did not go on for {IDLE:g} seconds.", closes=True)


def _broken(error: Exception) -> Fault:
    return Fault(400, "bad_request", f"The body is not what its header says: {error}.", closes=True)
