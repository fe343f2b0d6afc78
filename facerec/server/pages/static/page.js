// What needs a script: photos dropped, pasted or taken by the webcam, and the keys of Review. All else works without.
"use strict";

const found = (id) => document.getElementById(id);
const drop = found("drop");

// -------------------------------------------------------------------------------------------------------- photos

// What is said of photos that the server would not take; "" if it takes them.
function tooMuch(input, files) {
  const size = files.reduce((sum, file) => sum + file.size + 1000, 1000);
  return size > input.dataset.bytes || files.length > input.dataset.files ? input.dataset.tooMuch : "";
}

document.addEventListener("change", (event) => {
  if (event.target.type !== "file" || drop) return; // there, each photo is sent alone
  event.target.setCustomValidity(tooMuch(event.target, [...event.target.files]));
  event.target.reportValidity();
});

// ------------------------------------------------------------------------------------------------------ identify

async function identify(files) {
  const state = found("state");
  let failed = "";
  for (const file of files) {
    state.textContent = state.dataset.looking;
    if (tooMuch(found("photos"), [file])) {
      failed = found("photos").dataset.tooMuch;
      continue;
    }
    const body = new FormData();
    body.append("csrf", drop.elements.csrf.value);
    body.append("photos", file, file.name);
    try {
      const answer = await fetch("/identify", { method: "POST", body, headers: { "HX-Request": "true" } });
      show(await answer.text());
    } catch {
      failed = state.dataset.failed;
    }
  }
  state.textContent = failed;
}

function show(html) {
  const results = found("results");
  results.insertAdjacentHTML("afterbegin", html);
  const first = results.firstElementChild;
  if (!first) return;
  htmx.process(first);
  const faces = first.querySelectorAll("details");
  if (faces.length === 1) faces[0].open = true;
  first.scrollIntoView({ block: "nearest" });
}

if (drop) {
  const chosen = found("photos");
  chosen.addEventListener("change", () => { identify([...chosen.files]); chosen.value = ""; });
  found("go").hidden = true;
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") identify(pictures(event.dataTransfer));
    });
  }
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) identify(pictures(event.clipboardData));
  });
  if (navigator.mediaDevices) camera(found("camera"), found("camera-start"));
}

function pictures(given) {
  return [...given.files].filter((file) => file.type.startsWith("image/"));
}

function camera(section, start) {
  const video = section.querySelector("video");
  const shot = found("camera-shot");
  let stream = null;
  start.hidden = false;
  start.addEventListener("click", async () => {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
    } catch {
      found("state").textContent = found("state").dataset.refused;
      return;
    }
    video.srcObject = stream;
    await video.play();
    section.hidden = false;
    start.hidden = true;
    shot.focus();
  });
  shot.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    const name = found("state").dataset.webcam;
    canvas.toBlob((blob) => identify([new File([blob], name, { type: "image/jpeg" })]), "image/jpeg", 0.95);
  });
  found("camera-stop").addEventListener("click", () => {
    stream.getTracks().forEach((track) => track.stop());
    section.hidden = true;
    start.hidden = false;
    start.focus();
  });
}

// A frame on a picture opens what is said of its face.
document.addEventListener("click", (event) => {
  const link = event.target.closest(".picture a");
  const more = link && found(link.getAttribute("href").slice(1));
  if (!more) return;
  event.preventDefault();
  const details = more.closest("details");
  details.open = true;
  details.querySelector("summary").focus();
  details.scrollIntoView({ block: "nearest" });
});

// What went wrong is said in the form, if it has a place for it, which stays as it was filled in.
document.addEventListener("htmx:beforeSwap", (event) => {
  const said = event.detail.xhr.status >= 400 && event.detail.target.querySelector(".said");
  if (!said) return;
  event.detail.target = said;
  event.detail.swapOverride = "innerHTML";
});

// What was said of a face changes its frame, too, and the focus stays where it was said.
document.addEventListener("htmx:afterSettle", (event) => {
  const seen = event.target.closest(".seen");
  if (!seen) return;
  seen.querySelector("summary").focus();
  const frame = document.querySelector(`.picture a[href="#${seen.querySelector(".more").id}"]`);
  if (!frame) return;
  frame.setAttribute("class", seen.dataset.person ? "is-known" : "is-unknown");
  frame.setAttribute("aria-label", seen.dataset.label);
  frame.querySelector("text").textContent = seen.dataset.who;
});

// -------------------------------------------------------------------------------------------------------- review

const keys = { y: "[data-key=y]", n: "[data-key=n]" };

function step(by) {
  const cases = [...document.querySelectorAll(".case")];
  const now = cases.indexOf(document.activeElement.closest(".case"));
  const next = cases[Math.min(Math.max(now + by, 0), cases.length - 1)];
  if (next) next.focus();
}

document.addEventListener("keydown", (event) => {
  if (!found("review") || event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (key === "j" || key === "k") step(key === "j" ? 1 : -1);
  const here = document.activeElement.closest(".case");
  const button = keys[key] && here && here.querySelector(keys[key]);
  if (button) button.click();
});

// The next case takes the place, and the focus, of one that is settled.
document.addEventListener("htmx:beforeSwap", (event) => {
  const settled = event.detail.target.closest ? event.detail.target.closest(".case") : null;
  if (settled) settled.dataset.place = [...document.querySelectorAll(".case")].indexOf(settled);
  if (settled) document.body.dataset.next = settled.dataset.place;
});
document.addEventListener("htmx:afterSettle", () => {
  if (document.body.dataset.next === undefined) return;
  const cases = document.querySelectorAll(".case");
  const next = cases[Math.min(Number(document.body.dataset.next), cases.length - 1)];
  delete document.body.dataset.next;
  (next || found("review")).focus();
});
