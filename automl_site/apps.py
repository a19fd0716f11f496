from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "automl_site"
    verbose_name = "Platform"

    def ready(self) -> None:
        from automl_site import checks  # noqa: F401  (registers the deployment checks)
