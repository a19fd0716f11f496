"""The ASGI application: Django for HTTP, Channels for sockets."""

import os
from typing import cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "automl_site.settings")
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402  (apps must be loaded first)

from api.tracking.ingest import Ingest  # noqa: E402
from automl_site.bodies import Application, BodyLimit  # noqa: E402
from automl_site.routing import websocket_application  # noqa: E402

application = ProtocolTypeRouter(
    {"http": BodyLimit(Ingest(cast(Application, django_application))), "websocket": websocket_application}
)
