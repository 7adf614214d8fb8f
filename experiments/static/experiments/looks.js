// The look slider: while it moves it says what each look said; once it rests, that look's scorecard is shown.
(function () {
  "use strict";
  const RESTS = 250; // milliseconds without a move: arrow keys pass several looks on their way
  let waiting = 0;

  function stopOf(slider) {
    return document.querySelectorAll("[data-stop]")[Number(slider.value)];
  }

  function say(slider, stop) {
    const box = slider.closest(".look");
    const { name, day, words, tone, naive } = stop.dataset;
    const said = box.querySelector("[data-look-words]");
    box.querySelector("[data-look-name]").textContent = name;
    box.querySelector("[data-look-day]").textContent = day;
    box.querySelector("[data-look-naive]").textContent = naive;
    said.textContent = words;
    said.className = `said ${tone}`;
    slider.setAttribute("aria-valuetext", `${name}, ${day}: ${words}${naive ? `. ${naive}` : ""}`);
    slider.closest(".slider").querySelectorAll(".strip li").forEach(function (cell, place) {
      cell.classList.toggle("current", place === Number(slider.value));
    });
  }

  document.addEventListener("input", function (event) {
    if (event.target.matches("[data-looks]")) say(event.target, stopOf(event.target));
  });

  document.addEventListener("change", function (event) {
    const slider = event.target;
    if (!slider.matches("[data-looks]")) return;
    clearTimeout(waiting);
    waiting = setTimeout(function () {
      const stop = stopOf(slider);
      if (stop && !stop.hasAttribute("aria-current")) stop.click();
    }, RESTS);
  });
})();
