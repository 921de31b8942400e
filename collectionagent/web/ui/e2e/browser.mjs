// SPDX-License-Identifier: Apache-2.0
import { chromium } from "playwright-core";

// A test must wait for what it acts on, and a fast machine hides where it does not. STROBE_SLOW=800 keeps each
// answer of the server back for up to so many ms, STROBE_THROTTLE=4 makes the page's processor so many times slower.
const slow = Number(process.env.STROBE_SLOW ?? 0);
const throttle = Number(process.env.STROBE_THROTTLE ?? 1);

/** How long, in ms, a wait may take before it is taken for one that never ends: a machine can be very slow. */
export const patience = Number(process.env.STROBE_WAIT ?? 120e3);

/** Waits until what the page shows is painted: what moves has come to rest, unless it moves for ever, and two frames are over. */
export const settled = (page) =>
  page.evaluate(async () => {
    const moving = document.getAnimations().filter((a) => a.playState === "running" && a.effect?.getComputedTiming().endTime !== Infinity);
    await Promise.allSettled(moving.map((a) => a.finished));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  });

/** Starts the system's Chromium, which is asked to call nobody. */
export async function launch() {
  const browser = await start();
  const newContext = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await newContext(options);
    context.setDefaultTimeout(patience);
    if (slow > 0) {
      await context.route("**/api/**", async (route) => {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * slow));
        await route.continue().catch(() => {}); // nobody waits for it any more
      });
    }
    if (throttle > 1) {
      context.on("page", async (page) => {
        const session = await context.newCDPSession(page);
        await session.send("Emulation.setCPUThrottlingRate", { rate: throttle });
      });
    }
    return context;
  };
  return browser;
}

const start = () =>
  chromium.launch({
    timeout: patience,
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
