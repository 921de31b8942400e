// SPDX-License-Identifier: Apache-2.0
// What the page shows, held in the URL: a change is a step that "back" undoes.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { changed, formatState, parseState, type Change, type State } from "../state/state";

export function useUrlState(): [State, Change] {
  const [state, setState] = useState(() => parseState(location.search));
  const current = useRef(state);
  useEffect(() => {
    const back = () => setState((current.current = parseState(location.search)));
    window.addEventListener("popstate", back);
    return () => window.removeEventListener("popstate", back);
  }, []);
  const change = useCallback<Change>((fields, replace = false) => {
    current.current = changed(current.current, fields);
    setState(current.current);
    const url = formatState(current.current);
    // The same view twice in the history would make "back" do nothing.
    if (replace || url === location.search) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
  }, []);
  return [state, change];
}
