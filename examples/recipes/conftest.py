"""Leaves out what needs a library that is not installed: `make recipes` has an environment with all of them."""

from importlib.util import find_spec

_NEEDS = {
    "celery_app": "celery",
    "django_app": "django",
    "fastapi_app": "fastapi",
    "webhook/test_other_library.py": "standardwebhooks",
}

collect_ignore = [part for part, library in _NEEDS.items() if find_spec(library) is None]
