// Tables: means and swarms of all examples, a list of them, and the sums of one.

const { features, x: cells, values, errors } = content;
const relative = content.relative
  ? Uint8Array.from(atob(content.relative), (letter) => letter.charCodeAt(0)) : null;
const NO_VALUE = 255, FEW = 20, FEW_BARS = 14, PAGE = 400;
const ofSummary = { method: 0, group: 0, isShort: features.length > FEW + 2 };

// --- the summary ---

// The means of a method over the examples of the chosen class.
function meansOf(m) {
  return content.summary[m][data.classes.length ? chosen.class : ofSummary.group]
    || content.summary[m][0];
}

// The examples that they are of, as far as the page has them.
function members() {
  const all = data.names.map((_, i) => i);
  const method = data.methods[0];
  if (!method.classOf) return all;
  const name = meansOf(0).class;
  return all.filter((i) => method.classOf[i] === name);
}

function scoresOf(m, i) {
  return values[m][data.classes.length ? chosen.class : 0][i];
}

const DOT = 2.4;

// Places of dots in a row: those that would touch are put on each other, the highest
// values of the feature on top, around the middle.
function placesOf(rows, k, width, height, scale) {
  const columns = new Map();
  for (const i of rows) {
    const at = scale(scoresOf(ofSummary.method, i)[k]);
    const column = Math.round(at / (2 * DOT));
    if (!columns.has(column)) columns.set(column, []);
    columns.get(column).push([at, relative ? relative[i * features.length + k] : 0, i]);
  }
  const places = [];
  for (const dots of columns.values()) {
    dots.sort((a, b) => a[1] - b[1]);
    const room = height - 2 * DOT - 2;
    const pitch = Math.min(2 * DOT, room / Math.max(1, dots.length - 1));
    dots.forEach(([at, value, i], place) => {
      const up = (place - (dots.length - 1) / 2) * pitch;
      places.push({ x: at, y: height / 2 - up, value, i });
    });
  }
  return places;
}

function paintSwarm(canvas, rows, k, [low, high]) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (width === 0) return;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const scale = (score) => DOT + 1 + ((score - low) / (high - low || 1)) * (width - 2 * DOT - 2);
  context.fillStyle = style.getPropertyValue('--line');
  context.fillRect(scale(0) - 0.5, 0, 1, height);
  const colors = ramp('feature').list;
  const places = placesOf(rows, k, width, height, scale);
  for (const { x: left, y: top, value } of places) {
    context.fillStyle = !relative ? style.getPropertyValue('--neutral')
      : value === NO_VALUE ? style.getPropertyValue('--missing')
        : colors[Math.round((value / (NO_VALUE - 1)) * (colors.length - 1))];
    context.beginPath();
    context.arc(left, top, DOT, 0, 2 * Math.PI);
    context.fill();
  }
  canvas.places = places;
}

function nearest(canvas, event) {
  const box = canvas.getBoundingClientRect();
  const [left, top] = [event.clientX - box.left, event.clientY - box.top];
  let best = null, least = 15 ** 2;
  for (const place of canvas.places || []) {
    const far = (place.x - left) ** 2 + (place.y - top) ** 2;
    if (far < least) [best, least] = [place, far];
  }
  return best;
}

function withValue(k, i) {
  const value = cells ? cells[i][k] : null;
  return value === null ? features[k] : `${features[k]} = ${plainNumber(value)}`;
}

