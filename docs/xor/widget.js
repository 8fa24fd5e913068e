"use strict";
(() => {
  const { X, Y, frames } = JSON.parse(document.getElementById("xor-run").textContent);
  const [canvas, line, point, ticks, slider, says] =
    ["boundary", "line", "point", "ticks", "slider", "says"].map((name) => document.getElementById(`xor-${name}`));
  const pen = canvas.getContext("2d");
  const size = canvas.width;
  const ZERO = [42, 122, 185], ONE = [240, 150, 60];  // the colours of the two answers
  const FROM = -0.5, TO = 1.5;  // the square that is drawn, in both inputs

  // The network: A = sigmoid(W2 tanh(W1 X + b1) + b2), for one sample.
  function network({ W1, b1, W2, b2 }, x, y) {
    const z = W1.reduce((sum, [u, v], j) => sum + W2[0][j] * Math.tanh(u * x + v * y + b1[j][0]), b2[0][0]);
    return 1 / (1 + Math.exp(-z));
  }

  const place = (value) => ((value - FROM) / (TO - FROM)) * size;

  function drawBoundary(frame) {
    const image = pen.createImageData(size, size);
    const answers = new Float32Array(size * size);
    for (let i = 0; i < size * size; i++) {
      const x = FROM + ((i % size + 0.5) / size) * (TO - FROM);
      const y = TO - ((Math.floor(i / size) + 0.5) / size) * (TO - FROM);
      const a = (answers[i] = network(frame, x, y));
      const left = i % size && answers[i - 1], above = i >= size && answers[i - size];
      const crossed = (i % size && (a > 0.5) !== (left > 0.5)) || (i >= size && (a > 0.5) !== (above > 0.5));
      ZERO.forEach((zero, k) => { image.data[4 * i + k] = crossed ? 0 : zero + a * (ONE[k] - zero); });
      image.data[4 * i + 3] = 255;
    }
    pen.putImageData(image, 0, 0);
    X[0].forEach((x, i) => {  // the samples: a disc where the answer is to be 1, a ring where it is to be 0
      pen.beginPath();
      pen.arc(place(x), size - place(X[1][i]), 7, 0, 2 * Math.PI);
      pen.lineWidth = 3;
      pen.strokeStyle = pen.fillStyle = "#fff";
      Y[0][i] ? pen.fill() : pen.stroke();
    });
  }

  const most = Math.max(...frames.map((frame) => frame.cost));
  const last = frames[frames.length - 1].iteration;
  const across = (iteration) => 40 + (260 * iteration) / last;
  const up = (cost) => 200 - (190 * cost) / most;

  function drawCurve() {
    line.setAttribute("points", frames.map(({ iteration, cost }) => `${across(iteration)},${up(cost)}`).join(" "));
    const across_ = [0, last / 2, last].map((n) => `<text x="${across(n)}" y="215" text-anchor="middle">${n}</text>`);
    const up_ = [0, 0.5].map((n) => `<text x="35" y="${up(n) + 4}" text-anchor="end">${n}</text>`);
    ticks.innerHTML = across_.concat(up_).join("");
  }

  function show() {
    const frame = frames[slider.value];
    drawBoundary(frame);
    point.setAttribute("cx", across(frame.iteration));
    point.setAttribute("cy", up(frame.cost));
    const answers = X[0].map((x, i) => `${x} xor ${X[1][i]}: ${network(frame, x, X[1][i]).toFixed(2)}`).join(", ");
    says.textContent = `After ${frame.iteration} steps the cost is ${frame.cost.toFixed(4)}. ${answers}.`;
    slider.setAttribute("aria-valuetext", `${frame.iteration} steps, cost ${frame.cost.toFixed(4)}`);
    canvas.setAttribute("aria-label", `the decision boundary after ${frame.iteration} steps: ${answers}`);
  }

  drawCurve();
  slider.addEventListener("input", show);
  show();
})();
