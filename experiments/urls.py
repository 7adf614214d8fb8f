"""Addresses of the pages."""

from django.urls import URLPattern, URLResolver, path

from experiments.views import catalog, methods, portfolio, scorecard

urlpatterns: list[URLPattern | URLResolver] = [
    path("", portfolio.portfolio, name="portfolio"),
    path("experiments/<str:key>/", scorecard.scorecard, name="scorecard"),
    path("experiments/<str:key>/progress/", scorecard.progress, name="progress"),
    path("experiments/<str:key>/scorecard.json", scorecard.as_json, name="scorecard-json"),
    path("experiments/<str:key>/scorecard.csv", scorecard.as_csv, name="scorecard-csv"),
    path("experiments/<str:key>/charts/<str:variant>/<str:metric>/", scorecard.chart, name="chart"),
    path("experiments/<str:key>/chart.csv", scorecard.chart_csv, name="chart-csv"),
    path("metrics/", catalog.metrics, name="metrics"),
    path("sources/", catalog.sources, name="sources"),
    path("methods/", methods.index, name="methods"),
    path("methods/<str:name>/", methods.page, name="methods-page"),
]
