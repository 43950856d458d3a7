// The table of the classes in an image: their colors and areas, and a box that shows or hides each.

import { percent } from './text.js';

export class ClassTable {
  /** `body` is a tbody; `onChange` gets the Set of the hidden ids, which stay hidden in the next images. */
  constructor(body, onChange) {
    this.body = body;
    this.onChange = onChange;
    this.hidden = new Set();
  }

  /** List [{id, name, color, area}] of an image with so many pixels. */
  show(classes, pixels) {
    this.ids = classes.map(({ id }) => id);
    const largest = Math.max(...classes.map(({ area }) => area));
    this.body.replaceChildren(...classes.map((entry) => this.#row(entry, largest, pixels)));
  }

  /** Show or hide all classes of this image. */
  setAll(visible) {
    for (const id of this.ids) this.#set(id, visible);
    for (const box of this.body.querySelectorAll('input')) box.checked = visible;
    this.onChange(this.hidden);
  }

  #row({ id, name, color, area }, largest, pixels) {
    const box = element('input', { type: 'checkbox', checked: !this.hidden.has(id) });
    box.addEventListener('change', () => {
      this.#set(id, box.checked);
      this.onChange(this.hidden);
    });
    const swatch = element('span', { className: 'swatch' });
    swatch.style.background = color;
    const label = element('label', {}, box, swatch, element('span', { textContent: name }));
    const bar = element('div', { className: 'bar' });
    bar.style.width = `${(100 * area) / largest}%`;
    const count = `${Math.round(area * pixels)} pixels`;
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, label, bar),
      element('td', { textContent: percent(area), title: count }),
    );
  }

  #set(id, visible) {
    if (visible) this.hidden.delete(id);
    else this.hidden.add(id);
  }
}

function element(kind, properties, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}
