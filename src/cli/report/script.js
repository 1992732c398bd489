"use strict";
// Counts what another threshold would keep, from the histograms in the page; nothing else is needed, nothing is fetched.

const facts = JSON.parse(document.getElementById("facts").textContent);
const whole = new Intl.NumberFormat("en");

// The rows from each bin on: what a threshold at its lower edge keeps.
function suffixSums(rows) {
  const sums = new Array(rows.length + 1).fill(0);
  for (let bin = rows.length - 1; bin >= 0; bin--) sums[bin] = sums[bin + 1] + rows[bin];
  return sums;
}

function edge(score, bin) {
  return score.low + (score.high - score.low) * (bin / score.rows.length);
}

function setUp(figure) {
  const score = facts.scores[Number(figure.dataset.score)];
  const sums = suffixSums(score.rows);
  const total = sums[0];
  const threshold = figure.querySelector(".threshold");
  const share = figure.querySelector(".share");
  const output = figure.querySelector("output");
  const shade = figure.querySelector(".shade");
  const line = figure.querySelector(".chosen");

  function show(bin) {
    const kept = sums[bin];
    const part = total ? kept / total : 0;
    const x = (bin / score.rows.length) * 100;
    shade.setAttribute("width", x);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    const text = `${score.name} ≥ ${edge(score, bin).toFixed(4)} keeps ${whole.format(kept)} of ${whole.format(total)} rows (${(part * 100).toFixed(1)} %)`;
    output.textContent = text;
    output.dataset.kept = kept;
    output.dataset.edge = edge(score, bin);
    threshold.setAttribute("aria-valuetext", text);
    share.setAttribute("aria-valuetext", text);
    return part;
  }

  threshold.addEventListener("input", () => {
    share.value = Math.round(show(Number(threshold.value)) * 1000);
  });
  share.addEventListener("input", () => {
    const wanted = (Number(share.value) / 1000) * total;
    // The lowest threshold that keeps no more than asked for: a step of the histogram.
    let bin = sums.findIndex((kept) => kept <= wanted);
    bin = Math.min(bin, score.rows.length - 1);
    threshold.value = bin;
    show(bin);
  });
  share.value = Math.round(show(Number(threshold.value)) * 1000);
  figure.querySelector(".sliders").hidden = false;
}

document.querySelectorAll("figure.chart").forEach(setUp);

const button = document.getElementById("theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : prefersDark.matches;
}

function tell() {
  button.textContent = isDark() ? "Light" : "Dark";
  button.setAttribute("aria-label", isDark() ? "Change to light colours" : "Change to dark colours");
}

button.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  tell();
});
prefersDark.addEventListener("change", tell);
button.removeAttribute("aria-pressed");
button.hidden = false;
tell();
