// Shows the description of the API: what each operation takes and answers, by group.

const METHODS = ["get", "post", "put", "delete"];
/** How deep fields are shown; what lies deeper has a name to look up. */
const LEVELS = 5;

/** An element with attributes and children; text stays text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat().filter((child) => child !== undefined && child !== ""));
  return element;
}

/** Text in which `backticks` are code. */
const words = (text = "") => text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));

const api = await fetch("/v1/openapi").then((answer) => answer.json());

const nameOf = (schema) => schema.$ref?.split("/").pop();
const resolve = (schema) => (schema.$ref ? { ...api.components.schemas[nameOf(schema)], ...schema } : schema);

/** The alternatives of a schema but for null. */
const choices = (schema) => (schema.oneOf ?? schema.anyOf ?? []).filter(({ type }) => type !== "null");

/** A schema's type in a few words. */
function typeOf(schema) {
  const options = choices(schema);
  if (options.length) return options.map(typeOf).join(" or ");
  const whole = resolve(schema);
  if (choices(whole).length) return typeOf({ oneOf: whole.oneOf ?? whole.anyOf });
  if (whole.enum) return whole.enum.map((value) => JSON.stringify(value)).join(", ");
  const type = [whole.type].flat().filter((type) => type && type !== "null")[0];
  if (type === "array") return `list of ${typeOf(whole.items ?? {})}`;
  if (type === "object") return "object";
  const limits = [whole.format === "date-time" ? "instant" : undefined, whole.maxLength && `at most ${whole.maxLength} long`];
  return [limits[0] ?? type ?? "anything", limits[1]].filter(Boolean).join(", ");
}

/** The schema whose fields are worth showing below a field, if any. */
function inner(schema) {
  const whole = resolve(schema);
  if (whole.properties) return whole;
  if (whole.items) return inner(whole.items);
  for (const option of choices(whole)) {
    const found = inner(option);
    if (found) return found;
  }
  if (typeof whole.additionalProperties === "object") return inner(whole.additionalProperties);
}

function field(name, schema, required, description, level, above) {
  const whole = resolve(schema);
  const below = level < LEVELS ? inner(schema) : undefined;
  const deeper = below && !above.includes(below.description);
  const nested = deeper && (level === 1 ? fields(below, level + 1, [...above, below.description]) : folded(below, level, above));
  const bounds = [
    whole.maxItems && `at most ${whole.maxItems}`,
    whole.minimum !== undefined && `from ${whole.minimum} to ${whole.maximum}`,
  ].filter(Boolean);
  return make("div", {},
    make("dt", {}, make("code", {}, name), required ? make("span", { class: "required", title: "required" }, " *") : "",
      make("b", {}, [typeOf(schema), ...bounds].join(", "))),
    make("dd", {}, words(description ?? whole.description ?? "")),
    nested ? [nested] : []);
}

/** Fields that lie deep, to open. */
function folded(schema, level, above) {
  const block = make("details", { class: "deep" }, make("summary", {}, "Its fields"));
  block.addEventListener("toggle", () => {
    if (block.open && block.children.length === 1) block.append(fields(schema, level + 1, [...above, schema.description]));
  });
  return block;
}

/** The fields of an object. */
function fields(schema, level = 1, above = [schema.description]) {
  const needed = (name) => Number(!schema.required?.includes(name));
  const entries = Object.entries(schema.properties ?? {}).filter(([name]) => name !== "__typename");
  entries.sort(([a], [b]) => needed(a) - needed(b));
  const rows = entries.map(([name, one]) => field(name, one, schema.required?.includes(name), one.description, level, above));
  return make("dl", { class: "fields" }, rows);
}

/** A value of a schema, as an example. */
function example(schema, level = 0) {
  const whole = resolve(schema);
  const given = whole.examples?.[0] ?? whole.example;
  if (given !== undefined) return given;
  const options = choices(whole);
  if (options.length) return example(options[0], level);
  if (whole.enum) return whole.enum[0];
  const type = [whole.type].flat().filter((type) => type !== "null")[0];
  if (type === "array") return level > 4 ? [] : [example(whole.items ?? {}, level + 1)];
  if (type === "object") {
    const entries = Object.entries(whole.properties ?? {}).filter(([name]) => whole.required?.includes(name) || level < 1);
    return level > 4 ? {} : Object.fromEntries(entries.map(([name, one]) => [name, example(one, level + 1)]));
  }
  if (type === "boolean") return true;
  if (type === "integer" || type === "number") return whole.minimum ?? 1;
  return type === "string" ? "text" : null;
}

