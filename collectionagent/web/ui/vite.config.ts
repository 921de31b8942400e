// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./", // works behind any path prefix
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the content security policy allows no data: URLs
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  test: { testTimeout: 60_000 }, // of machines that do much else
  server: { proxy: { "/api": process.env.STROBE_API ?? "http://127.0.0.1:7070" } },
});
