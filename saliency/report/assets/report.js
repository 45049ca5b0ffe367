'use strict';
// What pages of all kinds share: elements, numbers, colours, controls, and cards that are
// filled while they are near the screen. A script of the kind follows, which calls these.

const data = JSON.parse(document.getElementById('data').textContent);
const content = data.content;
const SVG = 'http://www.w3.org/2000/svg';
// What the reader has chosen. Class -1 is all of them.
const chosen = { class: 0, scale: 'all', filter: '', order: 'given', classOf: '' };

// --- elements: texts are set as texts, never as HTML ---

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') node.addEventListener(name.slice(2), value);
    else if (name.startsWith('--')) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function el(tag, attributes = {}, ...children) {
  return put(document.createElement(tag), attributes, children);
}

function shape(tag, attributes = {}, ...children) {
  return put(document.createElementNS(SVG, tag), attributes, children);
}

let counted = 0;
function newId(name) {
  counted += 1;
  return `${name}-${counted}`;
}

// --- numbers ---

function number(value, isSigned = false) {
  if (value === null || value === undefined) return '–';
  const size = Math.abs(value);
  let text = size.toPrecision(3);
  if (size === 0) text = '0';
  else if (size >= 999.5 && size < 1e15) text = Math.round(size).toLocaleString('en');
  else if (size < 1e-3 || size >= 1e15) text = size.toExponential(2).replace('-', '−');
  return (value < 0 ? '−' : isSigned && value > 0 ? '+' : '') + text;
}

// Values of features, which are exact where they are short or whole.
function plainNumber(value) {
  if (value === null || value === undefined) return '–';
  const isLong = Math.abs(value) >= 1e4 && Math.abs(value) < 1e15;
  return String(isLong ? Math.round(value) : Number(value.toPrecision(4))).replace('-', '−');
}

// --- colours ---

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function ramp(name) {
  const written = data.ramps[isDark() ? 'dark' : 'light'][name];
  if (!written.list) written.list = written.colors.match(/.{6}/g).map((c) => `#${c}`);
  return written;
}

// The index of a score in a ramp; limit is that of its strongest colour.
function shadeIndex(score, limit, isSigned, n) {
  const share = Math.max(isSigned ? -1 : 0, Math.min(1, score / limit));
  return Math.round((n - 1) * (isSigned ? (share + 1) / 2 : share));
}

function shade(score, limit, isSigned) {
  const { list, is_black: isBlack } = ramp(isSigned ? 'signed' : 'unsigned');
  const i = shadeIndex(score, limit, isSigned, list.length);
  return { color: list[i], ink: isBlack[i] === '1' ? '#000' : '#fff' };
}

function gradient(name) {
  return `linear-gradient(to right, ${ramp(name).list.join(', ')})`;
}

// A bar of colours between words and numbers.
function colorKey(isSigned, limit) {
  const [low, high] = data.keys[isSigned ? 'signed' : 'unsigned'];
  const bar = el('span', { class: 'bar-of-colors', 'aria-hidden': 'true' });
  const paint = () => {
    bar.style.background = gradient(isSigned ? 'signed' : 'unsigned');
  };
  paint();
  onTheme(bar, paint);
  return el('div', { class: 'key' },
    el('span', {}, `${low} `, el('span', {}, isSigned ? number(-limit) : '0')), bar,
    el('span', {}, `${high} `, el('span', {}, number(limit, isSigned))));
}

// Calls a function again when the page becomes dark or light, as long as the node is there.
function onTheme(node, paint) {
  node.dataset.painted = 'true';
  node.paint = paint;
}

function repaint() {
  document.getElementById('theme').setAttribute('aria-pressed', String(isDark()));
  for (const node of document.querySelectorAll('[data-painted]')) node.paint();
}

