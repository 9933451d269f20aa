"""A Django site that sends its events to The Eye. Only what that needs is here: no database, no users."""

import os
import secrets
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent

# The two lines that an existing site adds: this one, and the middleware below.
THE_EYE = {
    "url": os.environ.get("EYE_URL", "http://127.0.0.1:8080"),
    "key": os.environ.get("EYE_KEY", "demo-key"),
}
# For the page that sends from the browser: everybody can read this key there, so it is good for sending only.
EYE_BROWSER_KEY = os.environ.get("EYE_BROWSER_KEY", "demo-browser-key")

MIDDLEWARE = [
    "the_eye.django.EyeMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
INSTALLED_APPS = ["django.contrib.staticfiles"]
ROOT_URLCONF = "shop.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR.parents[2] / "clients/javascript/dist"]

SECRET_KEY = secrets.token_hex()
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
