"""Who is asking: the caller's address, and whether a browser's request comes from our own pages.

Any web page can send requests to a loopback address, so open mode, where nobody has to sign in, looks at `Host` (a
foreign name that was pointed at 127.0.0.1) and at `Origin` (a page of another site).
"""

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings


def hostname(host: str) -> str:
    """The name in a Host header: "[::1]:8000" -> "::1"."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a Host header (or a peer's address) names this machine itself."""
    name = hostname(host) or host
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_same_origin(origin: str, host: str) -> bool:
    """Whether `Origin` is the site that `Host` names; the scheme may differ, since a proxy may end TLS."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def open_mode_refusal(*, host: str, origin: str) -> str | None:
    """Why open mode refuses this request; None where it does not."""
    if not is_loopback(host):
        return f"Open mode answers only on a loopback address, not as {host[:100]!r}."
    if origin and not is_same_origin(origin, host):
        return "Open mode takes no requests from pages of other sites."
    return None


def client_address(meta: Mapping[str, Any]) -> str:
    """The caller's address for limits, from a request's META.

    It is the peer's, or, behind N trusted proxies, the N-th last of X-Forwarded-For. IPv6 addresses are cut to /64,
    which is what one customer usually has.
    """
    address = meta.get("REMOTE_ADDR") or ""
    hops = [hop.strip() for hop in meta.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    if settings.TRUSTED_PROXIES and hops:
        address = hops[-min(settings.TRUSTED_PROXIES, len(hops))]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64] or "local"  # a unix socket has no address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
