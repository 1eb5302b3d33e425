"use strict";

const RECORDED = 3000; // milliseconds
const find = (id) => document.getElementById(id);
const state = find("state");
let token = "";
let waiting = []; // files that are to be sent
let sending = false;

function say(text) {
  state.textContent = text;
}

function percent(score) {
  return `${(100 * score).toFixed(1)} %`;
}

function made(kind, text = "") {
  const one = document.createElement(kind);
  one.textContent = text;
  return one;
}

async function send(file) {
  const headers = { "Content-Type": "application/octet-stream" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch("predict?frames=true", { method: "POST", body: file, headers });
  const found = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  return { status: answer.status, found };
}

function show(name, found, card) {
  const result = found.results ? found.results[0] : {};
  const heading = card.querySelector("h2");
  const failed = found.error;
  card.querySelector(".about").textContent = name;
  card.classList.toggle("failed", Boolean(failed));
  if (failed) {
    heading.textContent = `No answer: ${failed}`;
    for (const one of card.querySelectorAll("table, h3, ol")) one.remove();
  } else {
    heading.textContent = `${result.label} (${percent(result.score)})`;
    card.querySelector(".about").textContent = `${name}, by ${found.model}, ${result.seconds.toFixed(2)} s`;
    for (const one of result.topk) card.querySelector("tbody").append(row(one));
    for (const one of result.frames) card.querySelector("ol").append(picture(one));
    const warning = card.querySelector(".warning");
    warning.hidden = !result.warning;
    warning.textContent = result.warning ? `Part of the video was not used: ${result.warning}` : "";
  }
  find("results").prepend(card);
  return heading.textContent;
}

function row(one) {
  const line = made("tr");
  const name = made("th", one.label);
  name.scope = "row";
  const bar = made("div");
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true");
  const full = made("span");
  full.style.width = `${100 * one.score}%`;
  bar.append(full);
  const middle = made("td");
  middle.append(bar);
  line.append(name, middle, made("td", percent(one.score)));
  return line;
}

function picture(one) {
  const time = one.seconds === null ? "" : `, ${one.seconds.toFixed(2)} s`;
  const figure = made("figure");
  const image = made("img");
  image.src = one.image;
  image.alt = `Frame ${one.frame}${time}`;
  figure.append(image, made("figcaption", `${one.frame}${time}`));
  const item = made("li");
  item.append(figure);
  return item;
}

async function work() {
  if (sending) return;
  sending = true;
  try {
    while (waiting.length) {
      const file = waiting[0];
      say(`Sending ${file.name} ...`);
      let status = 0;
      let found;
      try {
        ({ status, found } = await send(file));
      } catch {
        found = { error: "the server cannot be reached, or ended the connection" };
      }
      if (status === 401) {
        find("access").hidden = false;
        find("token").focus();
        say(token ? "This token is not one of the server's." : "Enter a token to go on.");
        return;
      }
      waiting.shift();
      say(show(file.name, found, find("answer").content.cloneNode(true).firstElementChild));
    }
  } finally {
    sending = false;
  }
}

function take(files) {
  waiting.push(...files);
  work();
}

for (const input of document.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // so that the same file can be chosen again
  });
}

find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("token").value.trim();
  find("access").hidden = true;
  work();
});

for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    find("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}

async function record() {
  const button = find("camera");
  const live = find("live");
  let stream;
  button.disabled = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    live.srcObject = stream;
    live.hidden = false;
    await live.play();
    const recorder = new MediaRecorder(stream);
    const parts = [];
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    const stopped = new Promise((done) => recorder.addEventListener("stop", done));
    recorder.start();
    for (let left = RECORDED / 1000; left > 0; left -= 1) {
      say(`Recording, ${left} s left`);
      await new Promise((done) => setTimeout(done, 1000));
    }
    recorder.stop();
    await stopped;
    take([new File(parts, "camera", { type: recorder.mimeType })]);
  } catch (error) {
    say(`The camera cannot be used: ${error.message}`);
  } finally {
    for (const track of stream ? stream.getTracks() : []) track.stop();
    live.srcObject = null;
    live.hidden = true;
    button.disabled = false;
  }
}

// Browsers give the camera to pages of this machine and to those over HTTPS; elsewhere a phone's
// own camera can be asked for a file.
if (navigator.mediaDevices && window.MediaRecorder) {
  find("camera").hidden = false;
  find("camera").addEventListener("click", record);
} else {
  find("capture").hidden = false;
}
