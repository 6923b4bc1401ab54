// The demo page: a client of Belfry's public API as any browser is. It has a public key and no more; triggers and the
// clock go through the developer's endpoints. What the server sanitised is put in as HTML, everything else as text.

const PEOPLE = [
  { id: "hammond", name: "John Hammond", email: "john@ingen.test" },
  { id: "dr@sattler.test", name: "Ellie Sattler", email: "dr@sattler.test" },
];
const [JOHN, ELLIE] = PEOPLE;
const GUEST = { id: "dr@grant.test", name: "Alan Grant" };

/** Items of a feed that are shown at first, and that "Show older" adds. */
const PAGE = 10;
/** Frames that the log keeps. */
const FRAMES = 100;
/** Mails that are listed. */
const MAILS = 50;
/** The server closes a socket that was silent for 75 s. */
const HEARTBEAT_MS = 30_000;
/** A socket comes back after a random time up to a bound that doubles from the first to the last of these. */
const BACK_MS = { least: 250, first: 1_000, last: 30_000 };

const $ = (selector, root = document) => root.querySelector(selector);
const make = (id) => $(`#${id}`).content.firstElementChild.cloneNode(true);
const firstName = (person) => person.name.split(" ")[0];

// ---------------------------------------------------------------------------------------------------------------- API

/** Calls the server; an error answer is an Error with the server's own sentence. */
async function call(method, path, { body, key, token } = {}) {
  const headers = {};
  if (key) headers.authorization = `Bearer ${key}`;
  if (token) headers["x-knock-user-token"] = token;
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("The server does not answer.");
  }
  const answer = response.status === 204 ? null : await response.json().catch(() => null);
  if (response.ok) return answer;
  const faults = (answer?.errors ?? []).map((fault) => `${fault.field}: ${fault.message}`);
  const text = faults.length > 1 ? faults.join("; ") : (answer?.message ?? response.statusText);
  throw Object.assign(new Error(text.slice(0, 1).toUpperCase() + text.slice(1)), { status: response.status });
}

// ------------------------------------------------------------------------------------------------------------- Clock

/** The server's clock, which may be ahead of this machine's. */
const clock = {
  ahead: 0,
  now() {
    return Date.now() + this.ahead;
  },
  async read() {
    this.set((await call("GET", "/dev/clock")).now);
  },
  set(now) {
    this.ahead = Date.parse(now) - Date.now();
    showTimes();
  },
};

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const DATE = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", ...CLOCK });
const TIME = new Intl.DateTimeFormat("en-GB", { ...CLOCK, second: "2-digit" });
const UNITS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000]];

