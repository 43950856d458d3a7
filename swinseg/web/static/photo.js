// Photographs as the browser sees them: to look at, as a smaller copy to send, and as a thumbnail.

/** Longest side in pixels of what is drawn; browsers, those of phones above all, refuse much larger canvases. */
const SHOWN_SIDE = 4096;
const COPY_SIDE = 768;
const THUMBNAIL_SIDE = 96;

/**
 * Return {canvas, width, height}: the size of the file's picture, turned as its EXIF says, and a canvas with it
 * of at most SHOWN_SIDE; null for a format that this browser cannot show, such as TIFF.
 */
export async function readPhoto(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return null;
  }
  const photo = { canvas: fitted(bitmap, SHOWN_SIDE), width: bitmap.width, height: bitmap.height };
  bitmap.close();
  return photo;
}

/** Return a blank photograph of a size, for a mask whose file this browser cannot show. */
export function blankPhoto(width, height) {
  return { canvas: fitted({ width, height }, SHOWN_SIDE, false), width, height };
}

/** Return a JPEG Blob of a photograph made so small that it is segmented at once; null if it is small already. */
export async function smallCopy(photo) {
  if (photo.width * photo.height <= 4 * COPY_SIDE * COPY_SIDE) return null;
  const canvas = fitted(photo.canvas, COPY_SIDE);
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.9));
}

/** Return a small canvas of a photograph. */
export function thumbnail(photo) {
  return fitted(photo.canvas, THUMBNAIL_SIDE);
}

function fitted(picture, side, draw = true) {
  const scale = Math.min(1, side / Math.max(picture.width, picture.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  if (draw) {
    const context = canvas.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  }
  return canvas;
}
