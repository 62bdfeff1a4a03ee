"""The app's configuration: name it in INSTALLED_APPS as `django_app`."""

from django.apps import AppConfig


class EmailsConfig(AppConfig):
    """Defaults of the app."""

    name = "django_app"
    default_auto_field = "django.db.models.BigAutoField"
