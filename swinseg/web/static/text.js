// Figures for people.

/** Return a share in [0, 1] as a percentage; one that is not 0 never reads as such. */
export function percent(share, digits = 1) {
  const least = 10 ** -digits;
  if (share > 0 && 100 * share < least) return `<${least}%`;
  return `${(100 * share).toFixed(digits)}%`;
}

/** Return a number of bytes in the unit that suits it. */
export function bytes(count) {
  if (count < 1e6) return `${Math.ceil(count / 1e3)} kB`;
  return `${(count / 1e6).toFixed(1)} MB`;
}

/** Return a file's name without its suffix. */
export function stem(name) {
  return name.replace(/\.[^.]*$/, '') || name;
}
