"""Colors of the charts, light and dark. They repeat the custom properties of the style sheet (a test compares them)."""

from typing import Any, Literal

Theme = Literal["light", "dark"]

PALETTES: dict[Theme, dict[str, str]] = {
    "light": {
        "ink": "#1b1d1a",
        "muted": "#5f635c",
        "line": "#e3e4de",
        "zero": "#8d9189",
        "accent": "#24588f",
        "good": "#1a7548",
        "bad": "#b3362b",
        "within": "#8a5a00",
    },
    "dark": {
        "ink": "#ecede8",
        "muted": "#a4a89f",
        "line": "#33362f",
        "zero": "#82867d",
        "accent": "#8fbdf0",
        "good": "#6fd3a0",
        "bad": "#f28b80",
        "within": "#e8bd5c",
    },
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def config(theme: Theme) -> dict[str, Any]:
    """Return the Vega-Lite config of a theme. Specs name styles only, so that one spec serves both themes."""
    color = PALETTES[theme]
    shade = 0.07 if theme == "light" else 0.12
    label = {"fontSize": 12, "font": FONT}
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "domain": False,
            "ticks": False,
            "gridColor": color["line"],
            "labelColor": color["muted"],
            "titleColor": color["muted"],
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelPadding": 8,
            "titlePadding": 8,
        },
        "style": {
            "line": {"color": color["accent"], "strokeWidth": 2.5, "strokeJoin": "round"},
            "line-control": {"color": color["muted"], "strokeWidth": 2, "strokeJoin": "round"},
            "band-control": {"color": color["muted"], "fillOpacity": 0.16},
            "treatment": {"color": color["accent"], "size": 90, "filled": True, "opacity": 1},
            "reach": {"color": color["accent"], "strokeWidth": 2},
            "point": {"color": color["accent"], "size": 24, "filled": True, "opacity": 1},
            "band": {"color": color["accent"], "fillOpacity": 0.2},
            "joint-band": {"color": color["accent"], "fillOpacity": 0.1},
            "zero": {"color": color["zero"], "strokeWidth": 1.25},
            "immature": {"color": color["muted"], "fillOpacity": shade},
            "shade-open": {"color": color["accent"], "fillOpacity": shade},
            **{f"shade-{tone}": {"color": color[tone], "fillOpacity": shade} for tone in ("good", "bad", "within")},
            "label": {"color": color["muted"], **label},
            "label-control": {"color": color["muted"], "fontWeight": 600, **label},
            "label-treatment": {"color": color["accent"], "fontWeight": 600, **label},
            "label-open": {"color": color["muted"], "fontWeight": 600, **label},
            **{
                f"label-{tone}": {"color": color[tone], "fontWeight": 600, **label}
                for tone in ("good", "bad", "within")
            },
        },
    }
