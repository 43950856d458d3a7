// Reads the numbers of a PNG with one channel: class indices, or confidences.
// A canvas would give colors instead: two classes may share one, and 16 bits would become 8.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GRAY = 0;
const INDEXED = 3;

/**
 * Return {width, height, values}: values row by row, Uint16Array of files with 16 bits, else Uint8Array.
 * Takes the bytes of a gray or indexed PNG of 1, 2, 4, 8 or 16 bits that is not interlaced; throws an Error for
 * any other. Filters are those of the PNG specification (W3C, third edition, section 9).
 */
export async function readPng(bytes) {
  if (!SIGNATURE.every((byte, index) => bytes[index] === byte)) throw new Error('this is no PNG');
  const { width, height, depth, data } = readChunks(bytes);
  const inflated = data.stream().pipeThrough(new DecompressionStream('deflate'));
  const filtered = new Uint8Array(await new Response(inflated).arrayBuffer());
  const rowBytes = Math.ceil((width * depth) / 8);
  if (filtered.length !== (rowBytes + 1) * height) throw new Error('the PNG is incomplete');
  const rows = unfilter(filtered, rowBytes, height, depth === 16 ? 2 : 1);
  return { width, height, values: unpack(rows, width, height, depth) };
}

function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts = [];
  let header = null;
  for (let start = SIGNATURE.length; start + 12 <= bytes.length; ) {
    const length = view.getUint32(start);
    const kind = String.fromCharCode(...bytes.subarray(start + 4, start + 8));
    const content = start + 8;
    if (kind === 'IHDR') {
      header = { width: view.getUint32(content), height: view.getUint32(content + 4), depth: bytes[content + 8] };
      const color = bytes[content + 9];
      const interlaced = bytes[content + 12] !== 0;
      if ((color !== GRAY && color !== INDEXED) || interlaced) {
        throw new Error('the PNG has more than one channel or is interlaced');
      }
    }
    if (kind === 'IDAT') parts.push(bytes.subarray(content, content + length));
    start = content + length + 4;
  }
  if (header === null) throw new Error('the PNG has no header');
  return { ...header, data: new Blob(parts) };
}

function unfilter(filtered, rowBytes, height, step) {
  const rows = new Uint8Array(rowBytes * height);
  let above = new Uint8Array(rowBytes);
  for (let y = 0; y < height; y += 1) {
    const source = y * (rowBytes + 1);
    const row = rows.subarray(y * rowBytes, (y + 1) * rowBytes);
    row.set(filtered.subarray(source + 1, source + 1 + rowBytes));
    const kind = filtered[source];
    if (kind === 1) {
      for (let x = step; x < rowBytes; x += 1) row[x] += row[x - step];
    } else if (kind === 2) {
      for (let x = 0; x < rowBytes; x += 1) row[x] += above[x];
    } else if (kind === 3) {
      for (let x = 0; x < rowBytes; x += 1) row[x] += ((x < step ? 0 : row[x - step]) + above[x]) >> 1;
    } else if (kind === 4) {
      for (let x = 0; x < rowBytes; x += 1) {
        row[x] += x < step ? above[x] : paeth(row[x - step], above[x], above[x - step]);
      }
    } else if (kind !== 0) {
      throw new Error(`the PNG has the unknown filter ${kind}`);
    }
    above = row;
  }
  return rows;
}

function paeth(left, above, corner) {
  const toLeft = Math.abs(above - corner);
  const toAbove = Math.abs(left - corner);
  const toCorner = Math.abs(left + above - 2 * corner);
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}

function unpack(rows, width, height, depth) {
  if (depth === 8) return rows;
  const rowBytes = rows.length / height;
  const values = new (depth === 16 ? Uint16Array : Uint8Array)(width * height);
  const perByte = 8 / depth;
  const mask = (1 << depth) - 1;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const position = y * rowBytes;
      if (depth === 16) {
        values[y * width + x] = (rows[position + 2 * x] << 8) | rows[position + 2 * x + 1];
      } else {
        const shift = 8 - depth - (x % perByte) * depth;
        values[y * width + x] = (rows[position + Math.floor(x / perByte)] >> shift) & mask;
      }
    }
  }
  return values;
}
