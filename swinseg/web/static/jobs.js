// The images that wait for the server: each is segmented once, a few at a time, in the order they were given.

import { ApiError, segment } from './api.js';
import { readPhoto, smallCopy, thumbnail } from './photo.js';
import { bytes } from './text.js';

// With two the server can put them in one batch, and the next image is uploaded while one is computed.
const AT_ONCE = 2;

/**
 * One image: `state` is 'waiting', 'working', 'preview' (there is a result of a smaller copy), 'done' or 'failed'.
 * `result` is an answer of segment(), `problem` the sentence of a failure.
 */
export class Job {
  constructor(file, name) {
    this.file = file;
    this.name = name;
    this.state = 'waiting';
    this.busy = false;
    this.result = null;
    this.problem = '';
    this.thumbnail = null;
    this.controller = new AbortController();
  }
}

export class Jobs {
  /**
   * `onChange(job)` is called at each change of a job; `onTokenWanted()` where the server asks for one, which stops
   * the work until resume().
   */
  constructor({ onChange, onTokenWanted }) {
    this.onChange = onChange;
    this.onTokenWanted = onTokenWanted;
    this.largestFile = Infinity;
    this.waiting = [];
    this.running = 0;
    this.paused = false;
  }

  add(job) {
    this.waiting.push(job);
    this.#next();
  }

  /** Forget all jobs; those at work are aborted. */
  clear(jobs) {
    this.waiting = [];
    for (const job of jobs) job.controller.abort();
  }

  resume() {
    this.paused = false;
    this.#next();
  }

  #next() {
    while (!this.paused && this.running < AT_ONCE && this.waiting.length > 0) {
      this.running += 1;
      this.#run(this.waiting.shift()).finally(() => {
        this.running -= 1;
        this.#next();
      });
    }
  }

  async #run(job) {
    try {
      this.#update(job, { state: 'working' });
      if (job.file.size > this.largestFile) {
        const [size, limit] = [bytes(job.file.size), bytes(this.largestFile)];
        throw new ApiError(`The file has ${size}, but this server takes ${limit} at most; send a smaller one.`, 413);
      }
      await this.#preview(job);
      this.#update(job, { result: await this.#segment(job, job.file), state: 'done' });
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.status === 401) {
        this.paused = true;
        this.waiting.unshift(job);
        this.#update(job, { state: 'waiting' });
        this.onTokenWanted();
      } else if (error instanceof ApiError) {
        this.#update(job, { state: 'failed', problem: error.message });
      } else {
        this.#update(job, { state: 'failed', problem: `The page failed: ${error.message}.` });
        throw error;
      }
    }
  }

  // Show a large image's mask from a small copy first, since the whole takes a while.
  async #preview(job) {
    const photo = await readPhoto(job.file);
    if (!photo) return;
    this.#update(job, { thumbnail: thumbnail(photo) });
    const copy = await smallCopy(photo);
    if (copy) this.#update(job, { result: await this.#segment(job, copy), state: 'preview' });
  }

  async #segment(job, file) {
    try {
      return await segment(file, {
        signal: job.controller.signal,
        onBusy: () => this.#update(job, { busy: true }),
      });
    } finally {
      job.busy = false;
    }
  }

  #update(job, changes) {
    if (job.controller.signal.aborted) return;
    Object.assign(job, changes);
    this.onChange(job);
  }
}
