// The calls of the HTTP interface. Addresses are relative, so the page also works behind a proxy's path.

const ATTEMPTS = 8;
const LONGEST_WAIT_S = 20;

let token = '';

/** A refusal, with the one sentence that the server gave for it; `status` is 0 where it did not answer. */
export class ApiError extends Error {
  constructor(message, status, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Send this token with every call from now on. It is kept in memory only. */
export function setToken(text) {
  token = text;
}

/** Return what the server says of its model: names of the checkpoint and the classes, and its limits. */
export async function getModel() {
  return (await call('v1/model')).json();
}

/** Return a file that belongs to the page as a Blob. */
export async function getFile(address) {
  return (await call(address)).blob();
}

/**
 * Segment an image file.
 * Returns {width, height, classes: [{id, name, color, area}], seconds, labels, confidence}; the last two are
 * PNG files as Uint8Array. `onBusy` is called each time that the server's queue is full, before it is asked again.
 */
export async function segment(file, { signal, onBusy }) {
  const answer = await (await post(file, 'json', signal, onBusy)).json();
  return {
    ...answer,
    labels: bytesOf(answer.labels),
    confidence: bytesOf(answer.confidence),
  };
}

/** Return the polygons of an image file as a GeoJSON Blob. */
export async function polygons(file) {
  return (await post(file, 'geojson')).blob();
}

async function post(file, format, signal = undefined, onBusy = () => {}) {
  const headers = { 'Content-Type': file.type || 'application/octet-stream' };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call(`v1/segment?format=${format}`, { method: 'POST', body: file, headers, signal });
    } catch (error) {
      if (error.status !== 429 || attempt === ATTEMPTS) throw error;
      onBusy();
      const seconds = Math.min(error.retryAfter ?? 2 ** (attempt - 1), LONGEST_WAIT_S);
      await pause(1000 * seconds, signal);
    }
  }
}

async function call(address, options = {}) {
  const sent = token;
  const headers = { ...options.headers, ...(sent && { Authorization: `Bearer ${sent}` }) };
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('The server does not answer; look whether swinseg serve still runs.', 0);
  }
  if (response.ok) return response;
  const sentence = await sentenceOf(response);
  // A better token was given while this call was on its way; nothing is waited for after this look.
  if (response.status === 401 && sent !== token) return call(address, options);
  const wait = Number.parseFloat(response.headers.get('Retry-After'));
  throw new ApiError(sentence, response.status, Number.isNaN(wait) ? null : wait);
}

async function sentenceOf(response) {
  try {
    const { error } = await response.json();
    if (typeof error === 'string') return error;
  } catch {
    // What stands between the page and the server, such as a proxy, answers in a form of its own.
  }
  return `The server refused with ${response.status} ${response.statusText}.`;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