function swarmOf(rows, k, range) {
  const canvas = el('canvas', { class: 'swarm', 'aria-hidden': 'true' });
  const paint = () => paintSwarm(canvas, rows, k, range);
  new ResizeObserver(paint).observe(canvas);
  onTheme(canvas, paint);
  const { signed } = data.methods[ofSummary.method];
  canvas.addEventListener('pointermove', (event) => {
    const place = nearest(canvas, event);
    canvas.classList.toggle('near', Boolean(place));
    if (!place) {
      hideTip();
      return;
    }
    const score = number(scoresOf(ofSummary.method, place.i)[k], signed);
    showTip(event.clientX, event.clientY, `${data.names[place.i]}\n${withValue(k, place.i)}\nscore ${score}`);
  });
  canvas.addEventListener('pointerleave', hideTip);
  canvas.addEventListener('click', (event) => {
    const place = nearest(canvas, event);
    if (!place) return;
    pick(place.i);
    document.getElementById('examples').scrollIntoView();
    rowsOf.get(place.i)?.row.scrollIntoView({ block: 'nearest' });
  });
  return canvas;
}

function axisOf([low, high], isSigned) {
  const at = (score) => `${(100 * (score - low)) / (high - low || 1)}%`;
  const [against, speaks] = data.keys.signed;
  return el('div', { class: 'axis' },
    el('span', {}, number(low, isSigned)),
    low < 0 && high > 0 ? el('span', { class: 'at-zero', '--left': at(0) }, '0') : null,
    el('span', {}, number(high, isSigned)),
    isSigned ? el('div', { class: 'sides' },
      el('span', { class: 'against' }, `← ${against}`),
      el('span', { class: 'for' }, `${speaks} →`)) : null);
}

// The range of the scores of features in the swarms, which holds 0.
function rangeOf(rows, shown) {
  let [low, high] = [0, 0];
  for (const i of rows) {
    const scores = scoresOf(ofSummary.method, i);
    for (const k of shown) {
      low = Math.min(low, scores[k]);
      high = Math.max(high, scores[k]);
    }
  }
  return [low, high];
}

// What the points are: how many examples, of which class, and a part of them or all.
function aboutSwarms({ n, class: name }, nShown) {
  const count = `${n.toLocaleString('en')} example${n > 1 ? 's' : ''}`;
  const word = data.methods[0].classOf && manyClasses ? 'of class' : 'for';
  const part = nShown < n ? `, the first ${nShown.toLocaleString('en')} of them` : '';
  return `${count}${name ? ` ${word} ${name}` : ''}. Each point is an example${part}; a click shows it below.`;
}

function showSwarms() {
  const means = data.methods.map((_, m) => meansOf(m));
  const rows = members();
  const order = features.map((_, k) => k)
    .sort((a, b) => means[0].strength[b] - means[0].strength[a]);
  const shown = ofSummary.isShort ? order.slice(0, FEW) : order;
  const range = rangeOf(rows, shown);
  const method = data.methods[ofSummary.method];
  const isOne = data.methods.length === 1;
  const head = el('tr', {}, el('th', { scope: 'col' }, 'Feature'),
    ...data.methods.map(({ name }) => el('th', { scope: 'col', colspan: '2' },
      isOne ? 'Mean size of the score' : `Mean size, ${name}`)),
    el('th', { scope: 'col', class: 'swarms' }, isOne ? 'Score of each example'
      : `Score of each example, ${method.name}`));
  const limits = means.map(({ strength }) => Math.max(...strength) || 1);
  const body = shown.map((k) => el('tr', {},
    el('th', { scope: 'row', class: 'name', title: features[k] }, features[k]),
    ...means.flatMap(({ strength }, m) => [
      el('td', { class: 'number' }, number(strength[k])),
      el('td', { class: 'mean' }, zeroBar(strength[k], limits[m], false))]),
    el('td', { class: 'swarms' }, swarmOf(rows, k, range))));
  const foot = el('tr', {}, el('td', { colspan: String(1 + 2 * means.length) }),
    el('td', { class: 'swarms' }, axisOf(range, method.signed)));
  const table = el('table', { class: 'means' },
    el('caption', { class: 'hidden' }, `Mean size of the scores of ${means[0].n} examples by feature`),
    el('thead', {}, head), el('tbody', {}, ...body), el('tfoot', {}, foot));
  const more = features.length > FEW + 2 ? el('button', { type: 'button', onclick: () => {
    ofSummary.isShort = !ofSummary.isShort;
    showSwarms();
  } }, ofSummary.isShort ? `Show all ${features.length} features` : 'Show fewer features') : null;
  summary.replaceChildren(
    el('p', { class: 'hint' }, aboutSwarms(means[0], rows.length)),
    el('div', {
      class: 'scroll', role: 'region', tabindex: '0', 'aria-labelledby': 'summary-title',
    }, table), featureKey(), more || '');
}

