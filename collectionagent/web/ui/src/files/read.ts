// SPDX-License-Identifier: Apache-2.0
// Reads profiles of other programs.

import type { Opened } from "./opened";

/** An error whose text tells a person what is wrong with the file. */
export class FileError extends Error {}

/** Reads a file in any format that is known; rejects with a FileError. */
export async function read(name: string, _content: Uint8Array): Promise<Opened> {
  throw new FileError(`${name}: this format is not known`);
}
