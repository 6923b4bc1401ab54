// Belfry's Liquid beside liquidjs: the same templates with the same data become the same text. Belfry renders through
// `belfry workflow preview`, one email step a template.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { Liquid } from "liquidjs";
import { BINARY } from "./server.js";

const DATA = {
  name: "Ann Lee",
  empty_text: "",
  blanks: " \n ",
  n: 7,
  zero: 0,
  half: 2.5,
  digits: "3.5",
  yes: true,
  no: false,
  nothing: null,
  none: [],
  list: ["b", "a", "c", "a"],
  nums: [3, 1, 2],
  o: { k: "v", z: 1 },
  key: "k",
  html: `<a href="x">Tom & 'Jo'</a>`,
  lines: "one\ntwo\r\nthree",
  csv: "a,b,c,,",
  sentence: "the quick brown fox jumps",
  unicode: "Zoë Straße 日本",
  when: "2026-03-06T23:05:09Z",
  day: "2026-03-06",
  people: [
    { name: "Bo", age: 30, team: { id: 1 }, on: true },
    { name: "al", age: 25, team: { id: 2 }, on: false },
    { name: "Cy", team: { id: 1 } },
  ],
  rows: [[1, 2], [3], []],
};

/** A template a line. */
const SAME = `
{{ name }}|{{name}}|{{ missing }}|{{ missing.deep[0].er }}|{{ name.missing }}|{{ nothing }}
{{ n }} {{ half }} {{ yes }} {{ no }} {{ -3 }} {{ 1.50 }} {{ 2.0 }}
{{ list }} {{ list[0] }} {{ list[-1] }} {{ list[9] }} {{ list.first }} {{ list.last }} {{ list.size }}
{{ o.k }} {{ o["k"] }} {{ o[key] }} {{ o.size }} {{ name.size }} {{ people[0].team.id }} {{ people.first.name }}
{{ "double" }} {{ 'single' }} {{ "es\\"caped" }} {{ 'tab\\tend' }} {{ "}}" }}
{{ (1..4) }} {{ (n..9) | join: "-" }} {{ (3..1) | size }}
{{ n == 7 }} {{ n == 7.0 }} {{ name == "Ann Lee" }} {{ n != nothing }} {{ no or yes }} {{ no and yes }} {{ not no }}
a  {{- name -}}  b {{- n }} c
{% if yes %}a{% endif %}{% if no %}b{% endif %}{% if nothing %}c{% endif %}{% if missing %}d{% endif %}
{% if zero %}a{% endif %}{% if empty_text %}b{% endif %}{% if none %}c{% endif %}{% if o %}d{% endif %}
{% if n > 5 %}a{% elsif n > 1 %}b{% else %}c{% endif %}{% if n < 5 %}a{% elsif n > 1 %}b{% else %}c{% endif %}
{% if n >= 7 and n <= 7 %}a{% endif %}{% if n <> 7 %}b{% endif %}{% if no or yes and no %}c{% endif %}
{% if yes or no and no %}a{% endif %}{% if no and no or yes %}b{% endif %}{% if yes and no or yes %}c{% endif %}
{% if name contains "Lee" %}a{% endif %}{% if list contains "a" %}b{% endif %}{% if list contains "x" %}c{% endif %}
{% if nums contains 2 %}a{% endif %}{% if missing contains "x" %}b{% endif %}{% if name contains missing %}c{% endif %}
{% if none == empty %}a{% endif %}{% if empty_text == empty %}b{% endif %}{% if nothing == empty %}c{% endif %}
{% if blanks == blank %}a{% endif %}{% if nothing == blank %}b{% endif %}{% if no == blank %}c{% endif %}{% if n == blank %}d{% endif %}
{% if missing == nil %}a{% endif %}{% if missing == null %}b{% endif %}{% if "b" > "a" %}c{% endif %}{% if name > 1 %}d{% endif %}
{% unless no %}a{% else %}b{% endunless %}{% unless yes %}a{% else %}b{% endunless %}{% unless yes %}a{% elsif yes %}b{% endunless %}
{% case n %}{% when 1 %}a{% when 7 %}b{% else %}c{% endcase %}{% case name %}{% when "x", "Ann Lee" %}a{% when "y" or "z" %}b{% endcase %}
{% case n %}{% when 7 %}a{% when 7, 8 %}b{% else %}c{% endcase %}{% case missing %}{% when nil %}a{% else %}c{% endcase %}
{% for x in list %}{{ forloop.index }}{{ x }}{{ forloop.index0 }}{{ forloop.rindex }}{{ forloop.rindex0 }}{{ forloop.first }}{{ forloop.last }}{{ forloop.length }} {% endfor %}
{% for x in list limit:2 %}{{ x }}{% endfor %}|{% for x in list offset:1 %}{{ x }}{% endfor %}|{% for x in list limit:2 offset:1 reversed %}{{ x }}{% endfor %}
{% for x in list reversed %}{{ x }}{% endfor %}|{% for x in none %}{{ x }}{% else %}empty{% endfor %}|{% for x in missing %}{{ x }}{% else %}empty{% endfor %}
{% for x in (1..3) %}{{ x }}{% if forloop.last == false %}, {% endif %}{% endfor %}|{% for x in (1..n) limit:2 %}{{ x }}{% endfor %}
{% for x in list limit:2 %}{{ x }}{% endfor %}|{% for x in list offset:continue %}{{ x }}{% endfor %}
{% for x in list %}{% if x == "a" %}{% continue %}{% endif %}{{ x }}{% endfor %}|{% for x in list %}{% if x == "c" %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for p in o %}{{ p[0] }}={{ p[1] }};{% endfor %}|{% for x in name %}{{ x }}!{% endfor %}|{% for x in empty_text %}x{% else %}none{% endfor %}
{% for r in rows %}{% for x in r %}{{ x }}{% else %}-{% endfor %};{% endfor %}
{% for x in nums %}{% assign last = x %}{% endfor %}{{ last }}{{ x }}
{% tablerow x in list cols:2 %}{{ x }}{% endtablerow %}
{% tablerow x in nums %}{{ tablerowloop.col }}{{ x }}{% endtablerow %}
{% for x in list %}{% cycle "odd", "even" %} {% cycle "g": 1, 2, 3 %} {% endfor %}
{% assign x = name | upcase %}{{ x }}{% assign x = 3 %}{{ x }}{% assign y = n > 3 %}{{ y }}
{% capture c %}<{{ name }}>{% endcapture %}{{ c }}{{ c.size }}
{% increment a %}{% increment a %}{{ a }}|{% decrement b %}{% decrement b %}{{ b }}|{% assign c = 9 %}{% increment c %}{{ c }}
{% raw %}{{ name }}{% if %}{% endraw %}|{% comment %}{{ name }}{% endcomment %}|{% # a note %}
{% echo name | downcase %}
{{ "a" | append: "b" | prepend: "c" }}{{ n | append: 1 }}{{ nothing | append: "x" }}
{{ "hELLO wORLD" | capitalize }} {{ name | upcase }} {{ name | downcase }} {{ unicode | upcase }} {{ unicode | downcase }}
[{{ "  a " | strip }}][{{ "  a " | lstrip }}][{{ "  a " | rstrip }}][{{ lines | strip_newlines }}]
{{ "a.b.a" | replace: "a", "x" }} {{ "a.b.a" | replace_first: "a", "x" }} {{ "a.b.a" | replace_last: "a", "x" }} {{ "a.b.a" | remove: "a" }} {{ "a.b.a" | remove_first: "a" }} {{ "a.b.a" | remove_last: "a" }}
{{ sentence | truncate: 12 }}|{{ sentence | truncate: 12, "" }}|{{ sentence | truncate: 99 }}|{{ sentence | truncatewords: 2 }}|{{ sentence | truncatewords: 9 }}|{{ sentence | truncatewords: 1, "~" }}
{{ csv | split: "," | size }} {{ csv | split: "," | join: "+" }} {{ "abc" | split: "" | join: "." }} {{ name | split: " " | first }} {{ nothing | split: "," | size }}
{{ name | slice: 1 }}{{ name | slice: 0, 3 }}{{ name | slice: -3, 2 }}{{ list | slice: 1, 2 | join }}
{{ "a & b" | url_encode }} {{ "a+b%20c%26" | url_decode }} {{ unicode | url_encode }}
{{ lines | newline_to_br }} {{ "<b>x</b>y<!-- z --><script>w</script>" | strip_html }}
{{ "a & <b>" | escape }} {{ "&lt; & <" | escape_once }}
{{ empty_text | default: "d" }}{{ nothing | default: "d" }}{{ no | default: "d" }}{{ none | default: "d" }}{{ zero | default: "d" }}{{ no | default: "d", allow_false: true }}{{ name | default: "d" }}
{{ n | plus: 1 }} {{ n | minus: 10 }} {{ n | times: 2 }} {{ digits | plus: 1 }} {{ n | divided_by: 2.0 }} {{ n | modulo: 3 }} {{ half | times: 2 }} {{ nothing | plus: 1 }}
{{ half | round }} {{ 3.14159 | round: 2 }} {{ half | ceil }} {{ half | floor }} {{ -3 | abs }} {{ n | at_least: 9 }} {{ n | at_most: 5 }}
{{ nums | sort | join }} {{ nums | reverse | join }} {{ list | uniq | join }} {{ list | join: ", " }} {{ list | concat: nums | join }} {{ list | first }}{{ list | last }}{{ name | first }}
{{ people | map: "name" | join }} {{ people | map: "team" | map: "id" | join }} {{ people | where: "on" | map: "name" | join }} {{ people | where: "age", 25 | map: "name" | join }} {{ people | reject: "on" | map: "name" | join }}
{{ people | sort: "age" | map: "name" | join }} {{ people | sort_natural: "name" | map: "name" | join }} {{ people | sum: "age" }} {{ nums | sum }}
{% assign p = people | find: "name", "al" %}{{ p.age }} {{ people | find_index: "name", "Cy" }} {{ people | has: "name", "Bo" }}
{% assign groups = people | group_by: "on" %}{% for g in groups %}{{ g.name }}:{{ g.items | map: "name" | join }};{% endfor %}
{{ nums | push: 9 | join }} {{ nums | unshift: 0 | join }} {{ nums | json }} {{ o | json }} {{ nothing | json }} {{ "a\\"b" | json }}
{{ when | date: "%Y-%m-%d %H:%M:%S" }} {{ when | date: "%b %-d, %Y" }} {{ when | date: "%A %B %e %j %y" }} {{ when | date: "%l:%M %p" }} {{ when | date: "%-I:%M %P" }} {{ day | date: "%a %d" }} {{ 1772838309 | date: "%H:%M" }} {{ "tomorrow" | date: "%Y" }}{{ nothing | date: "%Y" }}
{{ name | base64_encode }} {{ "QW5u" | base64_decode }}
{{ people | map: "age" | compact | join }} {{ name | sha256 }} {{ name | hmac_sha256: key }}
{% for x in nums %}{{ x }}{% for y in list %}{% break %}{% endfor %}{% endfor %}{% break %}never
`
  .trim()
  .split("\n")
  .concat([
    `{% liquid
  assign x = 2
  for i in (1..x)
    echo i
  endfor
  if x == 2
    echo "two"
  else
    echo "other"
  endif
%}`,
    `a
{%- if yes -%}
  b
{%- endif -%}
c`,
    // The shapes of published workflows: tags alone on their lines, indented ones, a quotation under a condition.
    `{% if n > 10 %} \n  {{ name }} and {{ n | minus: 2 }} others\n{% elsif  n > 1 %}\n  **{{ name}}** left {{ n }}.\n  \n{% else %}\n  > {{ html }}\n{% endif %}`,
    `{% for person in people %}\n\n<blockquote>\n{{ person.age | default: person.name }} — {{ when | date: "%b %-d, %-I:%M %p" }}\n</blockquote>\n{% endfor %}`,
  ]);

