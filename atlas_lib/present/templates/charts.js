"use strict";
const decode85 = (text) => {
  const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%.()*+-;,=>?@^_`{|}~";
  const digit = new Uint8Array(128);
  for (let i = 0; i < 85; i += 1) digit[alphabet.charCodeAt(i)] = i;
  const bytes = new Uint8Array((text.length / 5) * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0, at = 0; i < text.length; i += 5, at += 4) {
    let word = 0;
    for (let k = 0; k < 5; k += 1) word = word * 85 + digit[text.charCodeAt(i + k)];
    view.setUint32(at, word);
  }
  return bytes;
};
(async () => {
  const fallback = () => document.querySelectorAll(".chart").forEach((c) => { c.textContent = c.getAttribute("aria-label"); });
  if (typeof DecompressionStream === "undefined") { fallback(); return; }
  const packed = document.getElementById("plotly-gzip");
  const unpacked = new Blob([decode85(packed.textContent).subarray(0, Number(packed.dataset.bytes))]).stream().pipeThrough(new DecompressionStream("gzip"));
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