/** A span in its largest unit: "3 days". */
function span(ms) {
  const [unit, length] = UNITS.find(([, length]) => ms >= length) ?? UNITS.at(-1);
  const count = Math.floor(ms / length);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

function ago(at) {
  const passed = clock.now() - at;
  if (passed < 60_000) return "just now";
  return passed < 7 * UNITS[0][1] ? `${span(passed)} ago` : DATE.format(at);
}

/** Says how long ago `at` was, now and whenever time has passed. */
function stamp(element, at) {
  const instant = Date.parse(at);
  element.dateTime = at;
  element.title = DATE.format(instant);
  element.dataset.since = instant;
  element.textContent = ago(instant);
}

function showTimes() {
  $("#now").textContent = DATE.format(clock.now());
  $("#now").dateTime = new Date(clock.now()).toISOString();
  // A minute of difference is a difference of clocks, not an advance.
  $("#ahead").textContent = clock.ahead > 60_000 ? `${span(clock.ahead + 1_000)} ahead` : "";
  for (const element of document.querySelectorAll("time[data-since]")) {
    element.textContent = ago(Number(element.dataset.since));
  }
}

// ------------------------------------------------------------------------------------------------------------- Socket

/** A socket of Phoenix's protocol that has joined one topic, and comes back whenever it is closed. */
class Socket {
  #socket;
  #reference = 0;
  #joined;
  #attempt = 0;
  #retry;
  #heart;
  #unanswered;

  /** `on` hears of `frame`s, of `event`s of the topic, and of the `state`: live, or why not. */
  constructor(query, topic, on) {
    this.query = query;
    this.topic = topic;
    this.on = on;
    this.attention = `client_${Math.random().toString(36).slice(2)}`;
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
    this.#open();
  }

  #open() {
    this.#retry = clearTimeout(this.#retry);
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws/v1/websocket?${this.query}&vsn=2.0.0`);
    this.#socket = socket;
    socket.onopen = () => this.#join();
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#closed(code, reason);
  }

  #send(topic, event, payload, joined = this.#joined) {
    const reference = String(++this.#reference);
    this.#socket.send(JSON.stringify([joined, reference, topic, event, payload]));
    return reference;
  }

  #join() {
    this.#joined = String(this.#reference + 1);
    this.#send(this.topic, "phx_join", { [this.attention]: { archived: "exclude", mode: "compact" } });
    this.#unanswered = null;
    clearInterval(this.#heart);
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
  }

  #beat() {
    if (this.#unanswered) return this.#abandon();
    this.#unanswered = this.#send("phoenix", "heartbeat", {}, null);
  }

  /** A connection that is gone may take minutes to say so. */
  #abandon() {
    const socket = this.#socket;
    this.#socket = null;
    socket.close();
    this.#closed(1006, "no answer to a heartbeat");
  }

  #hear(frame) {
    const [, reference, topic, event, payload] = frame;
    if (topic === "phoenix") {
      if (reference === this.#unanswered) this.#unanswered = null;
      return;
    }
    this.on.frame(frame);
    if (event === "phx_reply" && reference === this.#joined) {
      if (payload.status === "ok") {
        this.#attempt = 0;
        this.on.state("live");
      } else {
        this.#later(payload.response.reason, () => this.#join());
      }
    } else if (event === "phx_error") {
      this.#later("the feed has failed", () => this.#join());
    } else if (event === "new-message") {
      this.on.event(payload);
    }
  }

  #closed(code, reason) {
    clearInterval(this.#heart);
    this.#later(`closed with ${code}${reason && ` (${reason})`}`, () => this.#open());
  }

  #later(why, what) {
    const bound = Math.min(BACK_MS.last, BACK_MS.first * 2 ** this.#attempt++);
    const wait = BACK_MS.least + Math.random() * (bound - BACK_MS.least);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(what, wait);
    this.on.state("lost", why, wait);
  }

  /** Ends it for good. */
  stop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#retry = clearTimeout(this.#retry);
    clearInterval(this.#heart);
    socket?.close();
  }

  /** The network is back, or somebody looks: waiting any longer serves nobody. */
  #hurry() {
    if (this.#retry && this.#socket?.readyState !== WebSocket.OPEN) this.#open();
  }
}

// ------------------------------------------------------------------------------------------------------------- Person

/** One person's window: bell, feed and socket. */
class Person {
  #items = new Map();
  #shown = PAGE;
  #unseen = 0;
  #unread = 0;
  #newest;
  #loading;
  #again = false;

  constructor(who, { public_key, channel, enhanced_security }) {
    this.who = who;
    this.key = public_key;
    this.channel = channel;
    this.secured = enhanced_security;
    this.root = make("a-person");
    const { root } = this;
    root.setAttribute("aria-label", who.name);
    face($(".avatar", root), who);
    $("h3", root).textContent = who.name;
    $(".hint", root).textContent = `The bell counts what ${firstName(who)} has not seen yet.`;
    $(".nothing p", root).textContent = `Nothing here. What concerns ${firstName(who)} shows up the moment it happens.`;
    $(".feed", root).setAttribute("aria-label", `Notifications of ${who.name}`);
    this.bell = $(".bell", root);
    this.feed = $(".feed", root);
    this.list = $(".items", root);
    this.bell.onclick = () => this.toggle(this.feed.hidden);
    root.onkeydown = (event) => {
      if (event.key === "Escape" && !this.feed.hidden) {
        this.toggle(false);
        this.bell.focus();
      }
    };
    $(".all-read", root).onclick = () => this.#unread > 0 && this.#all("read", { archived: "exclude" });
    $(".older", root).onclick = () => {
      this.#shown += PAGE;
      this.load();
    };
    document.addEventListener("visibilitychange", () => this.#see());
    this.#count({ unseen_count: 0, unread_count: 0 });
    this.#state("", "connecting");
    if (this.secured) this.#ask();
    else this.#begin();
  }

  /** Asks for the token that enhanced security wants, or for another; this page cannot sign one. */
  #ask(fault = "") {
    this.socket?.stop();
    this.#state("", "waiting for a user token");
    this.toggle(false);
    this.bell.disabled = true;
    const form = $(".gate", this.root);
    const name = `token-of-${this.who.id}`;
    form.text.id = name;
    $("label", form).htmlFor = name;
    $("label", form).textContent =
      `Enhanced security is on: ${firstName(this.who)}'s browser needs a user token. Sign one and paste it:`;
    $(".refusal", form).textContent = fault;
    form.reset();
    $("code", form).textContent = `belfry keys sign-user ${this.who.id}`;
    form.hidden = false;
    form.onsubmit = (event) => {
      event.preventDefault();
      this.token = form.text.value.trim();
      form.hidden = true;
      this.bell.disabled = false;
      this.#begin();
    };
  }

  async #begin() {
    try {
      await this.#call("PUT", `/v1/users/${encodeURIComponent(this.who.id)}`, this.who);
    } catch (error) {
      if (this.#refused(error)) return;
      this.#fault(error.message);
    }
    const query = new URLSearchParams({ api_key: this.key, ...(this.token && { user_token: this.token }) });
    this.socket = new Socket(query, `feeds:${this.channel}:${this.who.id}`, {
      frame: (frame) => logFrame(this.who, frame),
      event: ({ metadata }) => {
        this.#count(metadata);
        this.load();
      },
      state: (state, why, wait) => {
        this.#state(state, why && `${why}, next try in ${Math.max(1, Math.round(wait / 1_000))} s`);
        // What happened while it was away was pushed to nobody; and why it was refused, only HTTP tells.
        this.load();
      },
    });
  }

  /** Whether another token is wanted. */
  #refused(error) {
    const refused = this.secured && (error.status === 401 || error.status === 403);
    if (refused) this.#ask(error.message);
    return refused;
  }

  #call(method, path, body) {
    return call(method, path, { body, key: this.key, token: this.token });
  }

  #state(state, text) {
    const element = $(".state", this.root);
    element.className = `state quiet ${state}`;
    element.textContent = text ?? this.who.id;
    element.title = text ?? "";
  }

  /** Reads as much of the feed as is shown. A call while it reads makes it read once more. */
  load() {
    this.#again = true;
    return (this.#loading ??= this.#read());
  }

  async #read() {
    while (this.#again) {
      this.#again = false;
      try {
        const { entries, meta, more } = await this.#pages();
        if (entries.some((entry) => Date.parse(entry.inserted_at) > clock.now() + 2_000)) await clock.read();
        this.#fault();
        this.#show(entries, more);
        this.#count(meta);
        this.#see();
      } catch (error) {
        if (!this.#refused(error)) this.#fault(error.message);
      }
    }
    this.#loading = null;
  }

  async #pages() {
    const path = `/v1/users/${encodeURIComponent(this.who.id)}/feeds/${this.channel}`;
    const entries = [];
    let page = { meta: null, page_info: { after: "" } };
    while (page.page_info.after !== null && entries.length < this.#shown) {
      const size = Math.min(50, this.#shown - entries.length);
      const query = new URLSearchParams({ archived: "exclude", mode: "compact", page_size: size });
      if (page.page_info.after) query.set("after", page.page_info.after);
      page = await this.#call("GET", `${path}?${query}`);
      entries.push(...page.entries);
    }
    return { entries, meta: page.meta, more: page.page_info.after !== null };
  }

  #show(entries, more) {
    const wanted = new Set(entries.map((entry) => entry.id));
    for (const [id, item] of this.#items) {
      if (!wanted.has(id)) {
        this.#leave(item);
        this.#items.delete(id);
      }
    }
    let before = null;
    for (const entry of entries) {
      let item = this.#items.get(entry.id);
      if (!item) {
        item = new Item(entry, this);
        this.#items.set(entry.id, item);
        const place = before ? before.nextSibling : this.list.firstChild;
        this.list.insertBefore(item.root, place);
      }
      item.update(entry);
      before = item.root;
    }
    $(".nothing", this.root).hidden = entries.length > 0;
    $(".older", this.root).hidden = !more;
  }

  /** Takes an item away without losing the reader's place. */
  #leave(item) {
    if (item.root.contains(document.activeElement)) {
      const neighbour = item.root.nextElementSibling ?? item.root.previousElementSibling;
      (neighbour ? $(".archive", neighbour) : this.bell).focus();
    }
    item.root.remove();
  }

  #count({ unseen_count: unseen, unread_count: unread }) {
    const badge = $(".badge", this.root);
    if (unseen > this.#unseen) {
      this.bell.classList.remove("ring");
      requestAnimationFrame(() => this.bell.classList.add("ring"));
      $(".news", this.root).textContent = `${firstName(this.who)} has ${unseen} new`;
    }
    this.#unseen = unseen;
    this.#unread = unread;
    badge.hidden = unseen === 0;
    badge.textContent = unseen > 99 ? "99+" : unseen;
    this.bell.setAttribute("aria-label", `Notifications of ${this.who.name}, ${unseen} not seen`);
    $(".unread", this.root).textContent = unread > 0 ? `${unread} unread` : "";
    // Not disabled, which would take the focus from whoever has just pressed it.
    $(".all-read", this.root).setAttribute("aria-disabled", unread === 0);
  }

  toggle(open) {
    this.feed.hidden = !open;
    this.bell.setAttribute("aria-expanded", open);
    $(".hint", this.root).hidden = open;
    this.#newest = null;
    this.#see();
  }

  /** What lies open before somebody's eyes is seen. Once for each newest item: a mark that fails is not repeated. */
  #see() {
    const newest = this.list.firstElementChild;
    if (this.feed.hidden || document.hidden || this.#unseen === 0 || this.#newest === newest) return;
    this.#newest = newest;
    this.#all("seen", { archived: "exclude", engagement_status: "unseen" });
  }

  /** Marks all items that a filter lets through. */
  #all(action, filter) {
    const path = `/v1/channels/${this.channel}/messages/bulk/${action}`;
    return this.#act(path, { user_ids: [this.who.id], ...filter });
  }

  /** Marks one item. */
  mark(id, status, more) {
    return this.#act(`/v1/messages/batch/${status}`, { message_ids: [id], ...more });
  }

  async #act(path, body) {
    try {
      await this.#call("POST", path, body);
    } catch (error) {
      return this.#refused(error) || this.#fault(error.message);
    }
    await this.load();
  }

  #fault(text = "") {
    const element = $(".fault", this.root);
    if (element.textContent !== text) element.textContent = text;
    element.hidden = !text;
  }
}

