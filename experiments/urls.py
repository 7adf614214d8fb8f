"""Addresses of the pages. What each of them needs is declared at its view; tests hold a table of all of them."""

from django.urls import URLPattern, URLResolver, path, re_path

from experiments.views import (
    account,
    catalog,
    decisions,
    lifecycle,
    methods,
    metrics,
    people,
    portfolio,
    scorecard,
    sources,
)

EXPERIMENT = "experiments/<str:key>/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", portfolio.portfolio, name="portfolio"),
    path(EXPERIMENT, scorecard.scorecard, name="scorecard"),
    path(f"{EXPERIMENT}progress/", scorecard.progress, name="progress"),
    path(f"{EXPERIMENT}scorecard.json", scorecard.as_json, name="scorecard-json"),
    path(f"{EXPERIMENT}scorecard.csv", scorecard.as_csv, name="scorecard-csv"),
    path(f"{EXPERIMENT}charts/<str:variant>/<str:metric>/", scorecard.chart, name="chart"),
    path(f"{EXPERIMENT}chart.csv", scorecard.chart_csv, name="chart-csv"),
    path(f"{EXPERIMENT}refresh/", lifecycle.refresh, name="refresh"),
    path(f"{EXPERIMENT}history/", lifecycle.history, name="history"),
    path(f"{EXPERIMENT}owners/", lifecycle.owners, name="owners"),
    path(f"{EXPERIMENT}submit/", lifecycle.verb_view("submit"), name="submit"),
    path(f"{EXPERIMENT}withdraw/", lifecycle.verb_view("withdraw"), name="withdraw"),
    path(f"{EXPERIMENT}start/", lifecycle.verb_view("start"), name="start"),
    path(f"{EXPERIMENT}archive/", lifecycle.verb_view("archive"), name="archive"),
    path(f"{EXPERIMENT}decide/<str:variant>/", decisions.decide, name="decide"),
    path("decisions/", decisions.log, name="decisions"),
    path("decisions/<int:number>/evidence.json", decisions.evidence, name="evidence"),
    path("metrics/", catalog.metrics, name="metrics"),
    path("add/metric/", metrics.add, name="metric-add"),
    path("metrics/<str:metric>/", metrics.metric, name="metric"),
    path("metrics/<str:metric>/edit/", metrics.edit, name="metric-edit"),
    path("metrics/<str:metric>/publish/<int:version>/", metrics.publish, name="metric-publish"),
    path("sources/", catalog.sources, name="sources"),
    path("add/source/", sources.add, name="source-add"),
    path("add/source/<str:token>/", sources.draft, name="source-draft"),
    path("sources/<str:source>/", sources.source, name="source"),
    path("sources/<str:source>/check/", sources.check, name="source-check"),
    path("sources/<str:source>/progress/", sources.progress, name="source-progress"),
    path("sources/<str:source>/data/", sources.data, name="source-data"),
    path("methods/", methods.index, name="methods"),
    path("methods/<str:name>/", methods.page, name="methods-page"),
    path("people/", people.people, name="people"),
    path("people/<int:number>/role/", people.role, name="person-role"),
    path("people/<int:number>/active/", people.active, name="person-active"),
    # names that django-allauth looks up
    path("login/", account.login, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("password/", account.change_password, name="account_change_password"),
    path("password/reset/", account.reset_password, name="account_reset_password"),
    path("password/reset/sent/", account.reset_password_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        account.reset_password_from_key,
        name="account_reset_password_from_key",
    ),
    path("password/reset/done/", account.reset_password_from_key_done, name="account_reset_password_from_key_done"),
]
