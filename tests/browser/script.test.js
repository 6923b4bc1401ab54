// What people write into a feed is shown and never run (cross-site scripting): every text that a message can carry,
// in the components that put its body into the page as HTML.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Belfry, FEED_ONLY } from "../sdk/server.js";
import { Browser } from "./browser.js";

/** Each would call `alert` in a page that trusts it. */
const ATTACKS = [
  "<script>alert(1)</script>",
  "<SCRIPT src=https://evil.example/a.js></SCRIPT>",
  "<scr<script>ipt>alert(1)</scr</script>ipt>",
  "<img src=x onerror=alert(1)>",
  "<img src=x onerror&equals;alert(1)>",
  "<img/src/onerror=alert(1)//",
  "<img src='x' OnErRoR\n=\nalert(1) >",
  "<img src=\"x` `<script>alert(1)</script>\"` `>",
  "<body onload=alert(1)>",
  "<svg onload=alert(1)>",
  "<svg><script>alert(1)</script></svg>",
  "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
  "<svg><a xlink:href=javascript:alert(1)><text y=20>press</text></a></svg>",
  "<math><mtext><table><mglyph><style><!--</style><img title=\"--><img src=x onerror=alert(1)>\">",
  "<form><math><mtext></form><form><mglyph><style></math><img src=x onerror=alert(1)>",
  "<svg></p><style><a id=\"</style><img src=x onerror=alert(1)>\">",
  "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
  "<template><script>alert(1)</script></template>",
  "<details open ontoggle=alert(1)>x</details>",
  "<video><source onerror=alert(1)></video>",
  "<audio src=x onerror=alert(1)></audio>",
  "<input autofocus onfocus=alert(1)>",
  "<select autofocus onfocus=alert(1)></select>",
  "<marquee onstart=alert(1)>x</marquee>",
  "<iframe src=javascript:alert(1)></iframe>",
  "<iframe srcdoc=\"<script>parent.alert(1)</script>\"></iframe>",
  "<object data=javascript:alert(1)></object>",
  "<embed src=javascript:alert(1)>",
  "<base href=javascript:/a/-alert(1)///////>",
  "<meta http-equiv=refresh content=\"0;url=javascript:alert(1)\">",
  "<link rel=stylesheet href=javascript:alert(1)>",
  "<style>@import 'javascript:alert(1)'; body { background: url(javascript:alert(1)) }</style>",
  "<div style=\"position:fixed;inset:0;animation-name:rnf-spin\" onanimationstart=alert(1)>x</div>",
  "<form action=javascript:alert(1)><button>press</button></form>",
  "<button formaction=javascript:alert(1) form=f>press</button>",
  "<a href=javascript:alert(1)>press</a>",
  "<a href=\"jav&#x09;ascript:alert(1)\">press</a>",
  "<a href=\"&#106;avascript:alert(1)\">press</a>",
  "<a href=\" \u0001javascript:alert(1)\">press</a>",
  "<a href=data:text/html,<script>alert(1)</script>>press</a>",
  "<a href=x onmouseover=alert(1) onfocus=alert(1) onclick=alert(1)>press</a>",
  "[press](javascript:alert(1))",
  "[press](JaVaScRiPt:alert(1))",
  "[press](java\nscript:alert(1))",
  "[press](<javascript:alert(1)>)",
  "[press](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
  "[press][1]\n\n[1]: javascript:alert(1)",
  "<javascript:alert(1)>",
  "![x](x\" onerror=\"alert(1))",
  "`<img src=x onerror=alert(1)>` <!-- --!><img src=x onerror=alert(1)> -->",
];

/** What in the page could run something. The components themselves put none of it there. */
const live = () => {
  const runs = "script, iframe, object, embed, base, meta, link, style, svg, math, form, template, noscript";
  const acts = ({ name, value }) => /^(on|style|srcdoc|formaction)/.test(name) || (name === "href" && !/^https?:/.test(value));
  const inside = document.querySelectorAll(".rnf-notification-cell__content *, .rnf-avatar *");
  return [...inside]
    .filter((element) => element.matches(runs) || [...element.attributes].some(acts))
    .map((element) => element.outerHTML);
};

describe("what people write is never run", { concurrency: 2, timeout: 240_000 }, () => {
  let belfry;
  let browser;
  before(async () => {
    [belfry, browser] = await Promise.all([Belfry.start({ env: FEED_ONLY }), Browser.open()]);
  });
  after(async () => {
    await browser?.close();
    await belfry?.stop();
  });

  for (const [where, user, write] of [
    ["the text of a message", "texts", (text) => belfry.trigger("alert", "texts", { text: `${text}\n\nharmless` })],
    ["the name of who caused it", "names", (text, index) => {
      const actor = { id: `actor ${index}`, name: text, avatar: `x" onerror="alert(1)` };
      return belfry.trigger("approval", "names", { text: "harmless" }, { actor });
    }],
    ["the label of a button and the address of a picture", "labels", (text, index) => {
      const actor = { id: `avatar ${index}`, name: "Bob Ross", avatar: text };
      return belfry.trigger("approval", "labels", { text: `harmless ${text}` }, { actor });
    }],
  ]) {
    test(where, async () => {
      for (const [index, text] of ATTACKS.entries()) await write(text, index);
      const reader = await browser.visit(belfry.url, user, { view: "feed" });
      await reader.shows(reader.items, ATTACKS.length);
      await reader.shows(reader.item("harmless"), ATTACKS.length);
      assert.deepEqual(await reader.page.evaluate(live), []);
      // Whoever reads it moves over everything, and presses what leads nowhere. The items' own clicks are another test's.
      await reader.page.evaluate(() => {
        for (const element of document.querySelectorAll(".rnf-notification-cell__content *")) {
          for (const type of ["mouseover", "focus", "animationstart", "toggle"]) element.dispatchEvent(new Event(type));
          element.addEventListener("click", (event) => event.stopPropagation());
          if (!/^https?:/.test(element.href ?? "")) element.click();
        }
      });
      assert.equal(new URL(reader.page.url()).origin, browser.origin);
      await reader.leave();
    });
  }

  test("were anything run, it would show", async () => {
    await belfry.trigger("alert", "trusting", { text: "harmless" });
    const reader = await browser.visit(belfry.url, "trusting", { view: "feed" });
    await reader.item("harmless").waitFor();
    await reader.page.locator(".rnf-notification-cell__content").evaluate((body, attack) => {
      body.innerHTML = attack;
    }, ATTACKS.find((attack) => attack.includes("img src=x onerror")));
    await reader.until(() => reader.faults.length > 0);
    assert.deepEqual(reader.faults.splice(0), ["dialog: 1"]);
    assert.equal((await reader.page.evaluate(live)).length, 1);
    await reader.leave();
  });

  test("a link that runs something is not sent at all", async () => {
    const links = ["javascript:alert(1)", " JavaScript:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "vbscript:x"];
    for (const link of links) await belfry.trigger("alert", "links", { text: "harmful", link });
    await belfry.trigger("alert", "links", { text: "harmless", link: "https://app.example" });
    const reader = await browser.visit(belfry.url, "links", { view: "feed" });
    await reader.item("harmless").waitFor();
    await reader.shows(reader.items, 1);
    await reader.leave();
  });
});