/** The initials of somebody in a colour of their own. */
function face(element, { id, name }) {
  const words = (name || id).split(/[\s@.]+/);
  element.textContent = words.slice(0, 2).map((word) => (Array.from(word)[0] ?? "").toUpperCase()).join("");
  const hue = [...id].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  element.style.setProperty("--hue", hue);
}

/** One item of a feed. Its content never changes, what was done with it does. */
class Item {
  constructor(entry, person) {
    this.root = make("an-item");
    const { root } = this;
    const block = (name) => entry.blocks.find((block) => block.name === name);
    const [actor] = entry.actors;
    // A property may be anything.
    const name = [actor?.name, actor?.properties?.name, actor?.id].find((each) => typeof each === "string");
    face($(".avatar", root), { id: actor?.id ?? "", name: name ?? entry.source.key });
    $(".actor", root).textContent = name ?? "";
    stamp($("time", root), entry.inserted_at);

    const body = $(".body", root);
    body.innerHTML = block("body")?.rendered ?? "";
    for (const link of body.querySelectorAll("a")) {
      link.target = "_blank";
    }
    const interacted = (metadata) => person.mark(entry.id, "interacted", { metadata });
    const url = block("action_url")?.rendered;
    const open = $(".open", root);
    if (follow(open, url)) {
      open.parentElement.hidden = false;
      open.onclick = () => interacted({ type: "cell_click", action: url });
    }
    for (const { name, label, action } of block("actions")?.buttons ?? []) {
      const button = document.createElement("a");
      button.className = name === "primary" ? "button strong" : "button";
      button.textContent = label;
      button.target = "_blank";
      button.rel = "noopener noreferrer";
      follow(button, action);
      button.onclick = () => interacted({ type: "button_click", name, label, action });
      $(".buttons", root).append(button);
    }

    this.about = body.textContent.trim().slice(0, 80);
    const archive = $(".archive", root);
    archive.title = "Archive";
    archive.setAttribute("aria-label", `Archive: ${this.about}`);
    archive.onclick = () => person.mark(entry.id, "archived");
    $(".toggle", root).onclick = () => person.mark(entry.id, this.unread ? "read" : "unread");
    root.classList.add("fresh");
  }

