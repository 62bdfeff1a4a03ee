"""Routes of the app: include them in your project's."""

from django.urls import path

from django_app.views import look, want

urlpatterns = [path("emails/<str:lead>", look), path("emails/<str:lead>/want", want)]
