from django.urls import path

from . import views

urlpatterns = [
    path("", views.index),
    path("chat", views.chat),
    path("send", views.send),
    path("in-the-browser", views.in_the_browser),
]
