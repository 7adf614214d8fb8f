// Draws the trajectory charts from the specs that the page carries, in the colors of its theme.
(function () {
  "use strict";
  const NARROW = 480;
  const NARROW_HEIGHT = 230;
  const themes = JSON.parse(document.getElementById("chart-themes").textContent);

  function read(figure) {
    return JSON.parse(document.getElementById(figure.dataset.chart).textContent);
  }

  async function draw(figure) {
    figure.dataset.chartTheme = window.holdfastTheme();
    const place = figure.querySelector("[data-drawing]");
    const chosen = figure.querySelector("input:checked");
    const specs = read(figure);
    const spec = specs[chosen ? chosen.value : Object.keys(specs)[0]];
    if (place.clientWidth < NARROW) spec.height = NARROW_HEIGHT;
    const result = await window.vegaEmbed(place, spec, {
      actions: false,
      ast: true, // expressions are interpreted: the content security policy forbids eval
      config: themes[figure.dataset.chartTheme],
      defaultStyle: false, // the style sheet has what is needed
      mode: "vega-lite",
      renderer: "svg",
      tooltip: { disableDefaultStyle: true },
    });
    if (figure.drawn) figure.drawn.finalize();
    figure.drawn = result;
  }

  function drawIfOpen(figure) {
    if (figure.closest("details").open) draw(figure);
  }

  const figures = Array.from(document.querySelectorAll("[data-chart]"));
  for (const figure of figures) {
    drawIfOpen(figure);
    figure.addEventListener("change", () => draw(figure));
    figure.closest("details").addEventListener("toggle", function () {
      if (this.open && figure.dataset.chartTheme !== window.holdfastTheme()) draw(figure);
    });
  }
  document.addEventListener("holdfast:theme", function () {
    for (const figure of figures) if (figure.dataset.chartTheme) drawIfOpen(figure);
  });
})();
