// A conversation: send, stream, stop, answer again. The chat and practice sessions share it.
"use strict";

document.addEventListener("alpine:init", () => {
  Alpine.data("thread", () => ({
    ...Homeroom.composer,
    idle: true,
    streaming: false,
    failed: false,
    problem: "",
    status: "",
    reply: "",

    init() {
      this.scroll(true);
      if (matchMedia("(min-width: 821px)").matches) {
        this.$refs.input.focus();
      }
    },

    submit() {
      const text = this.$refs.input.value.trim();
      if (text && this.idle) {
        this.run(this.$root.dataset.send, { text, model: this.model() }, text);
      }
    },

    model() {
      const picker = document.querySelector(this.$root.dataset.picker || "#no-picker");
      return picker ? picker.value : "";
    },

    async run(url, body, text) {
      let begun = false;
      let ended = false;
      let grow = () => {};
      this.idle = false;
      this.failed = false;
      this.status = "Waiting for the answer.";
      try {
        await Homeroom.stream(url, body, {
          begin: (data) => {
            begun = true;
            if (text) {
              this.fill("");
            }
            grow = this.begin(data);
          },
          delta: (data) => {
            const stick = this.atBottom();
            grow(data.text);
            this.scroll(stick);
          },
          done: (data) => {
            ended = true;
            this.end(data);
            this.status = "The answer is complete.";
          },
          failed: (data) => {
            ended = true;
            this.end(data);
            this.status = data.error.message;
          },
        });
        if (!ended) {
          throw new Homeroom.Problem(Homeroom.BROKEN, "connection");
        }
      } catch (error) {
        if (!(error instanceof Homeroom.Problem)) {
          throw error;
        }
        this.failed = true;
        this.problem = error.message;
        if (begun) {
          this.$root.querySelectorAll("[data-waiting]").forEach((dots) => dots.remove());
        }
      } finally {
        this.idle = true;
        this.streaming = false;
        this.reply = "";
        this.$refs.input.focus({ preventScroll: true });
      }
    },

    // Shows the new turns; returns what to call with each piece of the reply.
    begin(data) {
      this.reply = data.reply;
      this.streaming = true;
      this.$root.querySelectorAll("[data-empty], .opening").forEach((note) => note.remove());
      this.$root.querySelectorAll(".retry, .exchange .inline-error").forEach((note) => note.remove());
      this.$root.querySelectorAll("[data-again]").forEach((button) => button.remove());
      this.place(data);
      this.adopt(data);
      const turn = this.$root.querySelector(`[data-reply="${data.reply}"]`);
      const dots = turn.querySelector("[data-waiting]");
      const grow = Homeroom.grower(turn.querySelector("[data-stream]"));
      this.scroll(true);
      return (more) => {
        dots.hidden = true;
        grow(more);
      };
    },

    end(data) {
      const stick = this.atBottom();
      this.place(data);
      this.scroll(stick);
      htmx.trigger(document.body, "conversations-changed");
    },

    place(data) {
      const old = document.getElementById("exchange-" + data.exchange);
      const fresh = Homeroom.fragment(data.html).firstElementChild;
      if (old) {
        old.replaceWith(fresh);
      } else {
        document.getElementById("thread").append(fresh);
      }
      Homeroom.revive(fresh);
    },

    // The first message made the conversation: the address and the list follow.
    adopt(data) {
      const current = document.getElementById("current-conversation");
      if (data.url && current && current.value !== data.conversation) {
        current.value = data.conversation;
        this.$root.dataset.send = data.url + "/turns";
        history.replaceState(null, "", data.url);
        document.getElementById("talk-title").textContent = data.title;
        document.title = data.title + " · Homeroom";
        htmx.trigger(document.body, "conversations-changed");
      }
    },

    async stop() {
      if (this.reply) {
        await Homeroom.stopReply(this.reply);
      }
    },

    escape() {
      if (this.streaming) {
        this.stop();
      }
    },

    clicked(event) {
      const again = event.target.closest("[data-again]");
      if (again && this.idle) {
        this.run(again.dataset.again, { model: this.model() }, "");
      }
      const starter = event.target.closest("[data-starter]");
      if (starter) {
        this.fill(starter.textContent);
        this.submit();
      }
    },

    atBottom() {
      const box = this.$refs.scroll;
      return box.scrollHeight - box.scrollTop - box.clientHeight < 80;
    },

    scroll(wanted) {
      if (wanted) {
        requestAnimationFrame(() => {
          this.$refs.scroll.scrollTop = this.$refs.scroll.scrollHeight;
        });
      }
    },
  }));
});
