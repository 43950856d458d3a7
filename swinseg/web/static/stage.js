// The photograph with the mask over it, and what lies under the pointer or the crosshair of the arrow keys.

import { percent } from './text.js';

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TIP_GAP = 14;

export class Stage {
  /** `root` holds .scroll > .frame > (canvas.photo, canvas.mask, .cross) and .tip. */
  constructor(root) {
    this.root = root;
    this.frame = root.querySelector('.frame');
    this.photo = root.querySelector('.photo');
    this.mask = root.querySelector('.mask');
    this.cross = root.querySelector('.cross');
    this.tip = root.querySelector('.tip');
    this.labels = null;
    this.hidden = new Set();
    this.place = null;
    for (const kind of ['pointermove', 'pointerdown']) {
      this.frame.addEventListener(kind, (event) => this.#point(event));
    }
    this.frame.addEventListener('pointerleave', (event) => {
      // A finger leaves as soon as it is lifted, and what it pointed at is to be read then.
      if (event.pointerType !== 'touch') this.#leave();
    });
    document.addEventListener('pointerdown', (event) => {
      if (!this.frame.contains(event.target)) this.#leave();
    });
    this.frame.addEventListener('blur', () => this.#leave());
    this.frame.addEventListener('keydown', (event) => this.#step(event));
  }

  /** Show a photograph of readPhoto, without a mask. */
  showPhoto({ canvas, width, height }) {
    for (const layer of [this.photo, this.mask]) {
      layer.width = canvas.width;
      layer.height = canvas.height;
    }
    this.photo.getContext('2d').drawImage(canvas, 0, 0);
    this.size = { width, height };
    this.labels = null;
    this.place = null;
    this.frame.style.aspectRatio = `${width} / ${height}`;
    this.frame.style.setProperty('--ratio', width / height);
    this.frame.style.setProperty('--pixels', `${width}px`);
    this.#leave();
  }

  /**
   * Lay a mask over the photograph. `labels` and `confidence` are of readPng and have one size, which may be smaller
   * than the photograph's; `classes` are [{id, name, color}].
   */
  showLabels(labels, confidence, classes) {
    this.labels = labels;
    this.confidence = confidence;
    this.classes = new Map(classes.map((entry) => [entry.id, entry]));
    this.#paint();
  }

  /** Paint all classes but those with these ids. */
  hide(ids) {
    this.hidden = ids;
    if (this.labels) this.#paint();
  }

  /** Set the weight of the mask, 0 to 1. */
  setOpacity(opacity) {
    this.mask.style.opacity = opacity;
  }

  /** Show so many screen pixels for one of the photograph, or the whole photograph for 0. */
  setZoom(zoom) {
    this.frame.classList.toggle('zoomed', zoom > 0);
    this.frame.style.setProperty('--zoom', zoom);
  }

  /** Return what is seen, photograph and mask, as a PNG Blob. */
  picture() {
    const canvas = document.createElement('canvas');
    canvas.width = this.photo.width;
    canvas.height = this.photo.height;
    const context = canvas.getContext('2d');
    context.drawImage(this.photo, 0, 0);
    context.globalAlpha = Number(this.mask.style.opacity);
    context.drawImage(this.mask, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  }

  #paint() {
    const { width, height } = this.mask;
    const { labels } = this;
    const colors = new Uint32Array(65536);
    const bytes = new Uint8Array(colors.buffer);
    for (const { id, color } of this.classes.values()) {
      if (this.hidden.has(id)) continue;
      const value = Number.parseInt(color.slice(1), 16);
      bytes.set([value >> 16, (value >> 8) & 255, value & 255, 255], 4 * id);
    }
    const context = this.mask.getContext('2d');
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const columns = Uint32Array.from({ length: width }, (_, x) => scaled(x, width, labels.width));
    for (let y = 0; y < height; y += 1) {
      const row = scaled(y, height, labels.height) * labels.width;
      for (let x = 0; x < width; x += 1) pixels[y * width + x] = colors[labels.values[row + columns[x]]];
    }
    context.putImageData(image, 0, 0);
  }

  #point(event) {
    const box = this.frame.getBoundingClientRect();
    this.#tell(
      { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height },
      'off',
    );
  }

  #step(event) {
    if (event.key === 'Escape') this.#leave();
    const direction = KEYS[event.key];
    if (!direction || !this.labels) return;
    event.preventDefault();
    const side = Math.max(this.size.width, this.size.height);
    const step = Math.max(1, Math.round(side * (event.shiftKey ? 0.1 : 0.01)));
    const { x, y } = this.place ?? { x: 0.5, y: 0.5 };
    this.#tell(
      { x: x + (direction[0] * step) / this.size.width, y: y + (direction[1] * step) / this.size.height },
      'polite',
    );
    this.cross.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  // Say what is at a place, given in shares of the sides. `live` keeps a moving mouse from being read aloud.
  #tell(place, live) {
    if (!this.labels) return;
    const inside = (share) => Math.min(Math.max(share, 0), 1 - 1e-9);
    this.place = { x: inside(place.x), y: inside(place.y) };
    const column = Math.floor(this.place.x * this.labels.width);
    const row = Math.floor(this.place.y * this.labels.height);
    const index = row * this.labels.width + column;
    const name = this.classes.get(this.labels.values[index])?.name ?? 'no class';
    const x = Math.floor(this.place.x * this.size.width);
    const y = Math.floor(this.place.y * this.size.height);
    this.tip.setAttribute('aria-live', live);
    this.tip.hidden = false;
    this.tip.textContent = `${name}, ${percent(this.confidence.values[index] / 255, 0)} sure (x ${x}, y ${y})`;
    this.cross.hidden = live === 'off';
    this.cross.style.left = `${100 * this.place.x}%`;
    this.cross.style.top = `${100 * this.place.y}%`;
    this.#placeTip();
  }

  #placeTip() {
    const outer = this.root.getBoundingClientRect();
    const box = this.frame.getBoundingClientRect();
    const left = box.left - outer.left + this.place.x * box.width + TIP_GAP;
    const top = box.top - outer.top + this.place.y * box.height + TIP_GAP;
    const mostLeft = outer.width - this.tip.offsetWidth - 2;
    const above = top - this.tip.offsetHeight - 2 * TIP_GAP;
    this.tip.style.left = `${Math.max(0, Math.min(left, mostLeft))}px`;
    this.tip.style.top = `${top + this.tip.offsetHeight > outer.height ? above : top}px`;
  }

  #leave() {
    this.tip.hidden = true;
    this.cross.hidden = true;
  }
}

// Which of `size` pixels lies under the middle of pixel `position` of `shown`.
function scaled(position, shown, size) {
  return Math.min(Math.floor(((position + 0.5) * size) / shown), size - 1);
}
