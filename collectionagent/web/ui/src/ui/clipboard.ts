// SPDX-License-Identifier: Apache-2.0

/**
 * Puts a text into the clipboard, also where the page came over plain HTTP and the browser has no
 * API for it. False when the browser does not allow it: say so, and show the text where that helps.
 */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const before = document.activeElement as HTMLElement | null;
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    // Within an open dialog the rest of the page cannot be selected.
    (before?.closest("dialog") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus({ preventScroll: true });
    return done;
  }
}
