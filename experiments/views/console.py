"""The console: why a unit gets its variant, asked of the same flags in memory that programs are answered from."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from experiments.explanation import Step
from experiments.forms import ConsoleForm
from experiments.services.assignment import FLAGS, BrokenFlag
from experiments.services.console import Explained, ask
from experiments.views.guard import needs

STEPS = ("forced", "holdout", "ended", "targeting", "layer", "phase", "enrollment", "variant")
TITLES = {
    "forced": "Tester", "holdout": "Holdout", "ended": "Launched or stopped", "targeting": "Targeting",
    "layer": "Layer", "phase": "Phase", "enrollment": "Enrollment", "variant": "Variant",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A step on the page; None for one that was not asked any more."""

    title: str
    step: Step | None


@require_GET
@needs("read")
def console(request: HttpRequest) -> HttpResponse:
    """A form, and with a flag and a unit in the address the answer below it."""
    snapshot = FLAGS.get(time.monotonic())
    form = ConsoleForm(request.GET or None, flags=snapshot.keys)
    context: dict[str, Any] = {"form": form, "flags": snapshot.keys}
    if form.is_valid():
        told = form.cleaned_data
        try:
            found = ask(snapshot, told["flag"], told["unit"], told["attributes"], timezone.now(), told["day"])
        except BrokenFlag as broken:
            form.add_error("flag", f"{broken}.")
        else:
            context |= {"found": found, "lines": _lines(found), "unit": told["unit"], "flag": told["flag"]}
            context["value"] = json.dumps(found.evaluation.value, ensure_ascii=False)
    return render(request, "console.html", context, status=422 if form.errors else 200)


def _lines(found: Explained) -> Sequence[Line]:
    """The steps that were asked, and those that come after them."""
    if not found.steps:
        return ()
    lines = [Line(TITLES[step.name], step) for step in found.steps]
    last = found.steps[-1].name
    later = () if found.is_holdout else STEPS[STEPS.index(last) + 1 :]
    return [*lines, *(Line(TITLES[name], None) for name in later)]
