"""Exit status 0 if the web process of this container answers `GET /health` with 200; compose.yaml's health check."""

import os
import sys
import urllib.error
import urllib.request


def main() -> int:
    request = urllib.request.Request("http://127.0.0.1:8000/health")
    # As the proxy would ask: another host is refused, plain HTTP redirected.
    request.add_header("Host", os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0])
    request.add_header("X-Forwarded-Proto", "https")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
