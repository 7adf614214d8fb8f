"""Addresses of the pages."""

from django.urls import URLPattern, URLResolver, path

from experiments.views import portfolio, scorecard

urlpatterns: list[URLPattern | URLResolver] = [
    path("", portfolio.portfolio, name="portfolio"),
    path("experiments/<str:key>/", scorecard.scorecard, name="scorecard"),
    path("experiments/<str:key>/progress/", scorecard.progress, name="progress"),
    path("experiments/<str:key>/scorecard.json", scorecard.as_json, name="scorecard-json"),
    path("experiments/<str:key>/scorecard.csv", scorecard.as_csv, name="scorecard-csv"),
]
