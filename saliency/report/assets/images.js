// Images: the photograph, and maps over it whose scores the pointer or the arrows tell.

const { photographs, aspects, maps, limits, size } = content;

// A map is as wide and high as the photograph that it lies over.
function aspectOf(i) {
  return String(aspects ? aspects[i] : size[1] / size[0]);
}

// Numbers of steps from differences, which were deflated.
async function unpacked(map) {
  const bytes = Uint8Array.from(atob(map.q), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  const steps = new Int8Array(await new Response(stream).arrayBuffer());
  for (let k = 0; k < steps.length; k += 1) {
    if (k % map.w) steps[k] += steps[k - 1];
  }
  return steps;
}

function paintMap(canvas, map, steps, limit, isSigned, isOver) {
  const { list: colors } = ramp(isSigned ? 'signed' : 'unsigned');
  const parts = colors.map((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16)));
  const image = new ImageData(map.w, map.h);
  for (let k = 0; k < steps.length; k += 1) {
    const score = steps[k] * map.step;
    const [red, green, blue] = parts[shadeIndex(score, limit, isSigned, parts.length)];
    const opacity = isOver ? Math.min(1, Math.abs(score) / limit) : 1;
    image.data.set([red, green, blue, Math.round(255 * opacity)], 4 * k);
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}

function stageOf(i, layer, isCoarse) {
  const map = maps[layer.m][layer.c][i];
  const limit = chosen.scale === 'all' ? limits[layer.m][layer.c] : map.limit;
  const canvas = el('canvas', {
    width: map.w, height: map.h, class: isCoarse ? 'map coarse' : 'map',
  });
  const cross = el('div', { class: 'cross', hidden: true });
  const reading = el('output', { class: 'reading' }, '\u00a0');
  const stage = el('div', {
    class: photographs ? 'stage over' : 'stage', tabindex: '0', role: 'application',
    '--aspect': aspectOf(i),
    'aria-label': `Map of ${layer.title} of ${data.names[i]}. Arrows move a cross that `
      + 'tells scores; Home goes to the strongest.',
  }, photographs ? photograph(i, isCoarse) : null, canvas, cross);
  const state = { stage, map, steps: null, reading, cross };
  unpacked(map).then((steps) => {
    state.steps = steps;
    paintMap(canvas, map, steps, limit, layer.signed, Boolean(photographs));
    stage.dataset.ready = 'true';
  }).catch(() => { reading.textContent = 'This browser is too old to unpack maps.'; });
  const figure = el('figure', {}, stage, el('figcaption', {},
    el('span', { class: 'title' }, layer.title), reading, colorKey(layer.signed, limit)));
  return { figure, state };
}

function photograph(i, isCoarse) {
  return el('img', { src: photographs[i], alt: '', class: isCoarse ? 'coarse' : null,
    draggable: 'false' });
}

// Tells the scores at a place, from 0 to 1 across and down, in all maps of an example.
function tellScores(stages, x, y) {
  for (const { map, steps, reading, cross } of stages) {
    if (!steps) continue;
    const column = Math.min(map.w - 1, Math.floor(x * map.w));
    const row = Math.min(map.h - 1, Math.floor(y * map.h));
    const score = steps[row * map.w + column] * map.step;
    const place = `${Math.floor(x * size[1])}, ${Math.floor(y * size[0])}`;
    reading.textContent = `${number(score, true)} at (${place})`;
    cross.style.left = `${100 * x}%`;
    cross.style.top = `${100 * y}%`;
    cross.hidden = false;
  }
}

function listen(one, stages, place) {
  const { stage, map } = one;
  stage.addEventListener('pointermove', (event) => {
    const box = stage.getBoundingClientRect();
    place.x = Math.max(0, Math.min(0.9999, (event.clientX - box.left) / box.width));
    place.y = Math.max(0, Math.min(0.9999, (event.clientY - box.top) / box.height));
    tellScores(stages, place.x, place.y);
  });
  stage.addEventListener('pointerleave', () => {
    for (const { cross, reading } of stages) {
      cross.hidden = true;
      reading.textContent = '\u00a0';
    }
  });
  stage.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!(by || event.key === 'Home') || !one.steps) return;
    event.preventDefault();
    if (by) {
      const far = event.shiftKey ? 10 : 1;
      const clip = (value) => Math.max(0, Math.min(0.9999, value));
      place.x = clip(place.x + (far * by[0]) / map.w);
      place.y = clip(place.y + (far * by[1]) / map.h);
    } else {
      const top = one.steps.reduce((a, s, k) => (Math.abs(s) > Math.abs(one.steps[a]) ? k : a), 0);
      place.x = ((top % map.w) + 0.5) / map.w;
      place.y = (Math.floor(top / map.w) + 0.5) / map.h;
    }
    tellScores(stages, place.x, place.y);
  });
}

function buildImage(i, body) {
  const isCoarse = Math.max(...size) <= 64;
  const n = layers().length + Boolean(photographs);
  const figures = el('div', { class: n > 4 ? 'figures many' : 'figures' });
  if (photographs) {
    figures.append(el('figure', {},
      el('div', { class: 'stage', '--aspect': aspectOf(i) },
        photograph(i, isCoarse)),
      el('figcaption', {}, el('span', { class: 'title' }, 'Image'))));
  }
  const built = layers().map((layer) => stageOf(i, layer, isCoarse));
  const stages = built.map(({ state }) => state);
  const place = { x: 0.5, y: 0.5 };
  for (const one of stages) listen(one, stages, place);
  figures.append(...built.map(({ figure }) => figure));
  body.append(figures);
}

function showImages() {
  showCards(buildImage, commonValue, commonText);
}

function addOpacity() {
  if (!photographs) return;
  const value = el('output', {}, '85 %');
  const slider = el('input', {
    type: 'range', min: '0', max: '100', step: '1', value: '85', oninput: () => {
      document.documentElement.style.setProperty('--opacity', slider.value / 100);
      value.textContent = `${slider.value} %`;
    },
  });
  tools.append(labelled('Opacity of the maps', slider, value));
}

chosen.scale = 'each';
chooseClass(showImages, data.classes.length * data.methods.length <= 6);
addOpacity();
if (data.names.length > 1) {
  addFilter(hintOf('words'), showImages);
  addOrder(showImages);
  addScale(showImages);
}
showImages();