/** A call of the operation as a command. */
function command(path, method, operation) {
  const body = operation.requestBody?.content["application/json"]?.schema;
  const lines = [`curl -X ${method.toUpperCase()} '${location.origin}${path}'`];
  if (!operation.security) lines.push(`  -H "Authorization: Bearer $BELFRY_KEY"`);
  if (body) lines.push(`  -H 'Content-Type: application/json'`, `  -d '${JSON.stringify(example(body), null, 2).replaceAll("'", "'\\''")}'`);
  return lines.join(" \\\n");
}

/** A body: its fields, or what it is. */
function shape(schema) {
  const whole = resolve(schema);
  const below = inner(schema);
  const about = make("p", { class: "quiet" }, `${nameOf(schema) ?? typeOf(schema)}. `, words(whole.description));
  return below ? [about, fields(below)] : [about];
}

function details(path, method, operation) {
  const parts = [];
  const part = (title, ...children) => parts.push(make("h3", {}, title), ...children.flat());
  if (operation.description) parts.push(make("p", {}, words(operation.description)));
  const listed = (place) => (operation.parameters ?? []).filter((one) => one.in === place);
  for (const [title, place] of [["Path", "path"], ["Query", "query"], ["Headers", "header"]]) {
    const rows = listed(place).map((one) => field(one.name, one.schema, one.required, one.description, LEVELS, []));
    if (rows.length) part(title, make("dl", { class: "fields" }, rows));
  }
  const body = operation.requestBody?.content["application/json"]?.schema;
  if (body) part("Body", shape(body));
  part("Call", make("pre", {}, command(path, method, operation)));
  const answers = Object.entries(operation.responses);
  for (const [status, { content }] of answers.filter(([status]) => status < "300")) {
    const schema = content?.["application/json"]?.schema;
    const nothing = make("p", { class: "quiet" }, content ? Object.keys(content).join(", ") : "Nothing.");
    part(`Answer ${status}`, schema ? shape(schema) : [nothing]);
  }
  const failures = answers.filter(([status]) => status >= "300");
  const pills = failures.map(([status, { description }]) => make("span", {}, `${status} ${description}`));
  part("Failures", make("div", { class: "answers" }, pills));
  return make("div", { class: "body" }, parts);
}

/** A path in which its names stand out. */
const shown = (path) => path.split(/(\{\w+\})/).map((part, index) => (index % 2 ? make("i", {}, part) : part));

function entry(path, method, operation) {
  const block = make("details", { id: operation.operationId },
    make("summary", {}, make("span", { class: `method ${method}` }, method), make("code", {}, shown(path)),
      make("span", { class: "quiet" }, operation.summary.replace(/\.$/, ""))));
  block.dataset.text = `${method} ${path} ${operation.summary} ${operation.description ?? ""}`.toLowerCase();
  // What is inside is made when somebody looks.
  block.addEventListener("toggle", () => {
    if (block.open && block.children.length === 1) block.append(details(path, method, operation));
  });
  return block;
}

const groups = new Map();
for (const [path, item] of Object.entries(api.paths)) {
  for (const method of METHODS.filter((method) => item[method])) {
    const [group] = item[method].tags;
    groups.set(group, [...(groups.get(group) ?? []), entry(path, method, item[method])]);
  }
}

const title = (group) => group.replaceAll("_", " ");
// What operators need comes last.
const order = [...groups].sort(([a], [b]) => (a === "operation") - (b === "operation"));
const sections = order.map(([group, entries]) =>
  make("section", { id: `group-${group}` }, make("h2", {}, title(group)), entries));
const links = order.map(([group, entries]) =>
  make("li", {}, make("a", { href: `#group-${group}` }, title(group), make("span", {}, String(entries.length)))));
document.querySelector("#groups").replaceChildren(make("ul", {}, links));
const none = make("p", { class: "quiet", hidden: "" }, "No operation is called that.");
document.querySelector("#operations").replaceChildren(...sections, none);

function find(text) {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  let any = false;
  sections.forEach((section, index) => {
    const blocks = [...section.querySelectorAll("details")];
    for (const block of blocks) block.hidden = !wanted.every((word) => block.dataset.text.includes(word));
    section.hidden = links[index].hidden = blocks.every((block) => block.hidden);
    any ||= !section.hidden;
  });
  none.hidden = any;
}
document.querySelector("#find").addEventListener("input", ({ target }) => find(target.value));

/** Opens what the address names. */
function jump() {
  const block = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (block instanceof HTMLDetailsElement) block.open = true;
  block?.scrollIntoView();
}
addEventListener("hashchange", jump);
jump();
