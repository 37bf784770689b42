// What the scene is made of: glass bones, steel needles, cement and balloons that grow with the clock.
import * as THREE from "three";
import { blurred, surfaceNet } from "./surface.js";

export const COLOURS = { target: 0xc8ab7c, neighbour: 0xb9b3a6, canal: 0xd9a400, cement: 0xd8631e, balloon: 0x2f7fd1, needle: 0x56616b };
const NEVER = 255;
const FRONT_S = 1.0; // seconds over which a voxel appears, so that the front moves smoothly
const LEVEL = 0.3;

/** Unpack base64 of gzip. */
export async function unpacked(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Kind(await new Response(stream).arrayBuffer());
}

/** A material that is clear where one looks straight at it and dense at its edges. */
export function glass(colour, opacity) {
  const material = new THREE.ShaderMaterial({
    uniforms: { colour: { value: new THREE.Color(colour) }, opacity: { value: opacity } },
    vertexShader: `varying vec3 vn; varying vec3 vp;
      void main() { vec4 p = modelViewMatrix * vec4(position, 1.0); vp = p.xyz; vn = normalMatrix * normal; gl_Position = projectionMatrix * p; }`,
    fragmentShader: `uniform vec3 colour; uniform float opacity; varying vec3 vn; varying vec3 vp;
      void main() {
        vec3 n = normalize(vn) * (gl_FrontFacing ? 1.0 : -1.0); vec3 v = normalize(-vp);
        float facing = abs(dot(n, v)); float light = 0.35 + 0.65 * max(dot(n, normalize(vec3(0.35, 0.55, 0.8))), 0.0);
        float rim = pow(1.0 - facing, 2.0);
        float alpha = opacity >= 0.99 ? 1.0 : opacity + (1.0 - opacity) * 0.75 * rim;
        gl_FragColor = vec4(colour * light, alpha);
        #include <colorspace_fragment>
      }`,
    transparent: true,
    side: THREE.DoubleSide,
  });
  setOpacity(material, opacity);
  return material;
}

export function setOpacity(material, opacity) {
  material.uniforms.opacity.value = opacity;
  material.depthWrite = opacity >= 0.99;
  material.side = opacity >= 0.99 ? THREE.DoubleSide : THREE.FrontSide;
  material.transparent = opacity < 0.99;
  material.needsUpdate = true;
}

/** Whole numbers of steps as millimetres. */
function lengths(whole, step) {
  return Float32Array.from(whole, (n) => n * step);
}

export async function boneMesh(bone, step, opacity) {
  const whole = await unpacked(bone.points, Int16Array);
  const faces = await unpacked(bone.faces, bone.wide ? Uint32Array : Uint16Array);
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.BufferAttribute(lengths(whole, step), 3));
  geometry.setIndex(new THREE.BufferAttribute(faces, 1));
  geometry.computeVertexNormals();
  const mesh = new THREE.Mesh(geometry, glass(COLOURS[bone.kind], opacity));
  mesh.name = bone.name;
  mesh.userData = { kind: bone.kind, middle: bone.middle };
  mesh.renderOrder = bone.kind === "target" ? 3 : 2;
  if (bone.moves) {
    const offsets = await Promise.all(bone.moves.offsets.map((one) => unpacked(one, Int16Array)));
    mesh.userData.moves = { seconds: bone.moves.seconds, still: lengths(whole, step), offsets: offsets.map((one) => lengths(one, step)) };
  }
  return mesh;
}

/** Put a bone where it lies at an instant: on straight lines between the moments that the simulation kept. */
export function settle(mesh, second) {
  const { moves } = mesh.userData;
  if (!moves) return;
  const { seconds, still, offsets } = moves;
  const last = seconds.length - 1;
  let low = 0;
  while (low < last - 1 && seconds[low + 1] <= second) low++;
  const share = Math.min(Math.max((second - seconds[low]) / (seconds[low + 1] - seconds[low]), 0), 1);
  if (moves.shown === low + share) return;
  moves.shown = low + share;
  const places = mesh.geometry.attributes.position;
  for (let i = 0; i < still.length; i++)
    places.array[i] = still[i] + (1 - share) * offsets[low][i] + share * offsets[low + 1][i];
  places.needsUpdate = true;
  mesh.geometry.computeVertexNormals();
}

export function needleMesh(needle) {
  const tip = new THREE.Vector3(...needle.tip), outer = new THREE.Vector3(...needle.outer);
  const along = outer.clone().sub(tip);
  const geometry = new THREE.CylinderGeometry(needle.radius_mm, needle.radius_mm, along.length(), 24);
  const mesh = new THREE.Mesh(geometry, new THREE.MeshPhongMaterial({ color: COLOURS.needle, shininess: 90 }));
  mesh.position.copy(tip).addScaledVector(along, 0.5);
  mesh.quaternion.setFromUnitVectors(new THREE.Vector3(0, 1, 0), along.clone().normalize());
  mesh.name = needle.name;
  mesh.userData = { kind: "needle", from: needle.from_s ?? -Infinity, until: needle.until_s ?? Infinity };
  return mesh;
}

/** Cement or a balloon: its surface is found anew for each instant from the arrival times. */
export class Filling {
  constructor(about, arrival, amount) {
    this.about = about;
    this.arrival = arrival;
    this.amount = amount;
    const clear = about.kind === "balloon";
    this.mesh = new THREE.Mesh(
      new THREE.BufferGeometry(),
      new THREE.MeshPhongMaterial({
        color: COLOURS[about.kind], shininess: 30, side: THREE.DoubleSide, transparent: clear, opacity: clear ? 0.9 : 1,
      }),
    );
    this.mesh.name = about.name;
    this.mesh.userData.kind = about.kind;
    this.mesh.renderOrder = clear ? 1 : 0;
    this.shown = null;
  }

  static async from(about) {
    return new Filling(about, await unpacked(about.arrival, Uint8Array), await unpacked(about.amount, Uint8Array));
  }

  at(second) {
    const { first_s: first, step_s: step, until_s: until, shape } = this.about;
    const gone = until !== null && second >= until;
    const key = gone ? -1 : Math.round(Math.min(second, first + 260 * step + FRONT_S) * 10);
    if (key === this.shown) return;
    this.shown = key;
    const field = new Float32Array(this.arrival.length);
    if (!gone)
      for (let i = 0; i < field.length; i++) {
        if (this.arrival[i] === NEVER) continue;
        const since = (second - first - this.arrival[i] * step) / FRONT_S;
        field[i] = Math.min(Math.max(since, 0), 1) * (this.amount[i] / 255);
      }
    this.replace(surfaceNet(blurred(field, shape), shape, LEVEL));
  }

  replace({ points, faces }) {
    const m = this.about.matrix;
    const placed = new Float32Array(points.length);
    for (let i = 0; i < points.length; i += 3)
      for (let row = 0; row < 3; row++)
        placed[i + row] = m[row][0] * points[i] + m[row][1] * points[i + 1] + m[row][2] * points[i + 2] + m[row][3];
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(placed, 3));
    geometry.setIndex(new THREE.BufferAttribute(faces, 1));
    geometry.computeVertexNormals();
    this.mesh.geometry.dispose();
    this.mesh.geometry = geometry;
    this.mesh.visible = faces.length > 0;
    this.triangles = faces.length / 3;
  }
}
