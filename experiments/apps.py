from django.apps import AppConfig


class ExperimentsConfig(AppConfig):
    name = "experiments"
    verbose_name = "Holdfast"

    def ready(self) -> None:
        from experiments.services.own_database import conninfo
        from experiments.sources import postgres_connect

        postgres_connect.set_own(conninfo)