  update(entry) {
    this.unread = entry.read_at === null;
    this.root.classList.toggle("unread-item", this.unread);
    $(".mark", this.root).textContent = this.unread ? "Unread: " : "";
    const toggle = $(".toggle", this.root);
    toggle.title = this.unread ? "Mark as read" : "Mark as unread";
    toggle.setAttribute("aria-label", `${toggle.title}: ${this.about}`);
    $("use", toggle).setAttribute("href", this.unread ? "#check" : "#dot");
  }
}

/** Lets a link lead to `url` if that is a place on the web; answers whether it is. */
function follow(link, url) {
  const target = url && URL.canParse(url, location.href) ? new URL(url, location.href) : null;
  if (!target || !["http:", "https:", "mailto:"].includes(target.protocol)) return false;
  link.href = target.href;
  return true;
}

// ---------------------------------------------------------------------------------------------------------- Workflows

/** What the starters' buttons say and send. */
const STORIES = {
  "account-invite": {
    about: "An email now, and a reminder when three days have passed.",
    offers: () => [
      {
        label: "John invites Dr. Grant",
        body: {
          actor: JOHN,
          recipients: [GUEST],
          cancellation_key: `invite-${Date.now()}`,
          data: { inviteToken: Math.random().toString(36).slice(2, 10) },
        },
        then: "The invite is in the mail. Advance 3 days, and so is the reminder.",
      },
    ],
  },
  "account-invite-accepted": {
    about: "Whoever sent the invite hears of it in the app.",
    offers: () => [
      { label: "Ellie accepts John's invite", body: { actor: ELLIE, recipients: [JOHN] }, then: "John's bell rang." },
      { label: "John accepts Ellie's", body: { actor: JOHN, recipients: [ELLIE] }, then: "Ellie's bell rang." },
    ],
  },
  "welcome-to-knock": {
    about: "An email, and an item in the feed.",
    offers: () =>
      PEOPLE.map((who) => ({
        label: `Welcome ${firstName(who)}`,
        body: { recipients: [who] },
        then: `${firstName(who)} has mail, and a new item.`,
      })),
  },
};

