// Follows what changes on the server: a new model, a job's progress. Only while the page is looked at, because a browser keeps few
// connections to one host.
"use strict";

(function () {
  const POLL_MS = 15000;
  const versions = {};
  let source = null;
  let timer = null;

  function learn(topic, version) {
    if (versions[topic] !== version) {
      versions[topic] = version;
      htmx.trigger(document.body, topic + "-changed");
    }
  }

  function listen() {
    if (source || document.hidden) {
      return;
    }
    source = new EventSource("/events");
    source.addEventListener("changed", (event) => {
      const news = JSON.parse(event.data);
      learn(news.topic, news.version);
    });
    source.addEventListener("error", () => {
      if (source && source.readyState === EventSource.CLOSED) {
        quiet();
        poll(); // no room for another stream: ask from time to time
      }
    });
  }

  function quiet() {
    if (source) {
      source.close();
      source = null;
    }
    clearTimeout(timer);
    timer = null;
  }

  async function poll() {
    try {
      const response = await fetch("/events/state", { headers: { Accept: "application/json" } });
      if (response.ok) {
        for (const [topic, version] of Object.entries(await response.json())) {
          learn(topic, version);
        }
      }
    } catch (error) {
      // the server is away: the next round will see
    }
    if (!document.hidden) {
      timer = setTimeout(poll, POLL_MS);
    }
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? quiet() : listen()));
  window.addEventListener("pagehide", quiet);
  window.addEventListener("pageshow", listen);

  // A picker keeps what is picked at the moment of the swap, which may be newer than what the request carried, and says which models
  // are new, once for all pickers of a page.
  let known = null;
  const picked = new WeakMap();
  const titles = (picker) => new Map([...picker.options].map((option) => [option.value, option.textContent]));
  document.addEventListener("htmx:beforeSwap", (event) => {
    const picker = event.detail.target;
    if (picker.matches(".model-picker")) {
      known = known || titles(picker);
      picked.set(picker, picker.value);
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const picker = event.detail.target;
    if (picker.matches(".model-picker") && known) {
      const offered = titles(picker);
      if (offered.has(picked.get(picker))) {
        picker.value = picked.get(picker);
      }
      for (const [name, title] of offered) {
        if (!known.has(name)) {
          known.set(name, title);
          Homeroom.toast("New model: " + title + ". Pick it from the list.");
        }
      }
    }
  });

  // A list is not replaced under somebody who edits in it.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const list = event.detail.elt;
    if (list.matches("[data-keep-while-editing]") && list.querySelector("[data-editing]")) {
      event.preventDefault();
      Homeroom.toast("The list of models changed. Close the settings and load the page again to see it.");
    }
  });
})();
