// The page: an exported model and a photograph in, the classes over it out. All of it is computed here.

const get = (id) => document.getElementById(id);

/** Longest side in pixels of what is drawn; browsers refuse much larger canvases. */
const LONGEST_SIDE = 4096;
/** Most scores, one of each class for each pixel, that a graph computes at the size of what it is given: 512 MiB. */
const MOST_SCORES = 2 ** 27;
/** Most pixels for a model whose description says no size; the rest of a network needs far more memory than scores. */
const MOST_PIXELS = 2 ** 20;

const NO_RUNTIME = 'ONNX Runtime Web is not in the folder ort/ beside this page; "make browser" fetches it';

let ort = null;
let model = null; // {name, session, metadata}
let photo = null; // {name, bitmap}
let result = null; // {labels, width, height}
let last = Promise.resolve(); // One computation at a time.
let opened = 0; // Models so far: the one chosen last counts, not the one that is read last.

get('model-state').textContent = 'None yet.';
bind();
const ready = prepareRuntime();
const asked = new URLSearchParams(location.search).get('model');
if (asked) openModel(asked.split('/').pop(), () => fetchModel(asked));

async function prepareRuntime() {
  try {
    ort = await import('./ort/ort.wasm.min.mjs');
  } catch {
    complain(NO_RUNTIME);
    return;
  }
  // Threads share memory, which a browser allows to pages that their server isolates by two headers.
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
  // In a worker, so that the page can be used meanwhile.
  ort.env.wasm.proxy = true;
  ort.env.wasm.wasmPaths = new URL('ort/', document.baseURI).href;
}

// --- What the page is given ---

function bind() {
  get('model').addEventListener('change', ({ target }) => {
    const [file] = target.files;
    if (file) openModel(file.name, async () => new Uint8Array(await file.arrayBuffer()));
    target.value = '';
  });
  get('photo').addEventListener('change', ({ target }) => {
    take([...target.files]);
    target.value = '';
  });
  document.addEventListener('paste', (event) => take([...event.clipboardData.files]));
  // Without both, a file dropped beside the box would replace the page.
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    get('drop').classList.add('over');
  });
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) get('drop').classList.remove('over');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    get('drop').classList.remove('over');
    take([...event.dataTransfer.files]);
  });
  get('opacity').addEventListener('input', setOpacity);
  get('save').addEventListener('click', saveMask);
  setOpacity();
}

function take([file]) {
  if (!file) return;
  if (file.name.endsWith('.onnx')) openModel(file.name, async () => new Uint8Array(await file.arrayBuffer()));
  else openPhoto(file);
}

async function fetchModel(address) {
  const url = new URL(address, document.baseURI);
  if (url.origin !== location.origin) throw new Error("?model= takes a file of this page's own server only");
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`the server has no such file (${answer.status})`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function openModel(name, read) {
  const turn = (opened += 1);
  complain('');
  get('model-state').textContent = `Reading ${name} …`;
  try {
    const bytes = await read();
    const metadata = readMetadata(bytes);
    await ready;
    if (!ort) throw new Error(NO_RUNTIME);
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
    if (turn !== opened) {
      session.release();
      return;
    }
    model?.session.release();
    model = { name, session, metadata };
    get('model-state').textContent = `${name}: ${metadata.classes.length} classes`;
    compute();
  } catch (error) {
    if (turn !== opened) return;
    get('model-state').textContent = model ? `${model.name} still.` : 'None yet.';
    complain(`${name}: ${error.message}`);
  }
}

async function openPhoto(file) {
  complain('');
  try {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none' });
    photo?.bitmap.close();
    photo = { name: file.name || 'pasted.png', bitmap };
  } catch {
    complain(`${file.name}: this browser cannot show it; give a JPEG or PNG`);
    return;
  }
  showPhoto();
  compute();
}

// --- The model's own description, in the metadata_props of the ONNX file ---

/** Return what swinseg wrote into an ONNX file; throws an Error for a file that this page cannot run. */
function readMetadata(bytes) {
  const entries = Object.fromEntries(properties(bytes));
  if (!entries.swinseg_version) throw new Error('no ONNX file of swinseg export');
  if (entries.input !== 'image') {
    throw new Error('it takes normalized tensors; export it with --input image (and --resize)');
  }
  if (entries.output === 'probabilities') {
    throw new Error('it gives probabilities; export it with --output labels');
  }
  return {
    classes: JSON.parse(entries.classes),
    palette: JSON.parse(entries.palette),
    size: entries.size ? JSON.parse(entries.size) : null,
    resizes: entries.resize === 'inside',
    scale: entries.protocol ? JSON.parse(entries.protocol).resize : null,
  };
}

// Of a ModelProto: field 14 is metadata_props, each with a key (1) and a value (2). Weights are jumped over.
function* properties(bytes) {
  for (const [field, content] of fields(bytes)) {
    if (field === 14) {
      const { 1: key, 2: value } = Object.fromEntries(fields(content));
      yield [key, value ?? new Uint8Array()].map((text) => new TextDecoder().decode(text));
    }
  }
}

// The fields of a protobuf message that have a length: [number, bytes].
function* fields(bytes) {
  let place = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; place < bytes.length; factor *= 128) {
      const byte = bytes[place++];
      value += (byte & 127) * factor;
      if (byte < 128) break;
    }
    return value;
  };
  while (place < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    const length = kind === 2 ? varint() : { 1: 8, 5: 4 }[kind] ?? 0;
    if (kind === 0) varint();
    else if (![1, 2, 5].includes(kind) || place + length > bytes.length) throw new Error('no ONNX file, or part of one');
    if (kind === 2) yield [Math.floor(tag / 8), bytes.subarray(place, place + length)];
    place += length;
  }
}