/** For any other workflow: to one, to the other, to both. */
const SEND = (data) => [
  ...PEOPLE.map((who) => ({
    label: `Send to ${firstName(who)}`,
    body: { actor: PEOPLE.find((other) => other !== who), recipients: [who], data: data() },
  })),
  { label: "To both", body: { recipients: PEOPLE, data: data() } },
];

function showWorkflows(workflows) {
  const known = Object.keys(STORIES);
  const place = ({ key }) => (known.includes(key) ? known.indexOf(key) : known.length);
  for (const workflow of workflows.toSorted((one, other) => place(one) - place(other))) {
    $("#workflows").append(card(workflow));
  }
}

const STEPS = { email: "Email", in_app_feed: "In the app" };

function card({ key, name, description, steps }) {
  const root = make("a-workflow");
  $("h3", root).textContent = name;
  $("h3", root).title = key;
  for (const step of steps) {
    const line = document.createElement("li");
    const icon = make("an-icon");
    $("use", icon).setAttribute("href", step.type === "in_app_feed" ? "#bell" : `#${step.type}`);
    line.append(icon, step.type === "delay" ? step.for : (STEPS[step.type] ?? step.type));
    $(".steps", root).append(line);
  }
  const story = STORIES[key];
  const tell = (text, manner) => {
    const outcome = $(".outcome", root);
    outcome.textContent = text;
    outcome.className = `quiet outcome ${manner}`;
  };
  tell(story?.about ?? description ?? "", "");
  $("details", root).hidden = Boolean(story);
  const offers = story?.offers ?? (() => SEND(() => JSON.parse($("textarea", root).value || "{}")));
  offers().forEach(({ label }, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = index === 0 ? "strong" : "";
    button.textContent = label;
    button.onclick = async () => {
      try {
        // Made anew: every invite has its own token, and the data is what stands there now.
        const { body, then } = offers()[index];
        const { workflow_run_id: run } = await call("POST", `/dev/trigger/${encodeURIComponent(key)}`, { body });
        await advance("0s");
        tell(then ?? `Triggered: run ${run}.`, "good");
      } catch (error) {
        tell(error instanceof SyntaxError ? `The data is not JSON: ${error.message}` : error.message, "bad");
      }
    };
    $(":scope > .row", root).append(button);
  });
  return root;
}

