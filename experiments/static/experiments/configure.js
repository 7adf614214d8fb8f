// Live messages of the form of an experiment: a field is marked while its message is not empty.
(function () {
  "use strict";
  document.addEventListener("htmx:afterSettle", function () {
    document.querySelectorAll("#step [id^='f-']").forEach(function (input) {
      const message = document.getElementById("e-" + input.id.slice(2));
      if (message && message.textContent.trim()) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    });
  });
})();
