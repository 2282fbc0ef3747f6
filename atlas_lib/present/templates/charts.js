"use strict";
(() => {
  const root = document.documentElement;
  const sources = () => document.querySelectorAll(".chart-data");
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
  const unpack = async () => {
    const packed = document.getElementById("plotly-gzip");
    if (!packed) return typeof Plotly !== "undefined";
    if (typeof DecompressionStream === "undefined") return false;
    const stream = new Blob([decode85(packed.textContent).subarray(0, Number(packed.dataset.bytes))]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return true;
  };
  const darkColours = () => JSON.parse(document.getElementById("dark-colours").textContent);
  // A narrow chart needs more lines for its legend than the figure has room for (charts.py): else it covers the title.
  const fitted = (figure, place) => {
    const widths = figure.data.filter((trace) => trace.name && trace.showlegend !== false).map((trace) => 7 * trace.name.length + 55);
    const whole = widths.reduce((sum, width) => sum + width, 0);
    const rows = (width) => (whole <= width ? 1 : Math.ceil(widths.length / Math.max(Math.floor(width / Math.max(...widths)), 1)));
    const lines = Math.max(rows(place.clientWidth - 100) - rows(960), 0);
    const { margin, height } = figure.layout;
    figure.layout = { ...figure.layout, height: height + 22 * lines, margin: { ...margin, t: margin.t + 22 * lines } };
    return figure;
  };
  const draw = async (theme) => {
    const map = theme === "dark" ? darkColours() : {};
    for (const source of sources()) {
      const text = source.textContent.replace(/#[0-9a-f]{6}/gi, (colour) => map[colour.toLowerCase()] || colour);
      const figure = fitted(JSON.parse(text), document.getElementById(source.dataset.target));
      await Plotly.react(source.dataset.target, figure.data, figure.layout, figure.config);
    }
    root.dataset.charts = "drawn";
  };
  const start = async () => {
    if (!sources().length) return;
    if (!(await unpack())) { document.querySelectorAll(".chart").forEach((c) => { c.textContent = c.getAttribute("aria-label"); }); return; }
    await draw(root.dataset.theme);
    document.addEventListener("atlas-theme", () => draw(root.dataset.theme));
    const refit = (theme) => draw(theme).then(() => document.querySelectorAll(".chart").forEach((c) => Plotly.Plots.resize(c)));
    window.addEventListener("beforeprint", () => refit("light"));
    window.addEventListener("afterprint", () => refit(root.dataset.theme));
  };
  document.addEventListener("DOMContentLoaded", start);
})();
