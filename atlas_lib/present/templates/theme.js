"use strict";
(() => {
  const root = document.documentElement;
  const asked = window.matchMedia("(prefers-color-scheme: dark)");
  const kept = () => { try { return localStorage.getItem("atlas-theme"); } catch { return null; } };
  const apply = (theme) => {
    root.dataset.theme = theme;
    document.querySelectorAll("button.theme").forEach((b) => { b.textContent = theme === "dark" ? "Light" : "Dark"; b.setAttribute("aria-label", `Use the ${theme === "dark" ? "light" : "dark"} theme`); });
    document.dispatchEvent(new Event("atlas-theme"));
  };
  const chosen = () => kept() || (asked.matches ? "dark" : "light");
  apply(chosen());
  asked.addEventListener("change", () => apply(chosen()));
  document.addEventListener("DOMContentLoaded", () => apply(chosen()));
  document.addEventListener("click", (event) => {
    if (!event.target.closest("button.theme")) return;
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("atlas-theme", theme); } catch { /* a page that may keep nothing still changes */ }
    apply(theme);
  });
})();
