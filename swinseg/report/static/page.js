'use strict';

// Tables are sorted by a column when its header is pressed; what has no value goes last.
for (const table of document.querySelectorAll('table[data-sortable]')) {
  const headers = [...table.querySelectorAll('thead th')];
  headers.forEach((header, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener('click', () => {
      const descending = header.getAttribute('aria-sort') !== 'descending';
      headers.forEach((other) => other.removeAttribute('aria-sort'));
      header.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (first, second) => {
        const [a, b] = [key(first), key(second)];
        if (a === '' || b === '') return (a === '') - (b === '');
        const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
        return descending ? -order : order;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}

// The confusion matrix: a slider enlarges it, and the cell under the pointer is put into words.
for (const matrix of document.querySelectorAll('[data-matrix]')) {
  const { classes, cells } = JSON.parse(matrix.dataset.matrix);
  const svg = matrix.querySelector('svg');
  const frame = matrix.querySelector('.matrix');
  const readout = matrix.querySelector('output');
  const [left, top, width, height] = svg.dataset.cells.split(' ').map(Number);
  const pixels = new Map(cells.map(([label, prediction, count]) => [label * classes.length + prediction, count]));
  const totals = new Map();
  for (const [label, , count] of cells) totals.set(label, (totals.get(label) ?? 0) + count);

  const zoom = matrix.querySelector('input');
  matrix.querySelector('.controls').hidden = false;
  zoom.addEventListener('input', () => {
    const middle = [frame.scrollLeft + frame.clientWidth / 2, frame.scrollTop + frame.clientHeight / 2];
    const before = svg.getBoundingClientRect().width;
    Object.assign(svg.style, { width: '', maxWidth: '' });
    const fitted = svg.getBoundingClientRect().width;
    if (zoom.value > 1) Object.assign(svg.style, { width: `${fitted * zoom.value}px`, maxWidth: 'none' });
    const factor = svg.getBoundingClientRect().width / before;
    frame.scrollLeft = middle[0] * factor - frame.clientWidth / 2;
    frame.scrollTop = middle[1] * factor - frame.clientHeight / 2;
  });

  const tell = (event) => {
    const box = svg.getBoundingClientRect();
    const column = Math.floor((((event.clientX - box.left) / box.width - left) / width) * classes.length);
    const row = Math.floor((((event.clientY - box.top) / box.height - top) / height) * classes.length);
    if (Math.min(row, column) < 0 || Math.max(row, column) >= classes.length) return;
    const count = pixels.get(row * classes.length + column) ?? 0;
    const share = totals.has(row) ? `${((100 * count) / totals.get(row)).toFixed(2)}%` : 'none';
    readout.textContent = `${classes[row]}: ${share} predicted as ${classes[column]} (${count.toLocaleString('en')} pixels)`;
  };
  svg.addEventListener('pointermove', tell);
  svg.addEventListener('pointerdown', tell);
}
