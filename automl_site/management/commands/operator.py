"""`manage.py operator`: the first staff user of an installation, with a random password."""

import json
import os
import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from tracking.models import User
from tracking.services.accounts import operator_create


class Command(BaseCommand):
    help = "Create the operator (a superuser) and keep the password in the data folder, readable by its owner only."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="operator")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of sentences")

    def handle(self, *args: Any, **options: Any) -> None:
        username = options["username"]
        path = settings.DATA_DIR / f"{username}.json"
        if path.exists() and User.objects.filter(username=username).exists():
            credentials = json.loads(path.read_text())
            said = "The operator exists; the password is the one in"
        else:
            credentials = {"username": username, "password": secrets.token_urlsafe(12)}
            operator_create(**credentials)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(credentials, file)
            said = "The operator was created; the password is kept in"
        if options["json"]:
            self.stdout.write(json.dumps(credentials))
            return
        self.stdout.write(f"{said} {path}\nuser:     {credentials['username']}\npassword: {credentials['password']}")
