#!/usr/bin/env python
"""The command line of the platform: `manage.py up` starts all of it."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "automl_site.settings")
    if sys.argv[1:2] == ["up"]:
        from automl_site.env import use_data_argument

        use_data_argument(sys.argv[2:])  # before settings are read
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
