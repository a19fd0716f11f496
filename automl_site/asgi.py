"""The ASGI application: Django for HTTP, Channels for sockets."""

import os
import sys
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

# Who has waited for a socket or the database waits for the interpreter's lock next, 5 ms by default behind each thread
# that computes. With fifty clients at once the slowest answers came a third sooner by this; 0.2 ms was no better.
sys.setswitchinterval(0.001)