// ----------------------------------------------------------------------------------------------- Time, mail, the wire

/** Answered when everything due by then has happened: also by nothing, to wait for what was just triggered. */
async function advance(by) {
  clock.set((await call("POST", "/dev/clock/advance", { body: { by } })).now);
  await showMails();
}

function offerTime() {
  const buttons = [...document.querySelectorAll("[data-advance]")];
  for (const button of buttons) {
    button.onclick = async () => {
      buttons.forEach((each) => (each.disabled = true));
      await attempt(() => advance(button.dataset.advance));
      buttons.forEach((each) => (each.disabled = false));
      button.focus();
    };
  }
}

async function showMails() {
  const { entries } = await call("GET", "/dev/mailbox");
  const list = $("#mails");
  $("#no-mail").hidden = entries.length > 0;
  list.hidden = entries.length === 0;
  list.replaceChildren(
    ...entries.slice(-MAILS).reverse().map((mail) => {
      const root = make("a-mail");
      $("a", root).href = `/dev/mailbox/${mail.message}`;
      $("strong", root).textContent = mail.subject;
      $("span", root).textContent = `to ${mail.to}`;
      stamp($("time", root), mail.at);
      return root;
    }),
  );
}

function logFrame(who, frame) {
  const [, , , event, payload] = frame;
  const root = make("a-frame");
  const { metadata } = payload;
  $("time", root).textContent = TIME.format(Date.now());
  $(".name", root).textContent = firstName(who);
  $("code", root).textContent = event;
  $(".gist", root).textContent = metadata
    ? `unseen ${metadata.unseen_count}, unread ${metadata.unread_count}, total ${metadata.total_count}`
    : [payload.status, payload.response?.reason].filter(Boolean).join(": ");
  $("pre", root).textContent = JSON.stringify(frame, null, 2);
  $("#frames").prepend(root);
  $("#frames").children[FRAMES]?.remove();
}

// -------------------------------------------------------------------------------------------------------------- Start

/** Does what may fail, and says so where everybody sees it. */
async function attempt(work) {
  const banner = $("#banner");
  try {
    await work();
    banner.hidden = true;
  } catch (error) {
    banner.textContent = error.message;
    banner.hidden = false;
  }
}

/** A public key from whoever looks, if the server has none to give. */
function askForKey() {
  const form = $("#key");
  form.hidden = false;
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      form.hidden = true;
      resolve(form.text.value.trim());
    };
  });
}

await attempt(async () => {
  const config = await call("GET", "/demo/config.json");
  offerTime();
  showWorkflows(config.workflows);
  await clock.read();
  await showMails();
  setInterval(showTimes, 15_000);
  document.addEventListener("visibilitychange", () => document.hidden || attempt(() => clock.read().then(showMails)));
  if (config.channel === null) throw new Error("No in-app feed is among the channels of the configuration.");
  config.public_key ??= await askForKey();
  $("#people").append(...PEOPLE.map((who) => new Person(who, config).root));
});
