// The official package for Node. Copied into the folder of its own packages before it runs, because Node looks there for them.
import assert from "node:assert/strict";
import fs from "node:fs";
import OpenAI from "openai";

const { CLIENT_BASE_URL: baseURL, CLIENT_KEY: apiKey, CLIENT_MODEL: model, CLIENT_EMBEDDER: embedder } = process.env;
const TRAINING = process.env.CLIENT_TRAINING;
const TRAINS = process.env.CLIENT_TRAINS === "1";
const LONGEST = 24;
const PATIENCE_MS = 240_000;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 120_000 });
const question = [{ role: "user", content: "Do plants eat?" }];
const asked = { model, messages: question, temperature: 0, max_tokens: LONGEST };
const results = [];

async function check(name, body) {
  try {
    results.push({ check: name, outcome: "pass", note: (await body()) ?? "" });
  } catch (error) {
    results.push({ check: name, outcome: "fail", note: `${error.name}: ${error.message}`.slice(0, 400) });
  }
}

async function raises(kind, status, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.status, status);
    return error.constructor.name;
  }
  throw new Error("nothing was raised");
}

const reply = async () => (await client.chat.completions.create(asked)).choices[0].message.content;

await check("models", async () => {
  const names = [];
  for await (const entry of client.models.list()) names.push(entry.id);
  assert.ok(names.includes(model), names.join());
  assert.equal((await client.models.retrieve(model)).id, model);
});

await check("chat", async () => assert.ok((await reply()).trim()));

await check("stream", async () => {
  const pieces = [];
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    pieces.push(chunk.choices[0]?.delta?.content ?? "");
  }
  assert.ok(pieces.length > 2);
  assert.equal(pieces.join(""), await reply());
});

await check("usage", async () => {
  const { usage } = await client.chat.completions.create(asked);
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0 && usage.completion_tokens <= LONGEST);
  let last;
  const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of stream) last = chunk;
  assert.equal(last.usage.total_tokens, usage.total_tokens);
});

await check("stop", async () => {
  const text = await reply();
  const letter = text.slice(4).match(/[A-Za-z]/)[0];
  const { choices } = await client.chat.completions.create({ ...asked, stop: letter });
  assert.equal(choices[0].message.content, text.slice(0, text.indexOf(letter)));
  assert.equal(choices[0].finish_reason, "stop");
});

await check("schema", async () => {
  const schema = {
    type: "object",
    properties: { right: { type: "boolean" }, grade: { type: "integer", enum: [1, 2, 3] } },
    required: ["right", "grade"],
    additionalProperties: false,
  };
  const response_format = { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };
  const { choices } = await client.chat.completions.create({ ...asked, max_tokens: 80, response_format });
  const value = JSON.parse(choices[0].message.content);
  assert.deepEqual(Object.keys(value).sort(), ["grade", "right"]);
});

await check("completions", async () => {
  const found = await client.completions.create({ model, prompt: "Plants eat", max_tokens: 8, temperature: 0 });
  assert.ok(found.choices[0].text);
});

await check("responses", async () => {
  const input = { model, input: "Do plants eat?", max_output_tokens: LONGEST, temperature: 0 };
  const found = await client.responses.create(input);
  assert.ok(found.output_text.trim());
  let text = "";
  for await (const event of await client.responses.create({ ...input, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, found.output_text);
});

if (embedder) {
  await check("embeddings", async () => {
    const { data } = await client.embeddings.create({ model: embedder, input: ["Plants eat light.", "Half of six is three."] });
    assert.equal(data.length, 2);
    assert.ok(data[0].embedding.length > 1);
    assert.notDeepEqual(data[0].embedding, data[1].embedding);
  });
} else {
  results.push({ check: "embeddings", outcome: "none", note: "no embedding model was given to the run" });
}

await check("wrong key", () =>
  raises(OpenAI.AuthenticationError, 401, () =>
    new OpenAI({ baseURL, apiKey: "sk-homeroom-wrong", maxRetries: 0 }).chat.completions.create(asked),
  ),
);

await check("unknown model", () =>
  raises(OpenAI.NotFoundError, 404, () => client.chat.completions.create({ ...asked, model: "no-such-model" })),
);

await check("bad request", () =>
  raises(OpenAI.BadRequestError, 400, () => client.chat.completions.create({ ...asked, temperature: 9 })),
);

await check("files", async () => {
  const content = fs.readFileSync(TRAINING);
  const file = await client.files.create({ file: fs.createReadStream(TRAINING), purpose: "fine-tune" });
  const names = [];
  for await (const entry of client.files.list()) names.push(entry.id);
  assert.ok(names.includes(file.id));
  const kept = Buffer.from(await (await client.files.content(file.id)).arrayBuffer());
  assert.ok(kept.equals(content));
  assert.ok((await client.files.delete(file.id)).deleted);
});

async function tuned() {
  const file = await client.files.create({ file: fs.createReadStream(TRAINING), purpose: "fine-tune" });
  const method = { type: "supervised", supervised: { hyperparameters: { n_epochs: 1 } } };
  let job = await client.fineTuning.jobs.create({ model, training_file: file.id, suffix: "node", method });
  const deadline = Date.now() + PATIENCE_MS;
  while (!["succeeded", "failed", "cancelled"].includes(job.status)) {
    assert.ok(Date.now() < deadline, job.status);
    await new Promise((resolve) => setTimeout(resolve, 500));
    job = await client.fineTuning.jobs.retrieve(job.id);
  }
  assert.equal(job.status, "succeeded", JSON.stringify(job.error));
  let events = 0;
  for await (const _event of client.fineTuning.jobs.listEvents(job.id)) events += 1;
  assert.ok(events > 2);
  let checkpoints = 0;
  for await (const _checkpoint of client.fineTuning.jobs.checkpoints.list(job.id)) checkpoints += 1;
  assert.ok(checkpoints > 0);
  return job.fine_tuned_model;
}

if (TRAINS) {
  await check("fine-tuning", async () => {
    const { choices } = await client.chat.completions.create({ ...asked, model: await tuned() });
    assert.ok(choices[0].message.content);
    return "job, events, checkpoints, chat with the result";
  });
} else {
  results.push({ check: "fine-tuning", outcome: "none", note: "this run does not train" });
}

fs.writeFileSync(process.env.CLIENT_RESULTS, JSON.stringify(results));
