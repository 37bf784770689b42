// The surface of a field at a level by naive surface nets: one point per cell that the surface passes.

/** Blur a field (x fastest) along all three axes by (1 2 1)/4. */
export function blurred(field, shape) {
  const strides = [1, shape[0], shape[0] * shape[1]];
  let from = field;
  for (let axis = 0; axis < 3; axis++) {
    const to = new Float32Array(from.length);
    const stride = strides[axis];
    for (let i = 0; i < from.length; i++) {
      const place = Math.floor(i / stride) % shape[axis];
      const low = place > 0 ? from[i - stride] : 0;
      const high = place < shape[axis] - 1 ? from[i + stride] : 0;
      to[i] = 0.25 * low + 0.5 * from[i] + 0.25 * high;
    }
    from = to;
  }
  return from;
}

/** Return {points, faces} of the surface where the field crosses the level; points in voxels. */
export function surfaceNet(field, shape, level) {
  const [nx, ny, nz] = shape;
  const strides = [1, nx, nx * ny];
  const corners = [0, 1, nx, nx + 1, nx * ny, nx * ny + 1, nx * ny + nx, nx * ny + nx + 1];
  const number = new Int32Array(field.length).fill(-1);
  const points = [];
  const faces = [];
  for (let z = 0; z < nz - 1; z++)
    for (let y = 0; y < ny - 1; y++)
      for (let x = 0; x < nx - 1; x++) {
        const cell = x + y * nx + z * nx * ny;
        const point = crossing(field, cell, corners, level);
        if (point === null) continue;
        number[cell] = points.length / 3;
        points.push(x + point[0], y + point[1], z + point[2]);
        join(field, cell, [x, y, z], strides, level, number, faces);
      }
  return { points: new Float32Array(points), faces: new Uint32Array(faces) };
}

/** Return the mean of the places where the cell's twelve edges cross the level; null where none does. */
function crossing(field, cell, corners, level) {
  let sx = 0, sy = 0, sz = 0, count = 0;
  for (let a = 0; a < 8; a++)
    for (let axis = 0; axis < 3; axis++) {
      if (a & (1 << axis)) continue;
      const b = a | (1 << axis);
      const low = field[cell + corners[a]] - level;
      const high = field[cell + corners[b]] - level;
      if (low < 0 === high < 0) continue;
      const share = low / (low - high);
      sx += (a & 1) + (axis === 0 ? share : 0);
      sy += ((a >> 1) & 1) + (axis === 1 ? share : 0);
      sz += ((a >> 2) & 1) + (axis === 2 ? share : 0);
      count++;
    }
  return count ? [sx / count, sy / count, sz / count] : null;
}

/** Join the four cells around each edge that starts at this cell's first corner and crosses the level. */
function join(field, cell, place, strides, level, number, faces) {
  const inside = field[cell] >= level;
  for (let axis = 0; axis < 3; axis++) {
    if (field[cell + strides[axis]] >= level === inside) continue;
    const u = (axis + 1) % 3, v = (axis + 2) % 3;
    if (place[u] === 0 || place[v] === 0) continue;
    const a = number[cell], b = number[cell - strides[u]];
    const c = number[cell - strides[u] - strides[v]], d = number[cell - strides[v]];
    if (b < 0 || c < 0 || d < 0) continue;
    if (inside) faces.push(a, b, c, a, c, d);
    else faces.push(a, c, b, a, d, c);
  }
}
