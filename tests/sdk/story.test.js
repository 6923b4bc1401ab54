// The story: someone is invited by email, reminded after three days unless they accept, announced to the account's
// members, and welcomed. Told by each SDK, once in peace, and once with a kill -9 between every two of its steps.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sdks } from "./sdks.js";
import { APP, Belfry, DAY, FEED, HOUR, SECRET_KEY } from "./server.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const INVITE = "Jürgen invited you to join the team";
const REMINDER = "Reminder: Jürgen is waiting for you to join";
// Longer than a line of a mail may be, and with what an encoding could harm.
const token = (name) => `${name}_${"Zq3-x7.w~".repeat(12)}=.`;

const sent = (to, subject, inviteToken) => (mail) =>
  mail.to === to && mail.subject === subject && (!inviteToken || mail.text.includes(`/invite/${inviteToken}\n`));

/** A mail says the same in both of its parts, and the token is whole in each link. */
function assertInvites(mail, inviteToken) {
  const link = `${APP}/invite/${inviteToken}`;
  assert.equal(mail.from, '"Acme" <no-reply@acme.test>');
  // In HTML `=` may be written as a character reference.
  const hrefs = [...mail.html.matchAll(/href="([^"]*)"/g)].map(([, href]) => href.replaceAll("&#x3D;", "="));
  // The layout's own link follows, to where its reader chooses what to receive.
  assert.deepEqual(hrefs.slice(0, 2), [link, link]);
  assert.equal(hrefs.length, 3);
  assert.match(hrefs[2], /^http:\/\/127\.0\.0\.1:\d+\/p\//);
  assert.ok(mail.text.split("\n").includes(link), mail.text);
}

function assertCounts(feed, count) {
  const { total_count, unread_count, unseen_count } = feed.meta;
  assert.deepEqual({ total_count, unread_count, unseen_count }, {
    total_count: count,
    unread_count: count,
    unseen_count: count,
  });
}

/** The whole story. `interlude` comes between every two of its steps. */
async function story(belfry, sdk, interlude) {
  let api = sdk.connect(belfry.url, SECRET_KEY, FEED);
  const next = async () => {
    await interlude();
    api = sdk.connect(belfry.url, SECRET_KEY, FEED);
  };
  const mailsTo = (...people) => belfry.mails.filter((mail) => people.includes(mail.to)).map((mail) => mail.subject);

  const hammond = await api.identify("hammond", { name: "Jürgen Hammond", email: "hammond@ingen.test" });
  assert.equal(hammond.name, "Jürgen Hammond");
  await next();

  // 1. An invite is sent at once.
  const before = await belfry.now();
  const triggered = await api.trigger("account-invite", {
    actor: "hammond",
    recipients: ["dr@grant.test"],
    cancellation_key: "invite-grant",
    data: { inviteToken: token("grant") },
  });
  assert.match(triggered.workflow_run_id, UUID);
  await next();
  const invite = await belfry.waitForMail(sent("dr@grant.test", INVITE));
  assertInvites(invite, token("grant"));
  // The delay began before the mail left.
  const after = (await belfry.now()) + 1;
  await next();

  // 2. The reminder comes after three days, not earlier, and once.
  await belfry.advanceTo(before + 3 * DAY - HOUR);
  assert.deepEqual(mailsTo("dr@grant.test"), [INVITE]);
  await next();
  // A delay that had begun again at a start would not be over by then.
  await belfry.advanceTo(after + 3 * DAY);
  assert.deepEqual(mailsTo("dr@grant.test"), [INVITE, REMINDER]);
  assertInvites(await belfry.waitForMail(sent("dr@grant.test", REMINDER)), token("grant"));
  await next();
  await belfry.advance("30d");
  assert.deepEqual(mailsTo("dr@grant.test"), [INVITE, REMINDER]);
  await next();

  // 3. Cancelled before that, it does not come: for those who were named,
  const invitePair = async (key) => {
    const pair = [`sattler@${key}.test`, `malcolm@${key}.test`];
    await api.trigger("account-invite", {
      actor: "hammond",
      recipients: pair,
      cancellation_key: key,
      data: { inviteToken: token(key) },
    });
    await next();
    for (const to of pair) assertInvites(await belfry.waitForMail(sent(to, INVITE)), token(key));
    await next();
    return pair;
  };
  const [sattler, malcolm] = await invitePair("named");
  assert.equal(await api.cancel("account-invite", "named", [sattler]), sdk.nothing);
  await next();
  await belfry.advance("2d23h");
  assert.deepEqual(mailsTo(sattler, malcolm), [INVITE, INVITE]);
  await next();
  await belfry.advance("3d");
  assert.deepEqual(mailsTo(sattler), [INVITE]);
  assert.deepEqual(mailsTo(malcolm), [INVITE, REMINDER]);
  await next();

  // or for all of them; and another key, another workflow and other recipients cancel nothing.
  const all = await invitePair("all");
  const kept = await invitePair("kept");
  assert.equal(await api.cancel("account-invite", "all"), sdk.nothing);
  assert.equal(await api.cancel("account-invite", "kept-2"), sdk.nothing);
  assert.equal(await api.cancel("welcome-to-knock", "kept"), sdk.nothing);
  assert.equal(await api.cancel("account-invite", "kept", all), sdk.nothing);
  await next();
  await belfry.advance("3d");
  assert.deepEqual(mailsTo(...all), [INVITE, INVITE]);
  assert.deepEqual(mailsTo(...kept).sort(), [INVITE, INVITE, REMINDER, REMINDER]);
  await next();

  // 4. Every member of the account sees in the app who joined.
  const members = ["hammond", "member:2", "muldoon@ingen.test"];
  const joined = ["Alan Grant", "Ellie Sattler", "Ian Malcolm"];
  for (const [index, name] of joined.entries()) {
    await api.trigger("account-invite-accepted", {
      actor: { id: `joined-${index}`, name },
      recipients: members,
      data: { accountId: index },
    });
    await next();
    for (const member of members) {
      const feed = await belfry.waitForFeed(member, (feed) => feed.entries.length > index);
      assertCounts(feed, index + 1);
      assert.equal(feed.entries.length, index + 1);
    }
    await next();
  }
  for (const member of members) {
    const entries = await api.feedEntries(member);
    assert.deepEqual(entries.map((entry) => entry.actors[0].name), joined.toReversed());
    const [item] = entries;
    assert.equal(item.__typename, "FeedItem");
    assert.equal(item.source.key, "account-invite-accepted");
    assert.deepEqual(item.data, { accountId: 2 });
    const said = "<p><strong>Ian Malcolm</strong> accepted your invite and joined the team.</p>";
    assert.equal(item.blocks[0].rendered.trim(), said);
    for (const stamp of ["read_at", "seen_at", "archived_at", "interacted_at", "link_clicked_at", "clicked_at"]) {
      assert.equal(item[stamp], null, stamp);
    }
    const feed = await belfry.feed(member);
    assert.deepEqual(feed.entries, entries);
    for (const size of [1, 2, 3]) {
      const paged = [];
      for await (const entry of api.feedPages(member, size)) paged.push(entry);
      assert.deepEqual(paged, entries);
    }
  }
  assertCounts(await belfry.feed("joined-0"), 0);
  await next();

  // 5. Who is new gets a mail and an item.
  await api.trigger("welcome-to-knock", { recipients: [{ id: "ray", name: "Ray Arnold", email: "ray@arnold.test" }] });
  await next();
  const welcome = await belfry.waitForMail((mail) => mail.to === "ray@arnold.test");
  assert.equal(welcome.subject, "Welcome, Ray");
  assert.ok(welcome.html.includes(`href="${APP}"`), welcome.html);
  assert.ok(welcome.text.includes(`Get started: ${APP}`), welcome.text);
  const feed = await belfry.waitForFeed("ray", (feed) => feed.entries.length > 0);
  assertCounts(feed, 1);
  const [item] = await api.feedEntries("ray");
  assert.match(item.blocks[0].rendered, /^<p><strong>Welcome, Ray!<\/strong>/);
  assert.equal(item.blocks.find((block) => block.name === "action_url")?.rendered, APP);
  await next();

  // Nothing else was ever sent, and nothing is left to be sent.
  await belfry.advance("60d");
  assert.deepEqual(belfry.mails.map((mail) => `${mail.to}: ${mail.subject}`).sort(), [
    `dr@grant.test: ${INVITE}`,
    `dr@grant.test: ${REMINDER}`,
    ...all.map((to) => `${to}: ${INVITE}`),
    ...kept.flatMap((to) => [`${to}: ${INVITE}`, `${to}: ${REMINDER}`]),
    `${sattler}: ${INVITE}`,
    `${malcolm}: ${INVITE}`,
    `${malcolm}: ${REMINDER}`,
    "ray@arnold.test: Welcome, Ray",
  ].sort());
}

describe("the story", { concurrency: true, timeout: 120_000 }, () => {
  for (const sdk of sdks) {
    test(`told by ${sdk.name}`, async (t) => {
      const belfry = await Belfry.start();
      t.after(() => belfry.stop());
      await story(belfry, sdk, async () => {});
      assert.deepEqual(belfry.mails.filter((mail) => mail.deliveries > 1), []);
    });

    test(`told by ${sdk.name}, with a kill -9 between every two steps`, async (t) => {
      const belfry = await Belfry.start();
      t.after(() => belfry.stop());
      let lives = 1;
      await story(belfry, sdk, async () => {
        await belfry.restart();
        lives += 1;
      });
      assert.ok(lives > 20, `${lives} lives`);
    });
  }
});