function featureKey() {
  if (!relative) return '';
  const bar = el('span', { class: 'bar-of-colors', 'aria-hidden': 'true' });
  const paint = () => { bar.style.background = gradient('feature'); };
  paint();
  onTheme(bar, paint);
  return el('div', { class: 'key' }, el('span', {}, 'Value of the feature: low'), bar,
    el('span', {}, relative.includes(NO_VALUE) ? 'high (grey: none)' : 'high'));
}

function addSummaryChoices() {
  const groups = content.summary[0];
  if (!data.classes.length && groups.length > 1) {
    const options = groups.map((group, g) => [String(g), `${group.class} (${group.n})`]);
    choices.hidden = false;
    choices.append(labelled('Summary of class', select(options, 0, (value) => {
      ofSummary.group = Number(value);
      showSwarms();
    })));
  }
  if (data.methods.length > 1) {
    const options = data.methods.map(({ name }, m) => [String(m), name]);
    choices.hidden = false;
    choices.append(labelled('Points of', select(options, 0, (value) => {
      ofSummary.method = Number(value);
      showSwarms();
    })));
  }
}

// --- the list ---

let picked = 0, shownRows = PAGE, listed = null;
const rowsOf = new Map();
const detail = el('div', { class: 'detail', role: 'region', 'aria-label': 'The chosen example' });
const spoken = el('p', { class: 'hidden', role: 'status' });

function pick(i) {
  picked = i;
  for (const [k, { row, button }] of rowsOf) {
    row.classList.toggle('picked', k === i);
    button.setAttribute('aria-pressed', String(k === i));
  }
  const [k] = strongest(i);
  const score = number(scoresOf(0, i)[k], data.methods[0].signed);
  spoken.textContent = `${data.names[i]}: strongest is ${features[k]}, ${score}`;
  showDetail();
}

function strongest(i) {
  const scores = scoresOf(0, i);
  return features.map((_, k) => k).sort((a, b) => Math.abs(scores[b]) - Math.abs(scores[a]));
}

function rowOf(i, columns) {
  const button = el('button', {
    type: 'button', class: 'name', 'aria-pressed': String(i === picked),
  }, data.names[i]);
  const row = el('tr', { class: i === picked ? 'picked' : null, onclick: () => pick(i) },
    el('th', { scope: 'row' }, button),
    ...columns.slice(1).map((column) => column.cell(i)));
  button.addEventListener('keydown', (event) => {
    const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
    if (!next) return;
    event.preventDefault();
    next.querySelector('button').click();
    next.querySelector('button').focus();
  });
  rowsOf.set(i, { row, button });
  return row;
}

function scoreCell(value, isSigned) {
  const side = !isSigned || value === 0 ? '' : value < 0 ? ' against' : ' for';
  return el('td', { class: `number${side}` }, number(value, isSigned));
}

function columnsOfList() {
  const layer = layers()[0];
  const { method } = layer;
  const columns = [{ title: 'Example', value: (i) => data.names[i] }];
  if (manyClasses) {
    columns.push({ title: 'Class', value: classOf, cell: (i) => el('td', {}, classOf(i)) });
  }
  if (method.f) {
    columns.push({
      title: 'f(x)', isNumber: true, value: (i) => scoreOf(i, layer),
      cell: (i) => el('td', { class: 'number' }, number(scoreOf(i, layer))),
    });
  }
  const { strength } = meansOf(0);
  const most = features.map((_, k) => k).sort((a, b) => strength[b] - strength[a]);
  for (const k of most.slice(0, 4)) {
    columns.push({
      title: features[k], isNumber: true, value: (i) => scoresOf(0, i)[k],
      cell: (i) => scoreCell(scoresOf(0, i)[k], method.signed),
    });
  }
  return columns;
}

