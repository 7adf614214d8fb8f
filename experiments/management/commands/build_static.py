import os
import re
from pathlib import Path
from typing import Any

import vl_convert
from django.conf import settings
from django.contrib.staticfiles.management.commands import collectstatic
from django.core.management import call_command
from whitenoise.storage import CompressedManifestStaticFilesStorage

from experiments.management.base import HoldfastCommand

# Scripts are plain ones, not modules: the page's own script finds `vegaEmbed` on the window. The wrapping function
# keeps the bundle's thousands of one-letter names out of it.
SNIPPET = "window.vegaEmbed = vegaEmbed;"
# The manifest storage follows these comments and stops at the missing map.
SOURCE_MAP = re.compile(r"(//|/\*)[#@]\s*sourceMappingURL=[^\n]*")


class Command(HoldfastCommand):
    help = "Write the third-party JavaScript that installed packages carry, and collect all static files."
    needs_tables = False
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        vendor = settings.HOLDFAST_GENERATED_STATIC / "vendor"
        vendor.mkdir(parents=True, exist_ok=True)
        write_whole(vendor / "vega-embed.js", vega_bundle())
        collector = collectstatic.Command()
        # settings name the plain storage until there is a manifest, and this makes the manifest
        collector.storage = CompressedManifestStaticFilesStorage()
        call_command(collector, interactive=False, clear=True, verbosity=0)
        self.stderr.write(f"Static files are in {settings.STATIC_ROOT}.", lambda text: text)


def vega_bundle() -> str:
    """vega-embed with Vega, Vega-Lite and the expression interpreter, as one script that sets window.vegaEmbed."""
    return f"(function () {{\n{SOURCE_MAP.sub('', vl_convert.javascript_bundle(SNIPPET))}\n}})();\n"


def write_whole(path: Path, text: str) -> None:
    """An interrupted run leaves the old file or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