document.getElementById('theme').addEventListener('click', () => {
  document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
  repaint();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);

// --- what is shown of each example: a method, and a class if all have several ---

function layers() {
  const n = data.classes.length;
  const classes = chosen.class < 0 ? data.classes.map((_, c) => c) : [chosen.class];
  const isOne = data.methods.length === 1;
  return data.methods.flatMap((method, m) => classes.map((c) => ({
    m, c, method, signed: method.signed,
    title: chosen.class < 0 && n ? (isOne ? '' : `${method.name}: `) + data.classes[c]
      : method.name,
  })));
}

function scoreOf(i, layer = layers()[0]) {
  return layer.method.f ? layer.method.f[layer.c][i] : null;
}

function classOf(i) {
  const names = data.methods[0].classOf;
  return names ? names[i] : null;
}

const explained = new Set(data.methods[0].classOf || []);
const manyClasses = explained.size > 1;

// What is said of an example in a line.
function aboutExample(i) {
  const parts = [];
  if (manyClasses) parts.push(classOf(i));
  const layer = layers()[0];
  if (chosen.class >= 0 && layer.method.f) parts.push(`f(x) = ${number(scoreOf(i))}`);
  if (chosen.class >= 0 && layer.method.base) {
    parts.push(`base value ${number(layer.method.base[layer.c][i])}`);
  }
  return parts.join(' · ');
}

// --- tips beside the pointer, and beside what has the focus ---

const tip = document.getElementById('tip');
function showTip(x, y, text) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(x + 14, document.documentElement.clientWidth - width - 8);
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${y - height - 12 < 8 ? y + 18 : y - height - 12}px`;
}

function hideTip() {
  tip.hidden = true;
}
addEventListener('scroll', hideTip, { passive: true });
addEventListener('keydown', (event) => { if (event.key === 'Escape') hideTip(); });

// --- controls ---

const choices = document.getElementById('choices');
const tools = document.querySelector('#examples .tools');
const count = document.querySelector('#examples .count');
const list = document.querySelector('#examples .content');
const summary = document.querySelector('#summary .content');

function labelled(text, control, ...more) {
  control.id = newId('control');
  return el('div', { class: 'control' }, el('label', { for: control.id }, text), control,
    ...more);
}

function select(options, value, onchange) {
  const node = el('select', { onchange: () => onchange(node.value) });
  for (const [key, text] of options) {
    node.append(el('option', { value: key, selected: key === String(value) }, text));
  }
  return node;
}

// The axis of classes: one of them, or all beside each other.
function chooseClass(onchange, hasAll) {
  if (data.classes.length === 0) return;
  const options = data.classes.map((name, c) => [String(c), name]);
  if (hasAll) options.push(['-1', 'all classes']);
  choices.hidden = false;
  choices.append(labelled('Explained class', select(options, 0, (value) => {
    chosen.class = Number(value);
    onchange();
  })));
}

// --- filters: words, or conditions such as "f(x) > 0.5", separated by commas ---

const CONDITION = /^(.*?)\s*(<=|>=|<|>|=)\s*([-−+]?\d*\.?\d+(?:e[-+]?\d+)?)$/i;
const COMPARED = {
  '<': (a, b) => a < b, '>': (a, b) => a > b, '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b, '=': isSame,
};

// Whether a number is the one that was written; five digits are enough behind the point.
function isSame(a, b) {
  return a === b || (!Number.isInteger(a) && Number(a.toPrecision(5)) === b);
}

// Returns the condition that a term is, or null if it has no name that is known.
function conditionOf(term, valueOf) {
  const found = term.match(CONDITION);
  return found && valueOf(found[1], 0) !== undefined ? found : null;
}

// Returns the terms of a filter. Commas in the name of a condition do not end a term.
function termsOf(valueOf) {
  const parts = chosen.filter.toLowerCase().split(',');
  const terms = [];
  for (let start = 0, end; start < parts.length; start = end) {
    const upTo = (k) => parts.slice(start, k).join(',').trim();
    end = parts.length;
    while (end > start + 1 && !conditionOf(upTo(end), valueOf)) end -= 1;
    terms.push(upTo(end));
  }
  return terms.filter(Boolean);
}

// Returns what tells whether an example is shown. `valueOf` returns the number that a
// name stands for in an example, or undefined; `textOf` the text that words are found in.
function matcher(valueOf, textOf) {
  const tests = termsOf(valueOf).map((term) => {
    const found = conditionOf(term, valueOf);
    if (!found) return (i) => textOf(i).includes(term);
    const limit = Number(found[3].replace('−', '-'));
    return (i) => {
      const value = valueOf(found[1], i);
      return value !== null && COMPARED[found[2]](value, limit);
    };
  });
  return (i) => (!chosen.classOf || classOf(i) === chosen.classOf)
    && tests.every((test) => test(i));
}

// What a filter understands: words, f(x) where it is known, and what else there is.
function hintOf(words, more) {
  const known = [words, data.methods[0].f ? 'f(x) > 0.5' : null, more].filter(Boolean);
  return known.length > 1 ? `${known.slice(0, -1).join(', ')}, or ${known.at(-1)}` : words;
}

function addFilter(hint, onchange) {
  let waiting = 0;
  const id = newId('hint');
  const field = el('input', {
    type: 'search', 'aria-describedby': id, autocomplete: 'off', spellcheck: 'false',
    oninput: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        chosen.filter = field.value;
        onchange();
      }, 120);
    },
  });
  tools.append(labelled('Filter', field, el('span', { class: 'hint', id }, hint)));
  if (manyClasses) {
    const options = [['', 'all'], ...[...explained].sort().map((name) => [name, name])];
    tools.append(labelled('Class', select(options, '', (value) => {
      chosen.classOf = value;
      onchange();
    })));
  }
}

function tellCount(n) {
  const all = data.names.length;
  count.textContent = n === all ? `${all.toLocaleString('en')} example${all > 1 ? 's' : ''}`
    : `${n.toLocaleString('en')} of ${all.toLocaleString('en')} examples`;
}

// --- cards: a heading for each example, and a body while it is near the screen ---

const bodies = new Map();
const nearby = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) fillCard(target);
    else emptyCard(target);
  }
}, { rootMargin: '1200px 0px' });

function fillCard(card) {
  const body = card.querySelector('.body');
  if (body.childElementCount === 0) bodies.get(card)?.(body);  // it may be gone meanwhile
}

function emptyCard(card) {
  const body = card.querySelector('.body');
  if (body.childElementCount === 0 || card.contains(document.activeElement)) return;
  body.style.setProperty('--height', `${body.offsetHeight}px`);
  body.replaceChildren();
}

function exampleCard(i, build) {
  const id = newId('example');
  const card = el('article', { class: 'card', 'aria-labelledby': id },
    el('h3', { id }, data.names[i]),
    el('p', { class: 'about' }, aboutExample(i)),
    el('div', { class: 'body' }));
  bodies.set(card, (body) => build(i, body));
  nearby.observe(card);
  return card;
}

// Shows the examples that are wanted, in the order that is wanted.
function showCards(build, valueOf, textOf) {
  const isShown = matcher(valueOf, textOf);
  const rows = data.names.map((_, i) => i).filter(isShown);
  const by = {
    high: (a, b) => scoreOf(b) - scoreOf(a),
    low: (a, b) => scoreOf(a) - scoreOf(b),
    name: (a, b) => data.names[a].localeCompare(data.names[b], 'en', { numeric: true }),
  };
  if (by[chosen.order]) rows.sort(by[chosen.order]);
  nearby.disconnect();
  bodies.clear();
  list.replaceChildren(...rows.map((i) => exampleCard(i, build)));
  tellCount(rows.length);
}

function addOrder(onchange) {
  const options = [['given', 'as given'], ['name', 'name']];
  if (data.methods[0].f) options.push(['high', 'f(x), highest first'], ['low', 'f(x), lowest first']);
  tools.append(labelled('Order', select(options, chosen.order, (value) => {
    chosen.order = value;
    onchange();
  })));
}

function addScale(onchange) {
  const options = [['all', 'all examples'], ['each', 'each example']];
  tools.append(labelled('Strongest colour is that of', select(options, chosen.scale,
    (value) => {
      chosen.scale = value;
      onchange();
    })));
}

// Numbers that conditions of filters know on every page.
function commonValue(name, i) {
  const layer = layers()[0];
  if (name === 'f(x)' && layer.method.f) return scoreOf(i);
  if (name === 'base value' && layer.method.base) return layer.method.base[layer.c][i];
  return undefined;
}

function commonText(i) {
  return `${data.names[i]} ${classOf(i) || ''}`.toLowerCase();
}

// A group of items of which one can have the focus; arrows move it.
function roving(nodes, onfocus) {
  nodes.forEach((node, k) => {
    node.tabIndex = k === 0 ? 0 : -1;
    node.addEventListener('focus', () => onfocus(k));
    node.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const to = { Home: 0, End: nodes.length - 1 }[event.key];
      const next = to !== undefined ? to : step !== undefined ? k + step : null;
      if (next === null) return;
      event.preventDefault();
      if (next < 0 || next >= nodes.length) return;
      node.tabIndex = -1;
      nodes[next].tabIndex = 0;
      nodes[next].focus();
    });
  });
}

function showSummary() {
  document.getElementById('summary').hidden = false;
}

// A table whose columns sort it. Columns: {title, isNumber, value(row), cell(row)}.
function sortable(columns, caption, tbodyOf) {
  let by = -1, isDown = true;
  const body = el('tbody');
  const heads = columns.map((column, k) => {
    const head = el('th', { scope: 'col', class: column.isNumber ? 'number' : null });
    if (!column.value) {
      head.append(column.title);
      return head;
    }
    head.append(el('button', { type: 'button', class: 'sort', onclick: () => sort(k) },
      column.title));
    return head;
  });
  function sort(k) {
    isDown = by === k ? !isDown : Boolean(columns[k].isNumber);
    by = k;
    heads.forEach((head, j) => {
      if (j === k) head.setAttribute('aria-sort', isDown ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    fill();
  }
  function fill() {
    const order = by < 0 ? null : (a, b) => {
      const [one, other] = [columns[by].value(a), columns[by].value(b)];
      if (one === null || other === null) return (one === null) - (other === null);
      const sign = isDown ? -1 : 1;
      if (columns[by].isNumber) return sign * (one - other);
      return sign * String(one).localeCompare(String(other), 'en', { numeric: true });
    };
    body.replaceChildren(...tbodyOf(order));
  }
  fill();
  const table = el('table', {}, el('caption', { class: 'hidden' }, caption),
    el('thead', {}, el('tr', {}, ...heads)), body);
  return { table, fill };
}

// A bar from 0 within a cell, from -limit to limit or from 0 to limit.
function zeroBar(value, limit, isSigned, error) {
  const zero = isSigned ? 50 : 0;
  const share = (100 - zero) * Math.min(1, Math.abs(value) / limit);
  const track = el('div', { class: 'track', 'aria-hidden': 'true' },
    isSigned ? el('div', { class: 'zero', '--left': `${zero}%` }) : null,
    el('div', {
      class: `fill ${isSigned ? (value < 0 ? 'against' : 'for') : 'neutral'}`,
      '--left': `${value < 0 ? zero - share : zero}%`, '--width': `${share}%`,
    }));
  if (error) {
    const half = (100 - zero) * (error / limit);
    const middle = zero + Math.sign(value) * share;
    track.append(el('div', {
      class: 'error', '--left': `${Math.max(0, middle - half)}%`,
      '--width': `${Math.min(100, middle + half) - Math.max(0, middle - half)}%`,
    }));
  }
  return track;
}

if (data.names.length === 1) document.getElementById('examples-title').textContent = 'The example';
addEventListener('beforeprint', () => [...bodies.keys()].forEach(fillCard));
repaint();

