// The form of an experiment: its live messages, and nothing that was typed gets lost when one was signed out meanwhile.
(function () {
  "use strict";
  const ours = "holdfast:typed:";
  const form = document.getElementById("step");
  // What was typed is good for the one person, step and state of the draft; everything else is forgotten.
  const place = form && ours + [form.dataset.who, location.pathname, form.elements.revision.value].join(":");

  function typed() {
    const data = new FormData(form);
    ["csrfmiddlewaretoken", "revision"].forEach((name) => data.delete(name));
    return new URLSearchParams(data).toString();
  }

  function restore(text) {
    const values = new URLSearchParams(text);
    Array.from(form.elements).forEach(function (field) {
      if (!field.name || field.type === "hidden" || field.type === "submit") return;
      const given = values.getAll(field.name);
      if (field.type === "radio" || field.type === "checkbox") field.checked = given.includes(field.value);
      else if (given.length) field.value = given[0];
    });
    document.getElementById("restored").hidden = false;
    // htmx listens to the form once the document is ready, which comes after this
    document.addEventListener("DOMContentLoaded", () => form.dispatchEvent(new Event("change", { bubbles: true })));
  }

  document.addEventListener("htmx:afterSettle", function () {
    document.querySelectorAll("#step [id^='f-']").forEach(function (input) {
      const message = document.getElementById("e-" + input.id.slice(2));
      if (message && message.textContent.trim()) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    });
  });

  const kept = form && sessionStorage.getItem(place);
  Object.keys(sessionStorage).filter((name) => name.startsWith(ours)).forEach((name) => sessionStorage.removeItem(name));
  if (!form) return;
  if (kept !== null && kept !== typed()) restore(kept);
  let leaves = false;
  form.addEventListener("submit", () => { leaves = true; });
  document.addEventListener("htmx:beforeOnLoad", function (event) {
    if (event.detail.xhr.getResponseHeader("HX-Refresh")) leaves = true;
  });
  window.addEventListener("pagehide", function () {
    if (leaves) sessionStorage.setItem(place, typed());
  });
})();
