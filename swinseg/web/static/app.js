// The page: takes images, has them segmented, and shows what was found.

import { getFile, getModel, polygons, setToken } from './api.js';
import { ClassTable } from './classes.js';
import { Job, Jobs } from './jobs.js';
import { blankPhoto, readPhoto } from './photo.js';
import { readPng } from './png.js';
import { Stage } from './stage.js';
import { percent, stem } from './text.js';

const get = (id) => document.getElementById(id);
const stage = new Stage(get('stage'));
const classes = new ClassTable(get('classes'), (hidden) => stage.hide(hidden));
const jobs = new Jobs({ onChange: update, onTokenWanted: () => askForToken() });
const buttons = new Map();
let selected = null;

loadModel();
bindInputs();
bindView();
bindDownloads();

async function loadModel() {
  try {
    const model = await getModel();
    get('checkpoint').textContent = model.checkpoint;
    get('known').textContent = `${model.classes.length} classes: ${model.classes.map(({ name }) => name).join(', ')}`;
    jobs.largestFile = model.limits.bytes;
  } catch (error) {
    if (error.status === 401) askForToken();
    else complain(error.message);
  }
}

function bindInputs() {
  get('files').addEventListener('change', (event) => {
    take([...event.target.files]);
    event.target.value = '';
  });
  document.addEventListener('paste', (event) => {
    const files = [...event.clipboardData.files];
    if (files.length > 0) take(files);
    else if (!event.target.closest?.('input')) complain('The clipboard has no image; copy one and paste again.');
  });
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
    const files = [...event.dataTransfer.files];
    if (files.length > 0) take(files);
    else complain('That is no file; save the image first, then drop it here.');
  });
  for (const example of document.querySelectorAll('#examples button')) {
    example.addEventListener('click', () => takeExample(example.querySelector('img')));
  }
  get('clear').addEventListener('click', clear);
  get('token-form').addEventListener('submit', (event) => {
    event.preventDefault();
    setToken(get('token').value.trim());
    get('token-form').hidden = true;
    loadModel();
    jobs.resume();
  });
}

function bindView() {
  get('opacity').addEventListener('input', setOpacity);
  get('zoom').addEventListener('change', (event) => stage.setZoom(Number(event.target.value)));
  get('show-all').addEventListener('click', () => classes.setAll(true));
  get('hide-all').addEventListener('click', () => classes.setAll(false));
  // A browser may bring the values of the last visit back.
  setOpacity();
  stage.setZoom(Number(get('zoom').value));
}

function bindDownloads() {
  onDownload('save-labels', '_labels.png', async (job) => png(job.result.labels));
  onDownload('save-confidence', '_confidence.png', async (job) => png(job.result.confidence));
  onDownload('save-overlay', '_overlay.png', () => stage.picture());
  onDownload('save-polygons', '_polygons.geojson', (job) => polygons(job.file));
}

function onDownload(id, suffix, makeBlob) {
  const button = get(id);
  button.addEventListener('click', async () => {
    const job = selected;
    button.setAttribute('aria-busy', 'true');
    try {
      save(await makeBlob(job), stem(job.name) + suffix);
    } catch (error) {
      complain(`${job.name}: ${error.message}`);
    } finally {
      button.removeAttribute('aria-busy');
    }
  });
}

function setOpacity() {
  const value = Number(get('opacity').value);
  get('opacity-value').textContent = `${value}%`;
  stage.setOpacity(value / 100);
}

function askForToken() {
  get('token-form').hidden = false;
  get('token').focus();
}

async function takeExample(image) {
  try {
    const file = await getFile(image.src);
    take([new File([file], image.src.split('/').pop(), { type: file.type })]);
  } catch (error) {
    complain(error.message);
  }
}

function take(files) {
  const added = files.map((file) => new Job(file, file.name || 'pasted image'));
  for (const job of added) addButton(job);
  select(added[0]);
  for (const job of added) jobs.add(job);
}

function clear() {
  jobs.clear(buttons.keys());
  buttons.clear();
  get('strip').replaceChildren();
  selected = null;
  complain('');
  get('images').hidden = true;
  get('view').hidden = true;
  get('files').focus();
}

function addButton(job) {
  const button = document.createElement('button');
  button.type = 'button';
  const [picture, name, state] = ['thumb', 'name', 'state'].map((kind) => {
    const part = document.createElement('span');
    part.className = kind;
    return part;
  });
  name.textContent = job.name;
  button.append(picture, name, state);
  button.addEventListener('click', () => select(job));
  const item = document.createElement('li');
  item.append(button);
  get('strip').append(item);
  get('images').hidden = false;
  buttons.set(job, button);
  describe(job);
}

function describe(job) {
  const button = buttons.get(job);
  button.dataset.state = job.state;
  button.querySelector('.state').textContent = job.busy ? 'server is busy' : job.state;
  if (job.thumbnail) button.querySelector('.thumb').replaceChildren(job.thumbnail);
}

function update(job) {
  describe(job);
  if (job.state === 'failed') complain(problemOf(job));
  if (job === selected && (job.result || job.state === 'failed')) showResult(job);
}

async function select(job) {
  selected = job;
  complain(problemOf(job));
  for (const [other, button] of buttons) {
    if (other === job) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
  }
  buttons.get(job).scrollIntoView({ block: 'nearest', inline: 'nearest' });
  get('view').hidden = false;
  get('title').textContent = job.name;
  showNothingYet();
  const photo = await readPhoto(job.file);
  if (job !== selected) return;
  get('stage').hidden = !photo;
  if (photo) stage.showPhoto(photo);
  await showResult(job);
}

function showNothingYet() {
  get('stage').hidden = true;
  get('found').hidden = true;
  get('facts').textContent = 'Segmenting …';
}

async function showResult(job) {
  const { result, state } = job;
  if (!result) {
    if (state === 'failed') get('facts').textContent = 'This file was not segmented.';
    return;
  }
  const [labels, confidence] = await Promise.all([readPng(result.labels), readPng(result.confidence)]);
  if (job !== selected || job.result !== result) return;
  if (get('stage').hidden) {
    // A format that the server reads and the browser does not: the mask is shown alone.
    stage.showPhoto(blankPhoto(result.width, result.height));
    get('stage').hidden = false;
  }
  stage.hide(classes.hidden);
  stage.showLabels(labels, confidence, result.classes);
  classes.show(result.classes, result.width * result.height);
  get('found').hidden = false;
  for (const button of document.querySelectorAll('#downloads button')) button.disabled = state !== 'done';
  get('facts').textContent = summary(job);
}

function summary({ result, state }) {
  const { width, height, seconds } = result;
  const [first] = result.classes;
  const count = result.classes.length === 1 ? '1 class' : `${result.classes.length} classes`;
  const found = `${count}, most of it ${first.name} (${percent(first.area)})`;
  if (state === 'preview') return `Preview of ${width} × ${height} pixels: ${found}. Segmenting the whole image …`;
  if (state === 'failed') return `Preview of ${width} × ${height} pixels only: ${found}.`;
  return `${width} × ${height} pixels: ${found}. Took ${seconds.toFixed(2)} s.`;
}

function problemOf({ name, problem }) {
  return problem && `${name}: ${problem}`;
}

function complain(sentence) {
  get('problem').textContent = sentence;
  get('problem').hidden = sentence === '';
}

function png(bytes) {
  return new Blob([bytes], { type: 'image/png' });
}

function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
