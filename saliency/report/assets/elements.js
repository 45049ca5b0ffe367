// Texts and molecules: scores of tokens, and of atoms in structures and SMILES.

const isText = data.kind === 'text';
const { values, errors, limits } = content;

function nameOf(i, k) {
  return isText ? content.tokens[i][k] : `${content.symbols[i][k]} (atom ${k})`;
}

function scoresOf(i, layer) {
  return values[layer.m][layer.c][i];
}

function limitOf(i, layer) {
  if (chosen.scale === 'all') return limits[layer.m][layer.c];
  return Math.max(0, ...scoresOf(i, layer).map(Math.abs)) || 1;
}

function told(i, layer, k) {
  const error = errors[layer.m] ? errors[layer.m][layer.c][i][k] : null;
  const spread = error === null ? '' : ` ± ${number(error)}`;
  return `${number(scoresOf(i, layer)[k], layer.signed)}${spread}`;
}

// What belongs to an element in all figures of an example is marked at once.
function marker(i, shown) {
  const marked = new Map();
  const add = (k, node) => {
    if (!marked.has(k)) marked.set(k, []);
    marked.get(k).push(node);
  };
  let now = null;
  const mark = (k) => {
    for (const node of marked.get(now) || []) node.classList.remove('marked');
    now = k;
    for (const node of marked.get(k) || []) node.classList.add('marked');
    for (const { layer, reading } of shown) {
      reading.textContent = k === null ? '\u00a0' : `${nameOf(i, k)}: ${told(i, layer, k)}`;
    }
  };
  return { add, mark };
}

function watch(node, k, mark, text) {
  node.addEventListener('pointerenter', () => mark(k));
  node.addEventListener('pointermove', (e) => showTip(e.clientX, e.clientY, text()));
  node.addEventListener('pointerleave', () => {
    mark(null);
    hideTip();
  });
}

// A line of pieces, [text, element or null]: those of elements have their colours.
function lineOf(i, layer, pieces, separator, { add, mark }) {
  const line = el('div', {
    class: isText ? 'tokens' : 'smiles', role: 'listbox', 'aria-orientation': 'horizontal',
    'aria-label': `Scores of the ${isText ? 'tokens' : 'atoms'} by ${layer.title}`,
  });
  const options = [];
  pieces.forEach(([text, k], place) => {
    if (place && separator) line.append(separator);
    if (k === null) {
      line.append(text);
      return;
    }
    const node = el('span', {
      role: 'option', class: 'token', 'aria-selected': 'false',
      'aria-label': `${nameOf(i, k)}: ${told(i, layer, k)}`,
    }, text);
    const paint = () => {
      const { color, ink } = shade(scoresOf(i, layer)[k], limitOf(i, layer), layer.signed);
      node.style.backgroundColor = color;
      node.style.color = ink;
    };
    paint();
    onTheme(node, paint);
    watch(node, k, mark, () => `${nameOf(i, k)}: ${told(i, layer, k)}`);
    node.addEventListener('blur', () => {
      mark(null);
      node.setAttribute('aria-selected', 'false');
    });
    add(k, node);
    options.push([k, node]);
    line.append(node);
  });
  roving(options.map(([, node]) => node), (place) => {
    const [k, node] = options[place];
    mark(k);
    node.setAttribute('aria-selected', 'true');
  });
  return line;
}

// The bond of two atoms has the colour of the weaker, or that of 0 between both signs.
function ofBond(one, other) {
  if (one * other < 0) return 0;
  return Math.abs(one) < Math.abs(other) ? one : other;
}

function structureOf(i, layer, { add, mark }) {
  const mol = content.molecules[i];
  const scores = scoresOf(i, layer);
  const [x, y, width, height] = mol.box;
  const grounds = shape('g'), lines = shape('g'), marks = shape('g');
  const svg = shape('svg', {
    viewBox: `${x} ${y} ${width} ${height}`, class: 'structure', role: 'img',
    '--width': `${width}px`, 'aria-label': `Structure of ${data.names[i]}, coloured by `
      + `${layer.title}; the scores are in the SMILES below`,
  }, grounds, lines, marks);
  for (const [thick, dashes, d] of mol.paths) {
    lines.append(shape('path', {
      d, class: thick ? 'stroke' : 'area', 'stroke-width': thick || null,
      'stroke-dasharray': dashes || null,
    }));
  }
  const radius = 0.42 * mol.bond;
  for (const [k, left, top] of mol.atoms) {
    const place = { cx: left, cy: top };
    const halo = shape('circle', { ...place, r: radius + 2, class: 'halo' });
    const target = shape('circle', { ...place, r: radius + 3, class: 'target' });
    watch(target, k, mark, () => `${nameOf(i, k)}: ${told(i, layer, k)}`);
    add(k, halo);
    marks.append(halo, target);
  }
  const paint = () => {
    const color = (score) => shade(score, limitOf(i, layer), layer.signed).color;
    const bonds = mol.bonds.map(([a, b]) => {
      const [k, x1, y1] = mol.atoms[a], [l, x2, y2] = mol.atoms[b];
      const score = ofBond(scores[k], scores[l]);
      return [Math.abs(score), shape('line', {
        x1, y1, x2, y2, stroke: color(score), 'stroke-width': 0.5 * mol.bond,
      })];
    });
    const atoms = mol.atoms.map(([k, cx, cy]) => [Math.abs(scores[k]),
      shape('circle', { cx, cy, r: radius, fill: color(scores[k]) })]);
    const byStrength = (a, b) => a[0] - b[0];
    grounds.replaceChildren(...bonds.sort(byStrength).map(([, node]) => node),
      ...atoms.sort(byStrength).map(([, node]) => node));
  };
  paint();
  onTheme(svg, paint);
  const more = mol.more ? el('p', { class: 'hint' }, `and ${mol.more} more atoms`) : null;
  return el('div', {}, svg, more);
}

