// What a page does by itself: images, replies, times, progress; the rest is htmx and the server.
(() => {
  "use strict";
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const MOST_IMAGES = 2;
  const IMAGE_BYTES = 20_000_000;
  const messages = one("#messages");
  const composer = one("#composer");
  const scroll = one("#scroll");
  const nonce = () => [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");

  // ---- times and progress ----------------------------------------------------------------

  const short = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const long = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

  const isToday = (time) => new Date(time.dateTime).toDateString() === new Date().toDateString();

  function localise(within) {
    for (const time of all("time[datetime]:not([title])", within)) {
      const when = new Date(time.dateTime);
      if (Number.isNaN(when.getTime())) continue;
      // From a day to a time would be half a period.
      const isShort = [...time.parentElement.querySelectorAll(":scope > time")].every(isToday);
      time.textContent = (isShort ? short : long).format(when);
      time.title = full.format(when);
    }
  }

  function advance() {
    for (const bar of all("progress[data-until]")) {
      const since = Date.parse(bar.dataset.since), until = Date.parse(bar.dataset.until);
      // Nobody can tell how far it is: it never says that it has arrived.
      const value = Math.min(0.97, Math.max(0, (Date.now() - since) / Math.max(1, until - since)));
      bar.value = value;
    }
  }

  // ---- cards -----------------------------------------------------------------------------

  // Who reads the end goes on reading it, whatever grows above; who reads elsewhere is left alone.
  let isAtEnd = true;
  const toEnd = () => { if (messages) scroll.scrollTop = scroll.scrollHeight; };
  if (messages) {
    let top = 0;
    scroll.addEventListener("scroll", () => {
      const isNear = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 120;
      // Only who scrolls up has left: images that arrive late move the end away.
      isAtEnd = isNear || (isAtEnd && scroll.scrollTop >= top);
      top = scroll.scrollTop;
    });
    const grown = new ResizeObserver(() => { if (isAtEnd) toEnd(); });
    grown.observe(messages);
    grown.observe(scroll);
  }

  function cardsIn(html) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    return all("article[id]", holder.content);
  }

  // A card that is new needs a place; one that is there is replaced where it stands. Whether any
  // of them has one here: a thread shows its own alone.
  function makeRoom(html, isOwn) {
    isAtEnd ||= isOwn;
    let hasPlace = false;
    for (const card of cardsIn(html)) {
      if (document.getElementById(card.id)) { hasPlace = true; continue; }
      if (card.getAttribute("hx-swap-oob") === "delete") continue;
      const isKin = card.dataset.parent && document.getElementById(card.dataset.parent);
      const takes = messages && messages.dataset.takes;
      if (!isOwn && takes !== "all" && !(takes === "kin" && isKin)) continue;
      if (!messages) continue;
      const place = document.createElement("article");
      place.id = card.id;
      messages.append(place);
      hasPlace = true;
    }
    return hasPlace;
  }

  // What is shown already stays as it is: a clip goes on playing, a field keeps its words.
  function isShown(html) {
    const cards = cardsIn(html);
    return cards.length > 0 && cards.every((card) => {
      const there = document.getElementById(card.id);
      return there && there.dataset.mark === card.dataset.mark;
    });
  }

  // An answer and the stream take different ways: what the stream told of a card after the answer
  // was begun is as new as the answer, or newer.
  const told = new Map();
  const isLater = (at, seen) => {
    const [process, number] = at.split("."), [before, last] = seen.split(".");
    return process === before && Number(number) > Number(last);
  };
  function withoutOlder(html, seen) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    const older = all("article[id]", holder.content).filter((card) => told.has(card.id) && isLater(told.get(card.id), seen));
    for (const card of older) card.remove();
    return older.length ? holder.innerHTML : html;
  }

  function tell(html) {
    for (const card of cardsIn(html)) {
      const there = document.getElementById(card.id);
      const dot = one(`[data-of="${card.id}"]`);
      if (dot) dot.className = `dot ${card.dataset.tone}`;
      const isNews = there ? there.dataset.over !== card.dataset.over : card.id.startsWith("said-");
      if (isNews && card.dataset.over) one("#told").textContent = card.dataset.title;
    }
  }

  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    const news = event.detail;
    // A stream that is opened anew begins where this one was.
    if (news.lastEventId) messages.setAttribute("sse-connect", `/web/events?after=${encodeURIComponent(news.lastEventId)}`);
    if (news.lastEventId) for (const card of cardsIn(news.data)) told.set(card.id, news.lastEventId);
    if (isShown(news.data)) return event.preventDefault();
    tell(news.data);
    if (!makeRoom(news.data, false)) event.preventDefault();
  });
  document.addEventListener("htmx:sseMessage", () => settle());
  document.addEventListener("htmx:beforeSwap", (event) => {
    const answer = event.detail;
    makeRoom(answer.xhr.responseText, answer.requestConfig.verb === "post");
    const seen = answer.xhr.getResponseHeader("X-Seen");
    if (seen) answer.serverResponse = withoutOlder(answer.serverResponse, seen);
  });
  document.addEventListener("htmx:afterSettle", () => settle());

  function settle() {
    localise(document);
    advance();
    if (isAtEnd) toEnd();
    const field = one(".ask [data-focus]");
    if (field) { field.removeAttribute("data-focus"); field.focus(); }
  }

  // ---- requests --------------------------------------------------------------------------

  // What was sent and is not known to be answered: sent again as it is, it is the same request, also
  // once the page was loaded anew. Where a browser keeps nothing, this page alone knows it.
  const MOST_DOUBTFUL = 20;
  let doubtful = new Map();
  function recall() {
    try { doubtful = new Map(JSON.parse(sessionStorage.getItem("doubtful") || "[]")); } catch { /* It is off. */ }
  }
  function remember() {
    for (const what of [...doubtful.keys()].slice(0, -MOST_DOUBTFUL)) doubtful.delete(what);
    try { sessionStorage.setItem("doubtful", JSON.stringify([...doubtful])); } catch { /* It is off. */ }
  }
  const plain = (value) => (value instanceof File ? [value.name, value.size, value.lastModified] : value);
  const sent = ({ path, formData }) =>
    path + JSON.stringify([...formData].filter(([name]) => name !== "nonce").map(([name, value]) => [name, plain(value)]));
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.verb !== "post") return;
    const what = sent(event.detail);
    recall();
    if (!doubtful.has(what)) doubtful.set(what, nonce());
    remember();
    event.detail.parameters.nonce = doubtful.get(what);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const { xhr, requestConfig } = event.detail;
    // Who was signed out, or has an old page, was not heard, and may have sent it before.
    const isAnswered = xhr.status >= 200 && xhr.status < 300 && !xhr.getResponseHeader("X-Doubtful");
    if (!isAnswered && xhr.status !== 400 && xhr.status !== 404) return;
    recall();
    doubtful.delete(sent(requestConfig));
    remember();
  });
  const trouble = (words) => {
    const box = one("#trouble");
    box.textContent = words;
    box.hidden = !words;
  };
  const AWAY = "Raybot cannot be reached. Send it again once it runs: what was taken already is not paid twice.";
  document.addEventListener("htmx:sendError", () => trouble(AWAY));
  document.addEventListener("htmx:timeout", () => trouble(AWAY));
  const OUT = "You are signed out here. Ask for a new link, then load the page again.";
  document.addEventListener("htmx:responseError", (event) => trouble(
    event.detail.xhr.status === 401 ? OUT : event.detail.xhr.status === 403 ? "This page is an old one. Load it again." : "That did not work. Try again."));
  document.addEventListener("htmx:afterOnLoad", (event) => event.detail.xhr.status < 400 && trouble(""));
  document.addEventListener("htmx:sseClose", (event) => event.detail.type === "message" && trouble(OUT));
  document.addEventListener("htmx:sseError", async (event) => {
    document.body.classList.add("cut");
    // A stream says not why it was refused; another page does.
    if (event.detail.source.readyState !== EventSource.CLOSED) return;
    const answer = await fetch("/web/usage").catch(() => null);
    if (answer && answer.status === 401) trouble(OUT);
  });
  document.addEventListener("htmx:sseOpen", () => document.body.classList.remove("cut"));

  document.addEventListener("pressed", () => all(".ask").forEach((each) => each.replaceChildren()));
  let sending = { text: "", chips: [], job: "" };
  document.addEventListener("htmx:beforeRequest", (event) => {
    const { text, reply_to: job } = composer?.elements || {};
    if (event.target === composer) sending = { text: text.value, chips: all(".chip"), job: job.value };
  });
  document.addEventListener("sent", () => {
    // What was added since stays.
    const { text, reply_to: job } = composer.elements;
    if (text.value === sending.text) text.value = "";
    sending.chips.forEach((each) => each.remove());
    if (messages.dataset.takes !== "kin" && job.value === sending.job) reply("", "");
    grow();
  });

  // ---- the composer ----------------------------------------------------------------------

  function grow() {
    const text = composer.elements.text;
    text.rows = Math.min(8, Math.max(1, text.value.split("\n").length, Math.ceil(text.value.length / 90)));
  }
  function reply(job, words) {
    composer.elements.reply_to.value = job;
    one("#reply").hidden = !job;
    one("#reply span").textContent = words;
  }
  function chip(html) {
    const chips = one("#chips");
    chips.insertAdjacentHTML("beforeend", html);
    composer.elements.text.focus();
  }

  // Words whose image is on its way wait for it: without it they would be another request. What
  // is changed meanwhile, or whose image did not arrive, is sent by another press alone.
  const ON_ITS_WAY = "An image is still on its way.";
  let uploads = 0, coming = 0, isHeld = false, hasFailed = false;
  function hold() {
    isHeld = true;
    if (!hasFailed) trouble(ON_ITS_WAY);
  }
  async function upload(files) {
    // The field that they were picked in is emptied.
    const images = [...files];
    if (!uploads) { trouble(""); hasFailed = false; }
    uploads += 1;
    document.body.classList.add("uploading");
    for (const file of images) if (!(await bring(file))) hasFailed = true;
    uploads -= 1;
    if (uploads) return;
    document.body.classList.remove("uploading");
    if (one("#trouble").textContent === ON_ITS_WAY) trouble("");
    const isDue = isHeld && !hasFailed;
    isHeld = false;
    if (isDue) composer.requestSubmit();
  }

  function whyNot(file, status) {
    if (status === 401) return OUT;
    if (status === 503) return "Raybot is busy right now. Try again in a moment.";
    if (status === 408) return `${file.name} took too long to arrive. Try again, or send a smaller one.`;
    return status === 413 ? `${file.name} is larger than 20 MB.` : "The image could not be sent. Load the page again.";
  }
  const TWO = "A clip takes two images: one to start from and one to end on.";
  const isFull = () => all(".chip").length + coming >= MOST_IMAGES;
  // Whether it is there; else it is said why not.
  async function bring(file) {
    let why = file.size > IMAGE_BYTES ? `${file.name} is larger than 20 MB.` : "";
    if (isFull()) why = TWO;
    if (why) { trouble(why); return false; }
    coming += 1;
    try {
      const answer = await fetch("/web/images", {
        method: "POST", body: file,
        headers: { "X-CSRF-Token": one("meta[name=csrf]").content, "HX-Request": "true", "Content-Type": "application/octet-stream" },
      });
      const html = await answer.text();
      if (answer.status === 201) chip(html);
      else if (answer.ok) htmx.swap("#messages", html, { swapStyle: "none" });
      else trouble(whyNot(file, answer.status));
      return answer.status === 201;
    } catch { trouble(AWAY); return false; } finally { coming -= 1; }
  }

  if (composer) {
    const text = composer.elements.text;
    text.addEventListener("input", () => { isHeld = false; grow(); });
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!one("#send").disabled) composer.requestSubmit();
    });
    composer.addEventListener("htmx:confirm", (event) => {
      if (event.target !== composer) return;
      const isEmpty = !text.value.trim() && !all(".chip").length;
      if (uploads) hold();
      if (uploads || isEmpty) event.preventDefault();
    });
    one("#files").addEventListener("change", (event) => { upload(event.target.files); event.target.value = ""; });
    document.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (files.length) { event.preventDefault(); upload(files); }
    });
    let depth = 0;
    const drag = (by) => { depth = Math.max(0, depth + by); document.body.classList.toggle("dragging", depth > 0); };
    const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
    document.addEventListener("dragenter", (event) => hasFiles(event) && drag(1));
    document.addEventListener("dragleave", (event) => hasFiles(event) && drag(-1));
    document.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      drag(-depth);
      upload(event.dataTransfer.files);
    });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    isHeld = false;
    const set = button.dataset;
    if ("dismiss" in set) { one("#notes").replaceChildren(); composer.elements.text.focus(); }
    else if ("close" in set) button.closest(".ask").replaceChildren();
    else if ("unchip" in set) { button.closest(".chip").remove(); composer.elements.text.focus(); }
    else if ("unreply" in set) { reply("", ""); composer.elements.text.focus(); }
    else if (set.reply) { reply(set.reply, `Starts from the picture ${set.reply}`); composer.elements.text.focus(); }
    else if (set.try) { composer.elements.text.value = set.try; grow(); composer.elements.text.focus(); }
    else if (set.replyImage) {
      if (isFull()) return trouble(TWO);
      const holder = document.createElement("template");
      holder.innerHTML = '<li class="chip"><input type="hidden" name="image"><img alt="An image to send"><button type="button" data-unchip aria-label="Leave this image out">×</button></li>';
      one("input", holder.content).value = set.replyImage;
      one("img", holder.content).src = `/web/image?id=${set.replyImage}`;
      one("#chips").append(holder.content);
      composer.elements.text.focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = all("details[open]").pop() || all(".ask").find((each) => each.children.length);
    if (open && open.tagName === "DETAILS") { open.open = false; one("summary", open).focus(); }
    else if (open) open.replaceChildren();
    else if (one("#notes")) one("#notes").replaceChildren();
  });

  localise(document);
  advance();
  toEnd();
  setInterval(advance, 500);
  if (composer && matchMedia("(pointer: fine)").matches) composer.elements.text.focus();
})();
