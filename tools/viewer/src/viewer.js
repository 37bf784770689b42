// The interactive view of the report: turns the scene in the page into three.js; without WebGL the pictures stay.
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { boneMesh, Filling, needleMesh, setOpacity, settle } from "./bodies.js";

const TURN = Math.PI / 18;
const PLAY_S = 12; // the whole timeline takes this long
const OPACITY = { target: 0.22, neighbour: 0.14, canal: 0.16 };
const RANGE = 1000;

function letterSprite(letter, size, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 128;
  const pen = canvas.getContext("2d");
  pen.font = `600 ${letter.length > 1 ? 60 : 84}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineWidth = 14;
  pen.strokeStyle = "#f4f6f8";
  pen.strokeText(letter, 64, 68);
  pen.fillStyle = colour;
  pen.fillText(letter, 64, 68);
  const map = new THREE.CanvasTexture(canvas);
  map.colorSpace = THREE.SRGBColorSpace;
  const sprite = new THREE.Sprite(new THREE.SpriteMaterial({ map, depthTest: false }));
  sprite.scale.setScalar(size);
  sprite.renderOrder = 9;
  return sprite;
}

class View {
  constructor(root, scene) {
    this.root = root;
    this.about = scene;
    this.canvas = root.querySelector("canvas");
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
    this.scene = new THREE.Scene();
    this.scene.background = new THREE.Color(0xf4f6f8);
    const [left, posterior, superior] = scene.axes_lps.map((axis) => new THREE.Vector3(...axis));
    this.axes = { L: left, R: left.clone().negate(), P: posterior, A: posterior.clone().negate(), S: superior, I: superior.clone().negate() };
    this.camera = new THREE.PerspectiveCamera(24, 1, 1, 3000);
    this.camera.up.copy(superior);
    this.light = new THREE.DirectionalLight(0xffffff, 2.2);
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x8a8f98, 1.4), this.light);
    this.controls = new OrbitControls(this.camera, this.canvas);
    this.controls.enablePan = false;
    this.controls.enableZoom = false; // the wheel scrolls the page until the view has been chosen
    this.canvas.addEventListener("focus", () => (this.controls.enableZoom = true));
    this.canvas.addEventListener("blur", () => (this.controls.enableZoom = false));
    this.canvas.addEventListener("pointerdown", () => this.canvas.focus());
    this.controls.addEventListener("change", () => this.draw());
    this.bones = [];
    this.needles = [];
    this.fillings = [];
    this.letters = [];
    this.names = [];
  }

  async fill() {
    const { bones, needles, fillings, step_mm: step } = this.about;
    this.bones = await Promise.all(bones.map((bone) => boneMesh(bone, step, OPACITY[bone.kind])));
    this.needles = needles.map(needleMesh);
    this.fillings = await Promise.all(fillings.map((one) => Filling.from(one)));
    this.scene.add(...this.bones, ...this.needles, ...this.fillings.map((one) => one.mesh));
    this.addLetters();
  }

  addLetters() {
    const box = new THREE.Box3();
    for (const mesh of this.bones.length ? this.bones : this.needles) box.expandByObject(mesh);
    this.size = box.isEmpty() ? 60 : box.getSize(new THREE.Vector3()).length() / 2;
    const reach = box.isEmpty() ? 60 : 0;
    this.reach = reach;
    for (const [letter, axis] of Object.entries(this.axes)) {
      const far = reach || Math.max(...cornersOf(box).map((corner) => corner.dot(axis)));
      const sprite = letterSprite(letter, 11, "#1d3b53");
      sprite.position.copy(axis).multiplyScalar(far + 9);
      this.reach = Math.max(this.reach, far + 15);
      this.letters.push([sprite, axis]);
      this.scene.add(sprite);
    }
    for (const bone of this.bones) {
      if (!/^[CTLS]\d+$/.test(bone.name)) continue;
      const sprite = letterSprite(bone.name, 11, "#5b6670");
      this.names.push([sprite, new THREE.Vector3(...bone.userData.middle)]);
      this.scene.add(sprite);
    }
  }

  look(from) {
    const along = new THREE.Vector3();
    for (const letter of from) along.add(this.axes[letter]);
    if (from === "S" || from === "I") along.addScaledVector(this.axes.P, 1e-3);
    const distance = Math.max(0.86 * this.size, this.reach) / Math.sin((this.camera.fov * Math.PI) / 360);
    this.camera.position.copy(along.normalize().multiplyScalar(distance));
    this.controls.target.set(0, 0, 0);
    this.controls.update();
    this.draw();
  }

  turn(sideways, upwards) {
    const offset = this.camera.position.clone();
    offset.applyAxisAngle(this.camera.up, sideways);
    const right = new THREE.Vector3().crossVectors(this.camera.up, offset).normalize();
    const lifted = offset.clone().applyAxisAngle(right, upwards);
    if (Math.abs(lifted.clone().normalize().dot(this.camera.up)) < 0.999) offset.copy(lifted);
    this.camera.position.copy(offset);
    this.controls.update();
    this.draw();
  }

  zoom(factor) {
    this.camera.position.multiplyScalar(factor);
    this.controls.update();
    this.draw();
  }

  at(second) {
    for (const needle of this.needles) {
      const { from, until } = needle.userData;
      needle.visible = this.about.span_s === null || (second >= from && second <= until);
    }
    for (const bone of this.bones) settle(bone, second);
    for (const filling of this.fillings) filling.at(second);
    this.canvas.dataset.triangles = this.fillings.reduce((sum, one) => sum + one.triangles, 0);
    this.hide();
    this.draw();
  }

  hide() {
    for (const box of this.root.querySelectorAll("input[data-shows]")) {
      const kinds = box.dataset.shows.split(" ");
      for (const mesh of [...this.bones, ...this.needles, ...this.fillings.map((one) => one.mesh)])
        if (kinds.includes(mesh.userData.kind) && !box.checked) mesh.visible = false;
        else if (kinds.includes(mesh.userData.kind) && this.bones.includes(mesh)) mesh.visible = true;
    }
  }

  /** Names stand beside their vertebrae at the picture's left; a direction that points at the viewer is left out. */
  label() {
    const towards = this.camera.position.clone().normalize();
    const leftwards = new THREE.Vector3().crossVectors(towards, this.camera.up).normalize();
    const half = this.camera.position.length() * Math.tan((this.camera.fov * Math.PI) / 360) * this.camera.aspect;
    const aside = Math.min(78, half - 8);
    const lying = Math.abs(towards.dot(this.camera.up)) > 0.8;
    for (const [sprite, axis] of this.letters) sprite.visible = Math.abs(axis.dot(towards)) < 0.93;
    for (const [sprite, middle] of this.names) {
      sprite.visible = !lying;
      sprite.position.copy(this.camera.up).multiplyScalar(middle.dot(this.camera.up)).addScaledVector(leftwards, aside);
    }
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.light.position.copy(this.camera.position).addScaledVector(this.camera.up, this.size || 60);
    this.label();
    this.renderer.render(this.scene, this.camera);
  }
}

function cornersOf(box) {
  const ends = [box.min, box.max];
  return ends.flatMap((x) => ends.flatMap((y) => ends.map((z) => new THREE.Vector3(x.x, y.y, z.z))));
}

function clock(second) {
  const whole = Math.round(second);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function captionAt(captions, second) {
  let said = "";
  for (const [since, text] of captions) if (since <= second) said = text;
  return said;
}

function filledAt(progress, second) {
  let amount = 0;
  for (let i = 0; i < progress.length; i++) {
    const [t, v] = progress[i];
    if (t <= second) amount = v;
    else {
      const [t0, v0] = i ? progress[i - 1] : [t, v];
      if (i && t > t0 && second > t0) amount = v0 + ((v - v0) * (second - t0)) / (t - t0);
      break;
    }
  }
  return amount;
}

/** Return the second at a share of the slider: what happens gets room, waiting gets little. */
function secondAt(course, share) {
  let i = 1;
  while (i < course.length - 1 && course[i][0] < share) i++;
  const [[from, start], [to, end]] = [course[i - 1], course[i]];
  return start + ((end - start) * (share - from)) / Math.max(to - from, 1e-9);
}

function timeline(view) {
  const { span_s: span, captions, progress } = view.about;
  const slider = view.root.querySelector("input[type=range][data-role=time]");
  const readout = view.root.querySelector("[data-role=readout]");
  const play = view.root.querySelector("[data-role=play]");
  if (span === null) {
    view.root.querySelector("[data-role=timeline]").hidden = true;
    view.at(Infinity);
    return;
  }
  const show = () => {
    const second = secondAt(view.about.course, slider.value / RANGE);
    view.at(second);
    const amount = progress.length ? ` · ${filledAt(progress, second).toFixed(1)} mL cement` : "";
    const said = captionAt(captions, second);
    readout.textContent = `${clock(second)} min${amount}${said ? ` · ${said}` : ""}`;
    slider.setAttribute("aria-valuetext", readout.textContent);
  };
  let running = 0;
  const stop = () => {
    cancelAnimationFrame(running);
    running = 0;
    play.textContent = "Play";
  };
  const start = () => {
    if (Number(slider.value) >= RANGE) slider.value = 0;
    let before = performance.now();
    let place = Number(slider.value);
    const step = (now) => {
      place = Math.min(RANGE, place + ((now - before) / 1000 / PLAY_S) * RANGE);
      before = now;
      slider.value = place;
      show();
      if (place < RANGE) running = requestAnimationFrame(step);
      else stop();
    };
    play.textContent = "Pause";
    running = requestAnimationFrame(step);
  };
  play.addEventListener("click", () => (running ? stop() : start()));
  slider.addEventListener("input", () => {
    stop();
    show();
  });
  view.toggle = () => play.click();
  show();
}

function buttons(view) {
  for (const button of view.root.querySelectorAll("button[data-look]"))
    button.addEventListener("click", () => view.look(button.dataset.look));
  for (const box of view.root.querySelectorAll("input[data-shows]"))
    box.addEventListener("change", () => {
      for (const mesh of [...view.needles, ...view.fillings.map((one) => one.mesh)]) mesh.visible = true;
      for (const filling of view.fillings) filling.shown = null;
      const slider = view.root.querySelector("input[data-role=time]");
      if (view.about.span_s === null) view.at(Infinity);
      else slider.dispatchEvent(new Event("input"));
    });
  const opacity = view.root.querySelector("input[data-role=opacity]");
  opacity.addEventListener("input", () => {
    for (const bone of view.bones) if (bone.userData.kind !== "canal") setOpacity(bone.material, opacity.value / 100);
    view.draw();
  });
}

function keys(view) {
  const actions = {
    ArrowLeft: () => view.turn(-TURN, 0),
    ArrowRight: () => view.turn(TURN, 0),
    ArrowUp: () => view.turn(0, -TURN),
    ArrowDown: () => view.turn(0, TURN),
    "+": () => view.zoom(0.9),
    "-": () => view.zoom(1 / 0.9),
    " ": () => view.toggle && view.toggle(),
  };
  for (const letter of "LRAPSI") actions[letter.toLowerCase()] = () => view.look(letter);
  view.canvas.addEventListener("keydown", (event) => {
    const action = !event.ctrlKey && !event.metaKey && !event.altKey && actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Tell whether the browser can draw and unpack; asked of a canvas of its own, so that no error is logged. */
function able() {
  return typeof DecompressionStream !== "undefined" && Boolean(document.createElement("canvas").getContext("webgl2"));
}

async function main() {
  const root = document.getElementById("viewer");
  const data = document.getElementById("scene");
  document.documentElement.dataset.viewer = "pictures"; // they stay until the view stands
  if (!root || !data || !able()) return;
  root.hidden = false;
  try {
    const view = new View(root, JSON.parse(data.textContent));
    await view.fill();
    view.look("PLS");
    timeline(view);
    buttons(view);
    keys(view);
    new ResizeObserver(() => view.draw()).observe(view.canvas);
    document.documentElement.dataset.viewer = "webgl";
    view.canvas.dataset.ready = "yes";
  } catch (error) {
    root.hidden = true;
    console.error(error);
  }
}

main();
