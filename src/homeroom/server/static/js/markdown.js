// Markdown and formulas from models, made safe: HTML is shown as text, the rest is sanitised, nothing is loaded from anywhere.
"use strict";

(function () {
  const raws = new WeakMap();
  const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  const escape = (text) => String(text).replace(/[&<>"']/g, (character) => escapes[character]);

  const FORMULAS = [
    { pattern: /^\$\$([\s\S]+?)\$\$/, display: true },
    { pattern: /^\\\[([\s\S]+?)\\\]/, display: true },
    { pattern: /^\\\(([\s\S]+?)\\\)/, display: false },
    // No space inside, no digit after: "$5 and $6" is money.
    { pattern: /^\$(?!\s)((?:\\.|[^$\\\n])+?)(?<!\s)\$(?!\d)/, display: false },
  ];

  const formula = {
    name: "formula",
    level: "inline",
    start(source) {
      const at = source.search(/\$|\\\(|\\\[/);
      return at < 0 ? undefined : at;
    },
    tokenizer(source) {
      for (const { pattern, display } of FORMULAS) {
        const found = pattern.exec(source);
        if (found) {
          return { type: "formula", raw: found[0], tex: found[1].trim(), display };
        }
      }
      return undefined;
    },
    renderer(token) {
      return `<span class="math" data-tex="${escape(token.tex)}" data-display="${token.display}">${escape(token.raw)}</span>`;
    },
  };

  const parser = new marked.Marked({ gfm: true, breaks: true, async: false });
  parser.use({
    extensions: [formula],
    renderer: {
      html(token) {
        return escape(token.text);
      },
      image(token) {
        return escape(token.text || token.href);
      },
      heading(token) {
        const level = Math.min(6, token.depth + 2);
        return `<h${level}>${this.parser.parseInline(token.tokens)}</h${level}>`;
      },
      checkbox(token) {
        return token.checked ? "☑ " : "☐ ";
      },
    },
  });

  const RULES = {
    ALLOWED_TAGS: [
      "p", "br", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6", "hr",
      "table", "thead", "tbody", "tr", "th", "td", "a", "span",
    ],
    ALLOWED_ATTR: ["href", "class", "data-tex", "data-display", "start", "align", "title"],
    ADD_URI_SAFE_ATTR: ["data-tex", "data-display", "start", "align"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    RETURN_DOM_FRAGMENT: true,
  };

  DOMPurify.addHook("afterSanitizeAttributes", (node) => {
    if (node.tagName === "A") {
      node.setAttribute("target", "_blank");
      node.setAttribute("rel", "noopener noreferrer nofollow");
      node.setAttribute("title", node.getAttribute("href") || "");
    }
  });

  function draw(element, text) {
    raws.set(element, text);
    const content = DOMPurify.sanitize(parser.parse(text), RULES);
    for (const place of content.querySelectorAll(".math[data-tex]")) {
      try {
        // Rendered into nodes, not into text: the policy forbids style attributes, and KaTeX sets styles on nodes.
        katex.render(place.dataset.tex, place, {
          displayMode: place.dataset.display === "true",
          throwOnError: true,
          trust: false,
          strict: "ignore",
          maxSize: 8,
          maxExpand: 200,
        });
      } catch (error) {
        place.classList.add("math-plain"); // no formula after all: the text that was written stays
      }
    }
    element.replaceChildren(content);
    element.classList.add("rendered");
  }

  function renderAll(root) {
    const found = root.matches && root.matches("[data-md]") ? [root] : [];
    for (const element of [...found, ...root.querySelectorAll("[data-md]")]) {
      if (!element.classList.contains("rendered")) {
        draw(element, element.textContent);
      }
    }
  }

  // Draws a text that grows, at most once a frame.
  function grower(element) {
    let text = "";
    let asked = false;
    return (more) => {
      text += more;
      if (!asked) {
        asked = true;
        requestAnimationFrame(() => {
          asked = false;
          if (element.isConnected) {
            draw(element, text);
          }
        });
      }
    };
  }

  Object.assign(window.Homeroom, { renderAll, grower, rawOf: (element) => raws.get(element) ?? element.textContent });
})();
