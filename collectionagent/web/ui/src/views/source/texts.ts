// SPDX-License-Identifier: Apache-2.0
// The source files that a person has opened, kept in this tab and sent nowhere.

import { baseName, linesOf, notSource } from "./listing";

const texts = new Map<string, { name: string; lines: string[] }>();

/** The text of a source file of a profile, null when nobody has opened it. */
export const textOf = (file: string) => texts.get(file) ?? null;

/** Reads an opened file as the source of a path; says what is wrong with it, "" for nothing. */
export async function openText(path: string, file: File): Promise<string> {
  const content = new Uint8Array(await file.arrayBuffer());
  const problem = notSource(content);
  if (problem) return `${file.name} is not shown: ${problem}.`;
  texts.set(path, { name: file.name, lines: linesOf(new TextDecoder().decode(content)) });
  return baseName(path) && baseName(path) !== file.name ? `The samples are of ${baseName(path)}, and ${file.name} was opened.` : "";
}

export const closeText = (path: string) => void texts.delete(path);
