// SPDX-License-Identifier: Apache-2.0
// What the browser remembers of how somebody likes the page: never what is shown, that is in the URL.

/** What was remembered, "" for nothing; a browser may have forbidden it. */
export function recall(name: string): string {
  try {
    return localStorage.getItem(`strobe-${name}`) ?? "";
  } catch {
    return "";
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(`strobe-${name}`, value);
  } catch {
    // It lasts as long as the page then.
  }
}
