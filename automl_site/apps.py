from django.apps import AppConfig, apps
from django.db.models.signals import pre_migrate


class SiteConfig(AppConfig):
    name = "automl_site"
    verbose_name = "Platform"

    def ready(self) -> None:
        from automl_site import checks  # noqa: F401  (registers the deployment checks)
        from automl_site.logs import show_stacks
        from automl_site.space import prepare_new_database

        show_stacks()
        # The signal is sent for apps that have models; one of them is enough.
        pre_migrate.connect(prepare_new_database, sender=apps.get_app_config("tracking"))
