// Light or dark: what the reader chose, or else what the system prefers. Loaded before the page is painted.
(function () {
  "use strict";
  const root = document.documentElement;
  root.classList.add("scripted");
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function stored() {
    try {
      return window.localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off
    }
  }

  function shown() {
    return root.dataset.theme || (system.matches ? "dark" : "light");
  }

  function announce() {
    const name = document.querySelector("[data-theme-name]");
    if (name) name.textContent = shown() === "dark" ? "Light theme" : "Dark theme";
    document.dispatchEvent(new CustomEvent("holdfast:theme", { detail: shown() }));
  }

  function choose(theme) {
    root.dataset.theme = theme;
    try {
      window.localStorage.setItem("theme", theme);
    } catch {
      // the choice then lasts for this page
    }
    announce();
  }

  const before = stored();
  if (before === "light" || before === "dark") root.dataset.theme = before;
  window.holdfastTheme = shown;
  system.addEventListener("change", announce);
  document.addEventListener("DOMContentLoaded", function () {
    const toggle = document.querySelector("[data-theme-toggle]");
    toggle.hidden = false;
    toggle.addEventListener("click", () => choose(shown() === "dark" ? "light" : "dark"));
    announce();
  });
})();
