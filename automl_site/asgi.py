"""The ASGI application: Django for HTTP, Channels for sockets."""

import os
from typing import cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "automl_site.settings")
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter  # noqa: E402  (apps must be loaded first)

from api.tracking.ingest import Ingest  # noqa: E402
from api.tracking.reads import Reads  # noqa: E402
from automl_site.bodies import Application, BodyLimit  # noqa: E402
from automl_site.handler import PooledHandler  # noqa: E402
from automl_site.routing import websocket_application  # noqa: E402

http = BodyLimit(Ingest(Reads(cast(Application, PooledHandler()))))
application = ProtocolTypeRouter({"http": http, "websocket": websocket_application})