// --- Computing ---

function compute() {
  if (!model || !photo) {
    get('facts').textContent = photo ? 'Choose a model, too.' : model ? 'Choose a photograph, too.' : '';
    return last;
  }
  const wanted = { model, photo };
  const isCurrent = () => wanted.model === model && wanted.photo === photo;
  result = null;
  get('found').hidden = true;
  get('facts').textContent = 'Computing …';
  last = last.then(async () => {
    if (!isCurrent()) return;
    try {
      const found = await segment(wanted.model, wanted.photo.bitmap);
      if (isCurrent()) show(found);
    } catch (error) {
      if (!isCurrent()) return;
      get('facts').textContent = '';
      complain(`${wanted.photo.name}: ${error.message ?? error}`);
    }
  });
  return last;
}

/** Return {labels, width, height, seconds}: the class of each pixel of what the model was given. */
async function segment({ session, metadata }, bitmap) {
  const [width, height] = inputSize(metadata, bitmap.width, bitmap.height);
  const pixels = rgb(bitmap, width, height);
  const image = new ort.Tensor('uint8', pixels, [1, height, width, 3]);
  const start = performance.now();
  const { labels } = await session.run({ [session.inputNames[0]]: image });
  const seconds = (performance.now() - start) / 1000;
  // Of more than 256 classes they are 64-bit integers.
  const values = labels.type === 'uint8' ? labels.data : Uint16Array.from(labels.data, Number);
  return { labels: values, width, height, seconds };
}

/**
 * Return the width and height that a model is given. One that resizes images itself gets them as they are, up to what
 * fits into memory, and its labels are the same as on any other machine; for others the browser resizes them, by
 * another interpolation than the test pipeline's.
 */
export function inputSize({ classes, size, resizes, scale }, width, height) {
  if (size) return [size[1], size[0]];
  if (scale && !scale.keep_ratio) return scale.scale;
  let factor;
  if (scale) {
    const [long, short] = [Math.max(...scale.scale), Math.min(...scale.scale)];
    factor = Math.min(long / Math.max(width, height), short / Math.min(width, height));
  } else {
    const most = Math.min(MOST_SCORES / classes.length, resizes ? Infinity : MOST_PIXELS);
    factor = Math.min(1, Math.sqrt(most / (width * height)));
  }
  return [width, height].map((side) => Math.max(1, Math.floor(side * factor + 0.5)));
}

function rgb(bitmap, width, height) {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    pixels[to] = data[from];
    pixels[to + 1] = data[from + 1];
    pixels[to + 2] = data[from + 2];
  }
  return pixels;
}

// --- Showing ---

