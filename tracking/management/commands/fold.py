"""`manage.py fold`: pack all metric points that wait for it now. The reconciler does so by and by."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tracking.services.folding import fold_all


class Command(BaseCommand):
    help = "Fold the metric segments of all runs, or of one, into chunks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--run", type=int, help="only the run of this id")

    def handle(self, *args: Any, **options: Any) -> None:
        folded = fold_all(run_id=options["run"])
        self.stdout.write(f"{folded} segment{'' if folded == 1 else 's'} folded")