/** What is decided otherwise, and why: template, Belfry's text, liquidjs's. */
const DIFFERENT = [
  // Whole numbers stay whole when they are divided, as in Ruby's Liquid and Knock's.
  ["{{ 7 | divided_by: 2 }}", "3", "3.5"],
  // What lacks the property is nothing, as there; liquidjs takes no property.
  ["{{ people | compact: 'age' | size }}", "2", "3"],
  // Fields are kept in the order of their names.
  ["{{ people[1] | json }}", '{"age":25,"name":"al","on":false,"team":{"id":2}}', '{"name":"al","age":25,"team":{"id":2},"on":false}'],
  // A sum of prices is what people expect of it; the noise of floats is not shown.
  ["{{ 0.1 | plus: 0.2 }}", "0.3", "0.30000000000000004"],
  // No kind of value is taken for another in comparisons: workflow conditions do neither.
  ["{% if '2' > 1 %}y{% else %}n{% endif %}", "n", "y"],
  ["{% if nothing < 1 %}y{% else %}n{% endif %}", "n", "y"],
  // An object is printed as JSON, which tells more.
  ["{{ o }}", '{"k":"v","z":1}', "[object Object]"],
  // An object contains its keys, as in Ruby's Liquid.
  ["{% if o contains 'k' %}y{% else %}n{% endif %}", "y", "n"],
  // Words are parted by any number of blanks, as there.
  ["{{ 'a  b' | split: ' ' | size }}", "2", "3"],
  // Nothing was cut, so nothing says so, as there.
  ["{{ 'abc def' | truncatewords: 2 }}", "abc def", "abc def..."],
  // The name that HTML has for the double quote.
  ['{{ \'"\' | escape }}', "&quot;", "&#34;"],
  // What could be read otherwise in a URL is encoded.
  ["{{ '(!)' | url_encode }}", "%28%21%29", "(!)"],
  // Two equal values are one, also when they are objects.
  ["{{ people | map: 'team' | uniq | size }}", "2", "3"],
  // The loop around a loop can be named, as in Ruby's Liquid.
  ["{% for x in nums %}{% for y in nums limit:1 %}{{ forloop.parentloop.index }}{% endfor %}{% endfor %}", "123", ""],
  // A comment may hold anything.
  ["{% comment %}{% if %}{{{% endcomment %}x", "x", null],
];