function showPhoto() {
  const { bitmap } = photo;
  const factor = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = get('picture');
  canvas.width = Math.max(1, Math.round(bitmap.width * factor));
  canvas.height = Math.max(1, Math.round(bitmap.height * factor));
  canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  get('mask').width = get('mask').height = 1;
  get('frame').style.setProperty('--ratio', bitmap.width / bitmap.height);
  get('frame').setAttribute('aria-label', photo.name);
  get('view').hidden = false;
}

function show(found) {
  result = { ...found, ...model.metadata, name: photo.name };
  paintMask(result);
  const classes = areas(result);
  get('classes').replaceChildren(...classes.map(row));
  get('frame').setAttribute('aria-label', `${photo.name} with its classes over it`);
  get('found').hidden = false;
  const threads = ort.env.wasm.numThreads;
  const how = `${found.seconds.toFixed(2)} s on ${threads} thread${threads === 1 ? '' : 's'}`;
  const { width, height } = photo.bitmap;
  const isWhole = width === found.width && height === found.height;
  const size = `${found.width} × ${found.height} pixels${isWhole ? '' : ` of ${width} × ${height}`}`;
  get('facts').textContent = `${size}: most of it ${classes[0].name} (${percent(classes[0].area)}). Took ${how}.`;
}

function paintMask({ labels, width, height, palette }) {
  const canvas = get('mask');
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  for (let i = 0; i < labels.length; i += 1) {
    const [red, green, blue] = palette[labels[i]];
    image.data.set([red, green, blue, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

function areas({ labels, classes, palette }) {
  const counts = new Uint32Array(classes.length);
  for (const label of labels) counts[label] += 1;
  return classes
    .map((name, id) => ({ name, color: palette[id], area: counts[id] / labels.length }))
    .filter(({ area }) => area > 0)
    .sort((a, b) => b.area - a.area);
}

function row({ name, color, area }) {
  const swatch = Object.assign(document.createElement('span'), { className: 'swatch' });
  swatch.style.background = `rgb(${color})`;
  const head = Object.assign(document.createElement('th'), { scope: 'row' });
  head.append(swatch, name);
  const made = document.createElement('tr');
  made.append(head, Object.assign(document.createElement('td'), { textContent: percent(area) }));
  return made;
}

function percent(share) {
  return share < 0.001 ? '<0.1%' : `${(100 * share).toFixed(1)}%`;
}

function setOpacity() {
  const { value } = get('opacity');
  get('opacity-value').textContent = `${value}%`;
  get('mask').style.opacity = value / 100;
}

function complain(sentence) {
  get('problem').textContent = sentence;
  get('problem').hidden = sentence === '';
}

// --- The mask as a file: class indices, with the palette inside where there are at most 256 ---

async function saveMask() {
  const blob = await indexedPng(result);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${result.name.replace(/\.[^.]*$/, '')}_labels.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function indexedPng({ labels, width, height, palette }) {
  const bytes = labels.BYTES_PER_ELEMENT;
  const rows = new Uint8Array((bytes * width + 1) * height); // Each begins with its filter, none.
  for (let y = 0, to = 0; y < height; y += 1) {
    to += 1;
    for (const label of labels.subarray(y * width, (y + 1) * width)) {
      if (bytes === 2) rows[to++] = label >> 8;
      rows[to++] = label & 255;
    }
  }
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate'));
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8 * bytes);
  header.setUint8(9, bytes === 1 ? 3 : 0);
  const colors = bytes === 1 ? [chunk('PLTE', Uint8Array.from(palette.flat()))] : [];
  return new Blob(
    [
      Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10),
      chunk('IHDR', new Uint8Array(header.buffer)),
      ...colors,
      chunk('IDAT', new Uint8Array(await new Response(packed).arrayBuffer())),
      chunk('IEND', new Uint8Array()),
    ],
    { type: 'image/png' },
  );
}

function chunk(kind, content) {
  const bytes = new Uint8Array(content.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(new TextEncoder().encode(kind), 4);
  bytes.set(content, 8);
  view.setUint32(content.length + 8, checksum(bytes.subarray(4, content.length + 8)));
  return bytes;
}

function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return ~value >>> 0;
}
