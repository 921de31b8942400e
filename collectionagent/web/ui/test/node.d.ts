// SPDX-License-Identifier: Apache-2.0
// What tests use of Node.js, so that its types are not needed.

declare module "node:fs" {
  export function readFileSync(path: URL): Uint8Array;
  export function readdirSync(path: URL, options: { recursive: true }): string[];
}
