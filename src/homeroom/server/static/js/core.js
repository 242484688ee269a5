// What every page shares: the CSRF token on each request, streamed posts, toasts, copying.
"use strict";

(function () {
  const token = () => document.querySelector('meta[name="csrf-token"]').content;
  const OFFLINE = "Homeroom does not answer. Is it still running? Start it with: homeroom serve";
  const BROKEN = "The connection broke. What was said is kept: load the page again.";

  class Problem extends Error {
    constructor(message, code) {
      super(message);
      this.code = code || "";
    }
  }

  async function post(url, body, signal) {
    let response;
    try {
      response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "text/event-stream, application/json", "X-CSRF-Token": token() },
        body: JSON.stringify(body || {}),
        signal,
      });
    } catch (error) {
      throw new Problem(OFFLINE, "offline");
    }
    if (!response.ok) {
      let shown = {};
      try {
        shown = (await response.json()).error || {};
      } catch (error) {
        // not our JSON: the sentence below says enough
      }
      throw new Problem(shown.message || "The request failed (" + response.status + ").", shown.code);
    }
    return response;
  }

  // Posts, then calls handlers[event](data) for each server-sent event of the answer.
  async function stream(url, body, handlers) {
    const response = await post(url, body);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = "";
    for (;;) {
      let piece;
      try {
        piece = await reader.read();
      } catch (error) {
        throw new Problem(BROKEN, "connection");
      }
      if (piece.done) {
        return;
      }
      const blocks = (waiting + piece.value).split("\n\n");
      waiting = blocks.pop();
      for (const block of blocks) {
        dispatch(block, handlers);
      }
    }
  }

  function dispatch(block, handlers) {
    let name = "";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) {
        name = line.slice(7);
      } else if (line.startsWith("data: ")) {
        data += line.slice(6);
      }
    }
    if (name && handlers[name]) {
      handlers[name](JSON.parse(data));
    }
  }

  function toast(text) {
    const box = document.createElement("p");
    box.className = "toast";
    box.textContent = text;
    document.getElementById("toasts").append(box);
    setTimeout(() => box.remove(), 8000);
  }

  // HTML of our own templates, made alive: htmx attributes, Markdown, formulas.
  function fragment(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  }

  function revive(element) {
    htmx.process(element);
    Homeroom.renderAll(element);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch (error) {
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "sr-only";
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    toast("Copied.");
  }

  // Grows with its text; Enter sends, Shift+Enter makes a new line.
  const composer = {
    grow() {
      const area = this.$refs.input;
      area.style.height = "auto";
      area.style.height = Math.min(area.scrollHeight, 220) + "px";
    },
    key(event) {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.submit();
      }
    },
    fill(text) {
      this.$refs.input.value = text;
      this.grow();
    },
  };

  // Stop a reply that is being written.
  async function stopReply(id) {
    try {
      await post("/replies/" + id + "/stop");
    } catch (error) {
      if (!(error instanceof Problem)) {
        throw error;
      } // it ended a moment ago
    }
  }

  window.Homeroom = { post, stream, stopReply, toast, fragment, revive, composer, Problem, BROKEN };

  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-CSRF-Token"] = token();
  });
  document.addEventListener("htmx:sendError", () => {
    const box = document.createElement("div");
    box.className = "strip strip-bad";
    box.textContent = OFFLINE;
    document.getElementById("notices").replaceChildren(box);
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.requestConfig && event.detail.requestConfig.verb !== "get") {
      document.getElementById("notices").replaceChildren();
    }
  });
  document.addEventListener("htmx:afterSettle", (event) => Homeroom.renderAll(event.detail.elt));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      copy(Homeroom.rawOf(button.closest("article").querySelector(".md")));
    }
  });
  document.addEventListener("DOMContentLoaded", () => {
    Homeroom.renderAll(document.body);
    const learner = document.querySelector("[data-learner]");
    if (learner && matchMedia("(max-width: 820px)").matches) {
      learner.open = false;
    }
  });

  document.addEventListener("alpine:init", () => {
    Alpine.data("panel", () => ({
      open: true,
      close() {
        this.$root.parentElement.replaceChildren();
      },
    }));
    Alpine.data("drawer", () => ({
      open: false,
      get drawerClass() {
        return this.open ? "drawer-open" : "";
      },
      get expanded() {
        return this.open ? "true" : "false";
      },
      toggle() {
        this.open = !this.open;
      },
      close() {
        this.open = false;
      },
    }));
  });
})();
