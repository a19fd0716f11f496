"""The URL map of the sockets."""

from channels.routing import URLRouter

websocket_application = URLRouter([])
