// What a page of the desk does by itself: times in the viewer's zone, what goes on, clips that play.
(() => {
  "use strict";
  const long = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const older = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  const tell = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const when = new Date(time.dateTime);
      if (Number.isNaN(when.getTime())) continue;
      const is_ours = when.getFullYear() === new Date().getFullYear();
      time.textContent = (is_ours ? long : older).format(when);
      time.title = full.format(when);
    }
  };
  const read = (html) => new DOMParser().parseFromString(html, "text/html");
  tell(document);
  // On a phone the list of pages is a row that is scrolled.
  document.querySelector(".side nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  // ---- what goes on as it is read ----
  const told = document.querySelector("[data-events]");
  if (told) {
    const said = document.getElementById("live");
    const events = new EventSource(told.dataset.events);
    events.addEventListener("open", () => { said.textContent = ""; });
    events.addEventListener("error", () => {
      const is_over = events.readyState === EventSource.CLOSED;
      said.textContent = is_over ? "It is not told any more what changes. Load the page again." : "Reconnecting…";
    });
    events.addEventListener("signed-out", () => {
      events.close();
      said.textContent = "You are signed out. Ask for a new link, or load the page again.";
    });
    events.addEventListener("card", (event) => {
      if (told.dataset.job) follow(event.data).catch(() => {});
      for (const fresh of [...read(event.data).body.children]) {
        const old = fresh.id && document.getElementById(fresh.id);
        if (!old) continue;
        tell(fresh);
        // Who reads with the keyboard, or has scrolled, stays where they are.
        const at = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        const scrolled = [...old.querySelectorAll(".wide")].map((each) => each.scrollLeft);
        old.replaceWith(fresh);
        fresh.querySelectorAll(".wide").forEach((each, index) => { each.scrollLeft = scrolled[index] || 0; });
        if (at) [...fresh.querySelectorAll("a")].find((each) => each.getAttribute("href") === at)?.focus();
      }
    });
    // A job's own page is read again where the queue says that the job stands elsewhere by now.
    const follow = async (html) => {
      const row = [...read(html).querySelectorAll("tr")].find((each) => each.querySelector("th a")?.textContent === told.dataset.job);
      const state = document.querySelector("#state .state");
      if (row?.querySelector("span.state").textContent === state.textContent) return;
      const answer = await fetch(location.href);
      if (!answer.ok) return;
      const page = read(await answer.text()), sheet = page.querySelector(".sheet");
      document.getElementById("state").replaceWith(page.getElementById("state"));
      if (!sheet.dataset.events) events.close();
      // Who is about to act is not disturbed.
      if (told.querySelector("details[open]")) { said.textContent = "This has changed. Load the page again."; return; }
      tell(sheet);
      const at = told.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      told.replaceChildren(...sheet.childNodes);
      if (at) [...told.querySelectorAll("a")].find((each) => each.getAttribute("href") === at)?.focus();
    };
    addEventListener("pagehide", () => events.close());
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }

  // ---- clips ----
  document.addEventListener("click", (event) => {
    const play = event.target.closest("a.play");
    if (!play || play.dataset.kind === "image" || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const video = document.createElement("video");
    Object.assign(video, { src: play.href, controls: true, autoplay: true, loop: true, playsInline: true, poster: play.dataset.poster });
    video.setAttribute("aria-label", play.getAttribute("aria-label"));
    play.parentElement.replaceChildren(video);
    video.focus();
  });
  // A picture that is not kept any more leaves its place empty.
  document.addEventListener("error", (event) => { if (event.target.matches?.(".frame-of img")) event.target.remove(); }, true);

  // ---- a search that goes on until the page is full ----
  const FULL = 24, MOST_LOOKS = 60;
  const look = async () => {
    for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
      const further = document.getElementById("further"), clips = document.getElementById("clips");
      if (!further?.dataset.further || clips.children.length >= FULL) return;
      clips.setAttribute("aria-busy", "true");
      const answer = await fetch(further.dataset.further);
      if (!answer.ok) return;
      const page = read(await answer.text());
      tell(page);
      clips.append(...page.querySelectorAll("#clips > li"));
      further.replaceWith(page.getElementById("further"));
    }
  };
  look().catch(() => {}).finally(() => document.getElementById("clips")?.removeAttribute("aria-busy"));

  // ---- a new look at what runs ----
  const again = document.querySelector("[data-again]");
  if (again) setTimeout(() => location.reload(), 1000 * Number(again.dataset.again));
})();