function valueOf(name, i) {
  const k = features.findIndex((feature) => feature.trim().toLowerCase() === name);
  if (k >= 0) return cells ? cells[i][k] : undefined;
  return commonValue(name, i);
}

function textOf(i) {
  return `${commonText(i)} ${features[strongest(i)[0]].toLowerCase()}`;
}

const more = el('button', { type: 'button', onclick: () => {
  shownRows += PAGE;
  listed.fill();
} }, 'Show more examples');

function makeList() {
  const columns = columnsOfList();
  listed = sortable(columns, 'Examples, and the scores of the strongest features', (order) => {
    const isShown = matcher(valueOf, textOf);
    const rows = data.names.map((_, i) => i).filter(isShown);
    if (order) rows.sort(order);
    rowsOf.clear();
    tellCount(rows.length);
    more.hidden = rows.length <= shownRows;
    return rows.slice(0, shownRows).map((i) => rowOf(i, columns));
  });
  const name = data.methods.length > 1 ? ` by ${data.methods[0].name}` : '';
  list.replaceChildren(el('div', { class: 'master' },
    el('div', {},
      el('p', { class: 'hint' }, `f(x) and the scores of the strongest features${name}. Columns sort.`),
      el('div', { class: 'scroll list', role: 'region', 'aria-label': 'Examples' },
        listed.table), more), detail), spoken);
  showDetail();
}

// --- one example ---

function ordered(scores) {
  const order = features.map((_, k) => k)
    .sort((a, b) => Math.abs(scores[b]) - Math.abs(scores[a]));
  return detail.isLong || order.length <= FEW_BARS + 1 ? [order, []]
    : [order.slice(0, FEW_BARS), order.slice(FEW_BARS)];
}

function bodyRow(name, value, track, score, kind) {
  return el('tr', { class: kind }, el('th', { scope: 'row', class: 'name', title: name }, name),
    el('td', { class: 'number' }, value), el('td', { class: 'wide' }, track),
    el('td', { class: 'number' }, score));
}

// Bars that stand on each other, from the base value at the bottom up to f(x).
function waterfall(i, layer) {
  const scores = values[layer.m][layer.c][i];
  const base = layer.method.base ? layer.method.base[layer.c][i] : 0;
  const end = scoreOf(i, layer);
  const [shown, others] = ordered(scores);
  const bars = shown.map((k) => ({ name: features[k], k, size: scores[k] }));
  if (others.length) {
    bars.push({ name: `${others.length} other features`, k: null,
      size: others.reduce((sum, k) => sum + scores[k], 0) });
  }
  const rest = end - base - scores.reduce((sum, score) => sum + score, 0);
  // What rounding leaves is no part of the sum.
  if (Math.abs(rest) > 1e-3 * scores.reduce((sum, score) => sum + Math.abs(score), 0)) {
    bars.push({ name: 'not attributed', k: null, size: rest, isRest: true });
  }
  let at = base, low = Math.min(base, end), high = Math.max(base, end);
  for (const bar of [...bars].reverse()) {
    bar.start = at;
    at += bar.size;
    low = Math.min(low, at);
    high = Math.max(high, at);
  }
  const share = (score) => (100 * (score - low)) / (high - low || 1);
  const rows = bars.map(({ name, k, size, start, isRest }) => {
    const side = isRest ? 'rest' : size < 0 ? 'against' : 'for';
    const track = el('div', { class: 'track', 'aria-hidden': 'true' },
      el('div', { class: 'link', '--left': `${share(start + size)}%` }),
      el('div', {
        class: `fill ${side}`,
        '--left': `${share(Math.min(start, start + size))}%`,
        '--width': `${share(low + Math.abs(size))}%`,
      }));
    const value = k === null || !cells ? '' : plainNumber(cells[i][k]);
    return bodyRow(name, value, track, number(size, true), side);
  });
  const mark = (score, isBase) => el('div', { class: 'track', 'aria-hidden': 'true' },
    isBase ? el('div', { class: 'link', '--left': `${share(score)}%` }) : null,
    el('div', { class: 'mark', '--left': `${share(score)}%` }));
  return [
    bodyRow('f(x)', '', mark(end, false), number(end), 'total'), ...rows,
    bodyRow(layer.method.base ? 'base value' : 'start', '', mark(base, true), number(base), 'total'),
  ];
}

