"use strict";
(async () => {
  const fallback = () => document.querySelectorAll(".chart").forEach((c) => { c.textContent = c.getAttribute("aria-label"); });
  if (typeof DecompressionStream === "undefined") { fallback(); return; }
  const bytes = Uint8Array.from(atob(document.getElementById("plotly-gzip").textContent), (c) => c.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
  for (const source of document.querySelectorAll(".chart-data")) {
    const figure = JSON.parse(source.textContent);
    await Plotly.newPlot(source.dataset.target, figure.data, figure.layout, figure.config);
  }
  document.documentElement.dataset.charts = "drawn";
  const refit = () => document.querySelectorAll(".chart").forEach((c) => Plotly.Plots.resize(c));
  window.addEventListener("beforeprint", refit);
  window.addEventListener("afterprint", refit);
})();
