"use strict";
// Tables turn, sort and filter in place; without this script the same links and forms load the whole page.
(() => {
  document.documentElement.classList.add("js");
  // What is wider than the window can be scrolled with the keyboard.
  const reach = (within) => within.querySelectorAll(".atlas-scroll").forEach((box) => { if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; });
  reach(document);
  const part = (address, name) => {
    const url = new URL(address, location.href);
    url.hash = "";
    url.searchParams.set("only", name);
    return url;
  };
  const show = async (section, address) => {
    section.setAttribute("aria-busy", "true");
    const answer = await fetch(part(address, section.id), { credentials: "same-origin" });
    if (!answer.ok) { location.assign(address); return; }
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text();
    const fresh = holder.content.querySelector("section");
    const named = section.contains(document.activeElement) ? document.activeElement.name : "";
    section.replaceWith(fresh);
    reach(fresh);
    if (named) { const field = fresh.querySelector(`[name="${CSS.escape(named)}"]`); if (field) field.focus(); }
    history.replaceState(null, "", address);
    // What other tables and the page's filters carry along must know the new state too.
    const asked = new URL(address, location.href).searchParams;
    document.querySelectorAll("form[method=get]").forEach((form) => {
      if (fresh.contains(form)) return;
      form.querySelectorAll(`input[type=hidden][name^="${fresh.id}."]`).forEach((field) => field.remove());
      asked.forEach((value, key) => {
        if (!key.startsWith(`${fresh.id}.`)) return;
        const field = Object.assign(document.createElement("input"), { type: "hidden", name: key, value });
        form.append(field);
      });
    });
  };
  const addressOf = (form) => {
    const query = new URLSearchParams();
    new FormData(form).forEach((value, key) => { if (value) query.append(key, value); });
    return `${form.action.split("#")[0].split("?")[0]}?${query}`;
  };
  const fitted = (address, section) => {
    const url = new URL(address, location.href);
    new URL(location.href).searchParams.forEach((value, key) => { if (!key.startsWith(`${section.id}.`)) url.searchParams.set(key, value); });
    return url.href;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".listing th a, .listing .pages a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link.closest(".listing"), fitted(link.href, link.closest(".listing")));
  });
  document.addEventListener("submit", (event) => {
    const section = event.target.closest(".listing");
    if (!section || event.target.method === "post") return;
    event.preventDefault();
    show(section, fitted(addressOf(event.target), section));
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.filters, .listing form.tools");
    if (form && event.target.matches("select, input[type=search], input[type=number], input[type=date]")) form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
    const field = document.querySelector(".listing input[type=search]");
    if (field) { event.preventDefault(); field.focus(); }
  });
  // A live list renews itself, unless somebody is choosing in it, writing in it, or not looking.
  const renew = async (section) => {
    const isBusy = section.querySelector("input:checked") || section.contains(document.activeElement) || document.hidden;
    const answer = isBusy ? null : await fetch(section.dataset.part, { credentials: "same-origin" }).catch(() => null);
    let next = section;
    if (answer && answer.ok) {
      const holder = document.createElement("template");
      holder.innerHTML = await answer.text();
      if (!section.querySelector("input:checked") && !section.contains(document.activeElement)) {
        next = holder.content.querySelector("section");
        next.querySelector("time").textContent = new Date().toLocaleTimeString();
        next.querySelector(".renewed").hidden = false;
        section.replaceWith(next);
        reach(next);
      }
    }
    setTimeout(renew, 1000 * next.dataset.seconds, next);
  };
  document.querySelectorAll(".live").forEach((section) => setTimeout(renew, 1000 * section.dataset.seconds, section));
})();