/** What Belfry makes of each template. */
async function belfry(templates) {
  const folder = await mkdtemp(join(tmpdir(), "belfry-liquid-"));
  try {
    const step = (text, index) => ({
      ref: `t${index}`,
      type: "channel",
      channel_key: "email",
      channel_type: "email",
      template: { subject: "s", html_body: "h", text_body: text, settings: { layout_key: null } },
    });
    const workflow = { name: "Corpus", settings: { template_engine: "liquid" }, steps: templates.map(step) };
    await mkdir(join(folder, "workflows/corpus"), { recursive: true });
    await writeFile(join(folder, "workflows/corpus/workflow.json"), JSON.stringify(workflow));
    await writeFile(join(folder, "data.json"), JSON.stringify(DATA));
    const flags = ["--workflows", "workflows", "--to", "u1", "--data", "@data.json"];
    const preview = ["workflow", "preview", "corpus", ...flags];
    const { stdout } = await promisify(execFile)(BINARY, preview, { cwd: folder, maxBuffer: 1 << 26 });
    const messages = JSON.parse(stdout);
    return templates.map((_, index) => messages[`t${index}`].text);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const liquidjs = new Liquid({ timezoneOffset: 0 });

test("the same templates become the same text in Belfry and in liquidjs", async () => {
  const ours = await belfry(SAME);
  const differences = SAME.map((template, index) => {
    const theirs = liquidjs.parseAndRenderSync(template, DATA);
    return ours[index] === theirs ? null : { template, ours: ours[index], theirs };
  }).filter(Boolean);
  assert.deepEqual(differences, []);
});

test("every filter that both have is compared", async () => {
  const compared = (name) => SAME.some((template) => new RegExp(`\\| ${name}\\b`).test(template));
  const others = Object.keys(liquidjs.filters).filter((name) => !compared(name));
  assert.ok(others.length < Object.keys(liquidjs.filters).length / 2);
  await assert.rejects(belfry(others.map((name) => `{{ name | ${name} }}`)), ({ stderr }) => {
    for (const name of others) assert.ok(stderr.includes(`there is no filter \`${name}\``), `${name} is not compared`);
    return true;
  });
});

test("what is decided otherwise is as it was decided, and liquidjs still differs", async () => {
  const ours = await belfry(DIFFERENT.map(([template]) => template));
  for (const [index, [template, expected, theirs]] of DIFFERENT.entries()) {
    assert.equal(ours[index], expected, template);
    if (theirs === null) assert.throws(() => liquidjs.parseAndRenderSync(template, DATA), template);
    else assert.equal(liquidjs.parseAndRenderSync(template, DATA), theirs, template);
  }
});
