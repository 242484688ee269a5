// One question to two models.
"use strict";

document.addEventListener("alpine:init", () => {
  Alpine.data("compare", () => ({
    ...Homeroom.composer,
    idle: true,
    streaming: false,
    failed: false,
    problem: "",
    status: "",
    replies: [],

    async submit() {
      const text = this.$refs.input.value.trim();
      if (!text || !this.idle) {
        return;
      }
      const models = [...this.$root.querySelectorAll(".model-picker")].map((picker) => picker.value);
      const growers = {};
      let ended = 0;
      this.idle = false;
      this.failed = false;
      this.status = "Waiting for both answers.";
      try {
        await Homeroom.stream(this.$root.dataset.start, { text, models }, {
          begin: (data) => {
            this.fill("");
            this.begin(data, growers);
          },
          delta: (data) => growers[data.reply](data.text),
          done: (data) => {
            ended += 1;
            this.end(data);
          },
          failed: (data) => {
            ended += 1;
            this.end(data);
          },
        });
        if (ended < this.replies.length) {
          throw new Homeroom.Problem(Homeroom.BROKEN, "connection");
        }
        this.status = "Both answers are complete.";
      } catch (error) {
        if (!(error instanceof Homeroom.Problem)) {
          throw error;
        }
        this.failed = true;
        this.problem = error.message;
      } finally {
        this.idle = true;
        this.streaming = false;
        this.replies = [];
      }
    },

    begin(data, growers) {
      this.streaming = true;
      this.replies = data.replies;
      const answers = document.getElementById("answers");
      answers.replaceChildren(Homeroom.fragment(data.html));
      Homeroom.revive(answers);
      history.replaceState(null, "", data.url);
      for (const id of data.replies) {
        const box = document.getElementById("answer-" + id);
        const dots = box.querySelector("[data-waiting]");
        const grow = Homeroom.grower(box.querySelector("[data-stream]"));
        growers[id] = (more) => {
          dots.hidden = true;
          grow(more);
        };
      }
    },

    end(data) {
      const fresh = Homeroom.fragment(data.html).firstElementChild;
      document.getElementById("answer-" + data.reply).replaceWith(fresh);
      Homeroom.revive(fresh);
    },

    async stop() {
      for (const id of this.replies) {
        await Homeroom.stopReply(id);
      }
    },

    escape() {
      if (this.streaming) {
        this.stop();
      }
    },
  }));
});