function bars(i, layer) {
  const scores = values[layer.m][layer.c][i];
  const error = errors[layer.m] ? errors[layer.m][layer.c][i] : null;
  const [shown, others] = ordered(scores);
  const limit = Math.max(...shown.map((k) => Math.abs(scores[k]) + (error ? error[k] : 0))) || 1;
  const rows = shown.map((k) => bodyRow(features[k], cells ? plainNumber(cells[i][k]) : '',
    zeroBar(scores[k], limit, layer.signed, error && error[k]),
    number(scores[k], layer.signed) + (error ? ` ± ${number(error[k])}` : ''),
    !layer.signed ? null : scores[k] < 0 ? 'against' : 'for'));
  if (others.length) rows.push(bodyRow(`${others.length} weaker features`, '', '', '', 'total'));
  return rows;
}

function panelOf(i, layer) {
  const isSum = layer.method.adds;
  const title = isSum ? 'How the features lead to f(x)' : layer.method.f && !layer.signed
    ? 'Sizes of the scores' : 'Scores of the features';
  const rows = isSum ? waterfall(i, layer) : bars(i, layer);
  return el('div', { class: 'panel' },
    layers().length > 1 ? el('h4', {}, layer.title) : null,
    el('table', { class: errors[layer.m] && !isSum ? 'bars spread' : 'bars' },
      el('caption', { class: 'hidden' }, `${title}: ${data.names[i]}, ${layer.title}`),
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Feature'),
        el('th', { scope: 'col', class: 'number' }, cells ? 'Value' : ''),
        el('th', { scope: 'col' }, isSum ? `From the ${layer.method.base ? 'base value' : 'start'} to f(x)` : ''),
        el('th', { scope: 'col', class: 'number' }, 'Score'))),
      el('tbody', {}, ...rows)),
    layer.signed ? el('p', { class: 'sides' },
      el('span', { class: 'against' }, `■ ${data.keys.signed[0]}`),
      el('span', { class: 'for' }, `■ ${data.keys.signed[1]}`)) : null);
}

function showDetail() {
  const i = picked;
  const isLong = features.length > FEW_BARS + 1;
  detail.replaceChildren(
    el('h3', {}, data.names[i]),
    el('p', { class: 'about' }, aboutExample(i)),
    ...layers().map((layer) => panelOf(i, layer)),
    isLong ? el('button', { type: 'button', onclick: () => {
      detail.isLong = !detail.isLong;
      showDetail();
    } }, detail.isLong ? 'Show fewer features' : `Show all ${features.length} features`) : '');
}

function showAll() {
  if (data.names.length > 1) {
    showSwarms();
    makeList();
  } else {
    list.replaceChildren(detail);
    showDetail();
  }
}

chooseClass(showAll, false);
if (data.names.length > 1) {
  showSummary();
  addSummaryChoices();
  const condition = cells ? `${features[strongest(0)[0]]} > 1` : null;
  addFilter(hintOf('words', condition), () => {
    shownRows = PAGE;
    listed.fill();
  });
}
showAll();
