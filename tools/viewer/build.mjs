// Bundles src/viewer.js with three.js to one script that the report inlines: npm ci && npm run build
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const out = new URL("../../src/vertecast/data/web/", import.meta.url);
const three = JSON.parse(readFileSync(new URL("node_modules/three/package.json", import.meta.url)));
mkdirSync(out, { recursive: true });
const { outputFiles } = await build({
  entryPoints: [new URL("src/viewer.js", import.meta.url).pathname],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020",
  charset: "utf8",
  legalComments: "none",
  write: false,
});
const banner = `/* Vertecast 3-D view, Apache-2.0; contains three.js ${three.version}, MIT, see three-LICENSE.txt */\n`;
// No text of the bundle may end the script element that holds it.
writeFileSync(new URL("viewer.min.js", out), banner + outputFiles[0].text.replaceAll("</script", "<\\/script"));
copyFileSync(new URL("node_modules/three/LICENSE", import.meta.url), new URL("three-LICENSE.txt", out));
