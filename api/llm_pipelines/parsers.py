"""Files in, within bounds."""

from typing import IO, Any

from django.conf import settings
from rest_framework import parsers

from automl_site.bodies import body_limit
from automl_site.errors import TooLarge


class UploadParser(parsers.MultiPartParser):
    """multipart/form-data, refused before it is parsed where it announces too much."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: dict[str, Any] | None = None
    ) -> Any:
        request = (parser_context or {}).get("request")
        announced = int((request.META.get("CONTENT_LENGTH") if request is not None else 0) or 0)
        if request is not None and announced > body_limit(request.path_info):
            raise TooLarge(
                f"The request has {announced:,} bytes; a file of at most {settings.MAX_UPLOAD_BYTES:,} bytes is taken.",
                details={"max_bytes": settings.MAX_UPLOAD_BYTES, "size_bytes": announced},
            )
        return super().parse(stream, media_type, parser_context)
