// SPDX-License-Identifier: Apache-2.0
// Dark or light: as the system has it until somebody chooses.

import { useCallback, useLayoutEffect, useEffect, useState } from "preact/hooks";
import type { Theme } from "../model/colour";
import { recall, remember } from "../ui/memory";

const dark: Theme = { dark: true, text: "#f4f4f5", faded: "#9ca3af", background: "#16181d", match: "#e64980", outline: "#ffffff" };
const light: Theme = { dark: false, text: "#1c1d20", faded: "#5f6673", background: "#ffffff", match: "#f783ac", outline: "#111111" };

const system = () => window.matchMedia("(prefers-color-scheme: dark)");

/** The theme, and what goes to the other one. */
export function useTheme(): [Theme, () => void] {
  const [chosen, setChosen] = useState(() => recall("theme"));
  const [systemDark, setSystemDark] = useState(() => system().matches);
  useEffect(() => {
    const query = system();
    const changed = () => setSystemDark(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, []);
  const isDark = chosen ? chosen === "dark" : systemDark;
  useLayoutEffect(() => {
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
  }, [isDark]);
  const toggle = useCallback(() => {
    const next = isDark ? "light" : "dark";
    remember("theme", next);
    setChosen(next);
  }, [isDark]);
  return [isDark ? dark : light, toggle];
}
