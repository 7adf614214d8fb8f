// Draws the charts from the specs that the page carries, in the colors of its theme, and saves them as pictures.
(function () {
  "use strict";
  const NARROW = 480;
  const NARROW_HEIGHT = 230;
  const PICTURE = { width: 880, scale: 2, padding: 24 };
  const figures = new Set();

  function json(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  function chosen(figure) {
    const specs = json(figure.dataset.chart);
    const radio = figure.querySelector("input:checked");
    const kind = radio ? radio.value : Object.keys(specs)[0];
    return { kind, several: Object.keys(specs).length > 1, spec: specs[kind] };
  }

  function options(config) {
    return {
      actions: false,
      ast: true, // expressions are interpreted: the content security policy forbids eval
      config,
      defaultStyle: false, // the style sheet has what is needed
      mode: "vega-lite",
      renderer: "svg",
      tooltip: { disableDefaultStyle: true },
    };
  }

  async function draw(figure) {
    const theme = window.holdfastTheme();
    figure.dataset.chartTheme = theme;
    const place = figure.querySelector("[data-drawing]");
    const { spec } = chosen(figure);
    if (place.clientWidth < NARROW) spec.height = Math.min(spec.height, NARROW_HEIGHT);
    const result = await window.vegaEmbed(place, spec, options(json("chart-themes")[theme]));
    if (figure.drawn) figure.drawn.finalize();
    figure.drawn = result;
  }

  // A picture is for slides and mails: always light, with its finding as the title.
  async function save(figure, format) {
    const { kind, several, spec } = chosen(figure);
    const place = document.createElement("div");
    Object.assign(spec, {
      width: PICTURE.width,
      padding: PICTURE.padding,
      title: { text: figure.dataset.title, subtitle: figure.dataset.subtitle, anchor: "start", offset: 20 },
    });
    const config = { ...json("chart-themes").light, background: "white" };
    const result = await window.vegaEmbed(place, spec, options(config));
    const link = document.createElement("a");
    link.href = await result.view.toImageURL(format, PICTURE.scale);
    link.download = `${figure.dataset.name}${several ? `-${kind}` : ""}.${format}`;
    link.click();
    result.finalize();
  }

  function isOpen(figure) {
    const fold = figure.closest("details");
    return !fold || fold.open;
  }

  function setUp(figure) {
    figures.add(figure);
    figure.addEventListener("change", () => draw(figure));
    for (const button of figure.querySelectorAll("[data-download]")) {
      button.hidden = false;
      button.addEventListener("click", () => save(figure, button.dataset.download));
    }
    const fold = figure.closest("details");
    if (fold) {
      fold.addEventListener("toggle", function () {
        if (fold.open && figure.dataset.chartTheme !== window.holdfastTheme()) draw(figure);
      });
    }
    if (isOpen(figure)) draw(figure);
  }

  function setUpAll() {
    for (const figure of figures) {
      if (figure.isConnected) continue;
      if (figure.drawn) figure.drawn.finalize();
      figures.delete(figure);
    }
    for (const figure of document.querySelectorAll("[data-chart]")) if (!figures.has(figure)) setUp(figure);
  }

  setUpAll();
  document.addEventListener("htmx:load", setUpAll);
  document.addEventListener("holdfast:theme", function () {
    for (const figure of figures) if (figure.dataset.chartTheme && isOpen(figure)) draw(figure);
  });
})();