function buildExample(i, body) {
  const shown = layers().map((layer) => ({
    layer, reading: el('span', { class: 'reading' }, '\u00a0'),
  }));
  const marks = marker(i, shown);
  const hasTitles = shown.length > 1;
  const pieces = isText ? content.tokens[i].map((token, k) => [token, k])
    : content.molecules[i].smiles;
  const figures = shown.map(({ layer, reading }) => el('figure', {},
    el('figcaption', { class: 'line' },
      hasTitles ? el('span', { class: 'title' }, layer.title) : null, reading),
    isText ? null : structureOf(i, layer, marks),
    lineOf(i, layer, pieces, isText ? ' ' : '', marks),
    chosen.scale === 'each' ? colorKey(layer.signed, limitOf(i, layer)) : null));
  body.append(el('div', { class: isText ? 'passages' : 'figures' }, ...figures));
}

function showExamples() {
  showKeys();
  showCards(buildExample, commonValue, (i) => `${commonText(i)} ${(isText
    ? content.tokens[i].join(' ')
    : content.molecules[i].smiles.map(([text]) => text).join('')).toLowerCase()}`);
}

// The keys of colours that all examples share.
const keys = el('div', { class: 'keys' });
function showKeys() {
  keys.replaceChildren(...(chosen.scale === 'each' ? [] : layers().map((layer) => el('div', {},
    layers().length > 1 ? el('span', { class: 'title' }, layer.title) : null,
    colorKey(layer.signed, limits[layer.m][layer.c])))));
}

// --- the summary: what all elements of one name have in common ---

const FEW = 12;
function showOccurrences() {
  const shown = layers();
  const tables = shown.map((layer) => {
    const { rows, more } = content.summary[layer.m][layer.c];
    const at = layer.signed ? 2 : 3;
    const limit = Math.max(...rows.map((row) => Math.abs(row[at]))) || 1;
    let isShort = rows.length > FEW + 3;
    const columns = [
      { title: isText ? 'Token' : 'Element', value: (row) => row[0] },
      { title: 'Count', isNumber: true, value: (row) => row[1] },
      { title: layer.signed ? 'Mean score' : 'Mean', isNumber: true, value: (row) => row[at] },
      { title: '' },
    ];
    const caption = `Mean scores by ${layer.title}`;
    const { table, fill } = sortable(columns, caption, (order) => {
      const sorted = order ? [...rows].sort(order) : rows;
      return sorted.slice(0, isShort ? FEW : rows.length).map((row) => el('tr', {},
        el('th', { scope: 'row' }, row[0]),
        el('td', { class: 'number' }, row[1].toLocaleString('en')),
        el('td', { class: 'number' }, number(row[at], layer.signed)),
        el('td', { class: 'wide' }, zeroBar(row[at], limit, layer.signed))));
    });
    const all = isShort ? el('button', { type: 'button', onclick: () => {
      isShort = !isShort;
      all.textContent = isShort ? `Show all ${rows.length}` : 'Show fewer';
      fill();
    } }, `Show all ${rows.length}`) : null;
    return el('div', { class: 'panel' }, shown.length > 1 ? el('h3', {}, layer.title) : null,
      table, all, more ? el('p', { class: 'hint' }, `and ${more.toLocaleString('en')} more`) : null);
  });
  summary.replaceChildren(
    el('p', { class: 'hint' }, isText
      ? 'Tokens by their mean influence over all examples; rare ones come last. Columns sort.'
      : 'Atoms of each element, over all examples. Columns sort.'),
    el('div', { class: 'panels' }, ...tables));
}

function showAll() {
  showOccurrences();
  showExamples();
}

chooseClass(showAll, data.classes.length * data.methods.length <= 6);
if (data.names.length > 1) {
  showSummary();
  addFilter(hintOf(isText ? 'words' : 'name, SMILES'), showExamples);
  addOrder(showExamples);
  addScale(showExamples);
}
list.before(keys);
showOccurrences();
showExamples();
